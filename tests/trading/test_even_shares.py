"""Desks share the accounts evenly, and no account waits for an owner (design.md §1, G6)."""

import uuid
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import Account, DeskPresence, Lease
from opitios.core import clock
from tests.trading.desks import only
from trading import leases

pytestmark = pytest.mark.django_db

# Long enough that nothing runs out on a crowded machine.
VALID = 30.0


@pytest.fixture
def five_accounts() -> Iterator[set[str]]:
    """Five enabled accounts and no other: the rest of this database rests meanwhile."""
    names = {f"share-{uuid.uuid4().hex[:8]}" for _ in range(5)}
    with only(*names):
        for name in names:
            Account.objects.create(
                account_id=name,
                account_type="trading",
                environment="sandbox",
                url="http://127.0.0.1:1",
            )
        yield names
        Account.objects.filter(account_id__in=names).update(enabled=False)


@pytest.fixture
def desks() -> Iterator[list[str]]:
    owners = [f"desk-{uuid.uuid4().hex[:8]}" for _ in range(3)]
    others = list(DeskPresence.objects.values_list("owner", "expires_at"))
    DeskPresence.objects.all().delete()
    yield owners
    for owner in owners:
        leases.leave(owner)
    DeskPresence.objects.bulk_create(DeskPresence(owner=o, expires_at=at) for o, at in others)


def give_what_others_lack(owner: str, holding: leases.Holding) -> frozenset[str]:
    """What a desk on which nothing is under way does after each look."""
    receivers = leases.gifts(owner, holding)
    to = dict(zip(sorted(holding.accounts), receivers, strict=False))
    return leases.give(owner, to, valid_seconds=VALID)


def owners(accounts: set[str]) -> dict[str, str]:
    """Who holds each account now."""
    held = Lease.objects.filter(account_id__in=accounts, expires_at__gt=clock.now())
    return dict(held.values_list("account_id", "owner"))


def test_one_desk_owns_every_account(five_accounts: set[str], desks: list[str]) -> None:
    holding = leases.hold(desks[0], valid_seconds=VALID)

    assert holding.accounts == five_accounts
    assert not holding.lacks(desks[0])
    assert holding.next_free is None


def test_a_desk_that_joins_is_given_its_share_and_no_account_is_without_an_owner(
    five_accounts: set[str], desks: list[str]
) -> None:
    leases.hold(desks[0], valid_seconds=VALID)
    joined = leases.hold(desks[1], valid_seconds=VALID)

    first = leases.hold(desks[0], valid_seconds=VALID)
    given = give_what_others_lack(desks[0], first)
    held = owners(five_accounts)
    second = leases.hold(desks[1], valid_seconds=VALID)

    assert joined.accounts == frozenset()
    assert joined.lacks(desks[1])
    assert held == {name: desks[name in given] for name in five_accounts}
    assert second.accounts == given
    assert len(given) == 2
    assert not second.lacks(desks[1])
    assert give_what_others_lack(desks[0], leases.hold(desks[0], valid_seconds=VALID)) == set()


def test_every_gift_raises_the_fence(five_accounts: set[str], desks: list[str]) -> None:
    leases.hold(desks[1], valid_seconds=VALID)
    first = leases.hold(desks[0], valid_seconds=VALID)
    assert first.accounts == frozenset()
    before = dict(Lease.objects.filter(account__in=five_accounts).values_list("pk", "fence"))

    holding = leases.hold(desks[1], valid_seconds=VALID)
    given = give_what_others_lack(desks[1], holding)

    after = dict(Lease.objects.filter(account__in=five_accounts).values_list("pk", "fence"))
    assert {name for name in after if after[name] == before[name] + 1} == given


def test_nothing_is_given_to_a_desk_that_has_not_renewed_lately(
    five_accounts: set[str], desks: list[str]
) -> None:
    leases.hold(desks[1], valid_seconds=VALID)
    DeskPresence.objects.filter(owner=desks[1]).update(
        expires_at=clock.now() + timedelta(seconds=VALID / 3)
    )
    Lease.objects.filter(owner=desks[1]).update(expires_at=clock.now())

    holding = leases.hold(desks[0], valid_seconds=VALID)

    assert holding.accounts == five_accounts
    assert leases.gifts(desks[0], holding) == [desks[1]] * 2
    assert give_what_others_lack(desks[0], holding) == frozenset()


def test_a_dead_desks_accounts_are_all_taken_the_moment_its_leases_end(
    five_accounts: set[str], desks: list[str]
) -> None:
    leases.hold(desks[0], valid_seconds=VALID)
    waiting = leases.hold(desks[1], valid_seconds=VALID)

    # A third desk is alive and has nothing yet: that is no reason to leave accounts to it.
    leases.hold(desks[2], valid_seconds=VALID)
    # The time passes that it was told to wait.
    for row in (Lease, DeskPresence):
        row.objects.filter(owner=desks[0]).update(expires_at=clock.now())
    taken = leases.hold(desks[1], valid_seconds=VALID).accounts

    assert waiting.accounts == frozenset()
    assert waiting.next_free is not None
    assert 0 < waiting.next_free <= VALID
    assert taken == frozenset(five_accounts)


def test_a_desk_that_ends_gives_everything_and_takes_nothing(
    five_accounts: set[str], desks: list[str]
) -> None:
    leases.hold(desks[0], valid_seconds=VALID)
    leases.hold(desks[1], valid_seconds=VALID)
    leases.retire(desks[0])
    Account.objects.filter(account_id=min(five_accounts)).update(enabled=False)
    leases.hold(desks[0], valid_seconds=VALID, stays=False)
    Account.objects.filter(account_id=min(five_accounts)).update(enabled=True)

    ending = leases.hold(desks[0], valid_seconds=VALID, stays=False)
    given = give_what_others_lack(desks[0], ending)

    assert desks[0] not in ending.desks
    assert given == ending.accounts
    assert set(owners(five_accounts).values()) <= set(desks[:2])
    assert leases.hold(desks[1], valid_seconds=VALID).accounts >= given


def test_a_disabled_account_is_let_go(five_accounts: set[str], desks: list[str]) -> None:
    leases.hold(desks[0], valid_seconds=VALID)
    gone = min(five_accounts)
    Account.objects.filter(account_id=gone).update(enabled=False)

    holding = leases.hold(desks[0], valid_seconds=VALID)

    assert holding.accounts == five_accounts - {gone}


HELD = st.lists(st.integers(0, 400), min_size=1, max_size=6)


@settings(
    # The same examples in every run, however slowly a crowded machine draws them.
    derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # fmt: skip
@given(HELD, st.integers(0, 300))
def test_all_desks_that_see_the_same_make_the_shares_even_at_once(
    counts: list[int], ending: int
) -> None:
    desks = {f"desk-{number}": count for number, count in enumerate(counts)}
    in_all = sum(counts) + ending
    moved = Counter(desks)

    for owner, count in (*desks.items(), ("desk-that-ends", ending)):
        accounts = frozenset(f"{owner}-{number}" for number in range(count))
        receivers = leases.gifts(owner, leases.Holding(accounts, desks, in_all))
        assert owner not in receivers
        assert len(receivers) <= count
        moved.subtract({owner: len(receivers)})
        moved.update(receivers)

    shares = [moved[owner] for owner in desks]
    assert sum(shares) == in_all
    assert max(shares) - min(shares) <= 1
