"""Desks share the accounts evenly, and hand over what is idle (design.md §1)."""

import uuid
from collections.abc import Iterator

import pytest

from accounts.models import Account
from opitios.core import clock
from trading import leases

pytestmark = pytest.mark.django_db

VALID = 0.6


@pytest.fixture
def five_accounts() -> Iterator[set[str]]:
    """Five enabled accounts and no other: the rest of this database rests meanwhile."""
    others = list(Account.objects.filter(enabled=True).values_list("account_id", flat=True))
    Account.objects.filter(account_id__in=others).update(enabled=False)
    names = {f"share-{uuid.uuid4().hex[:8]}" for _ in range(5)}
    for name in names:
        Account.objects.create(
            account_id=name, account_type="trading", environment="sandbox", url="http://127.0.0.1:1"
        )
    yield names
    Account.objects.filter(account_id__in=names).update(enabled=False)
    Account.objects.filter(account_id__in=others).update(enabled=True)


@pytest.fixture
def desks() -> Iterator[list[str]]:
    owners = [f"desk-{uuid.uuid4().hex[:8]}" for _ in range(2)]
    yield owners
    for owner in owners:
        leases.leave(owner)


def surplus_of(holding: leases.Holding) -> set[str]:
    return set(sorted(holding.accounts)[holding.share :])


def test_one_desk_owns_every_account(five_accounts: set[str], desks: list[str]) -> None:
    holding = leases.hold(desks[0], valid_seconds=VALID)

    assert holding.accounts == five_accounts


def test_a_desk_that_joins_gets_its_share_and_no_account_has_two_owners(
    five_accounts: set[str], desks: list[str]
) -> None:
    first = leases.hold(desks[0], valid_seconds=VALID)

    before = leases.hold(desks[1], valid_seconds=VALID)
    first = leases.hold(desks[0], valid_seconds=VALID, surplus=surplus_of(first))
    first = leases.hold(desks[0], valid_seconds=VALID, surplus=surplus_of(first))
    second = leases.hold(desks[1], valid_seconds=VALID)

    assert before.accounts == frozenset()
    assert len(first.accounts) == 3
    assert first.accounts | second.accounts == five_accounts
    assert not first.accounts & second.accounts


def test_what_a_desk_is_still_sending_stays_with_it(
    five_accounts: set[str], desks: list[str]
) -> None:
    first = leases.hold(desks[0], valid_seconds=VALID)
    leases.hold(desks[1], valid_seconds=VALID)

    kept = leases.hold(desks[0], valid_seconds=VALID, surplus=set())
    other = leases.hold(desks[1], valid_seconds=VALID)

    assert kept.accounts == first.accounts
    assert other.accounts == frozenset()


def test_a_dead_desks_accounts_are_taken_when_its_leases_end(
    five_accounts: set[str], desks: list[str]
) -> None:
    leases.hold(desks[0], valid_seconds=0.1)
    until = clock.monotonic() + 5

    taken = leases.hold(desks[1], valid_seconds=VALID)
    while taken.accounts != five_accounts and clock.monotonic() < until:
        taken = leases.hold(desks[1], valid_seconds=VALID)

    assert taken.accounts == five_accounts


def test_a_disabled_account_is_let_go(five_accounts: set[str], desks: list[str]) -> None:
    leases.hold(desks[0], valid_seconds=VALID)
    gone = min(five_accounts)
    Account.objects.filter(account_id=gone).update(enabled=False)

    holding = leases.hold(desks[0], valid_seconds=VALID)

    assert holding.accounts == five_accounts - {gone}
