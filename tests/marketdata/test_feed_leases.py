"""Of each kind of data socket one process owns all, whatever happens at the same time."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from tests.support.until import until

pytestmark = [pytest.mark.races, pytest.mark.django_db, pytest.mark.usefixtures("own_database")]

LONG = 60.0


@pytest.fixture
def accounts(_django_db_helper: None) -> Iterator[list[str]]:
    """Five accounts that carry market data; afterwards nobody holds anything."""
    from accounts.models import Account, FeedLease  # noqa: PLC0415 - Django is set up by now
    from tests.support.accounts import open_accounts  # noqa: PLC0415

    kinds = {"data": 3, "master": 1, "backup": 1}
    yield [
        account
        for kind, count in kinds.items()
        for account in open_accounts(count, account_type=kind)
    ]
    FeedLease.objects.all().delete()
    Account.objects.filter(enabled=True).update(enabled=False)


def name() -> str:
    return f"market/{uuid4().hex[:8]}"


def test_of_many_that_come_at_once_one_gets_everything(accounts: list[str]) -> None:
    from marketdata import leases  # noqa: PLC0415
    from opitios.core import database  # noqa: PLC0415

    gate = threading.Barrier(8)

    def come(owner: str) -> int:
        try:
            gate.wait(30)
            return len(leases.hold(owner, valid_seconds=LONG))
        finally:
            database.release()

    with ThreadPoolExecutor(8) as threads:
        held = sorted(threads.map(come, [name() for _ in range(8)]))

    assert sum(held) == 2 * len(accounts)
    # Each kind whole: one has both, or two have one each.
    assert set(held) <= {0, len(accounts), 2 * len(accounts)}


def test_who_comes_later_waits_until_the_lease_is_over_and_knows_it_was_not_left(
    accounts: list[str],
) -> None:
    from accounts.models import FeedLease  # noqa: PLC0415
    from marketdata import leases  # noqa: PLC0415
    from opitios.core import clock  # noqa: PLC0415

    first, second = name(), name()
    assert set(leases.hold(first, valid_seconds=LONG).values()) == {1}
    assert leases.hold(second, valid_seconds=LONG) == {}

    # The rest of its time is not waited for, it is taken away.
    FeedLease.objects.filter(owner=first).update(expires_at=clock.now())
    taken = until(lambda: leases.hold(second, valid_seconds=LONG))

    assert {account for account, _ in taken} == set(accounts)
    assert set(taken.values()) == {2}
    # It slept, and has lost.
    assert leases.hold(first, valid_seconds=LONG) == {}
    assert leases.hold(second, valid_seconds=LONG) == taken


def test_what_is_left_in_order_is_free_at_once_and_leaves_no_trace(accounts: list[str]) -> None:
    from marketdata import leases  # noqa: PLC0415

    first, second = name(), name()
    leases.hold(first, valid_seconds=LONG)
    leases.release(second)
    assert leases.hold(second, valid_seconds=LONG) == {}

    leases.release(first)

    assert set(leases.hold(second, valid_seconds=LONG).values()) == {1}


def test_an_account_that_joins_goes_to_who_has_its_kind(accounts: list[str]) -> None:
    from marketdata import leases  # noqa: PLC0415
    from tests.support.accounts import open_accounts  # noqa: PLC0415

    owner, other = name(), name()
    leases.hold(owner, valid_seconds=LONG)
    [joined] = open_accounts(1, account_type="data")

    assert leases.hold(other, valid_seconds=LONG) == {}
    assert (joined, "stock") in leases.hold(owner, valid_seconds=LONG)


def test_only_the_owner_tells_of_a_socket(accounts: list[str]) -> None:
    from marketdata import leases  # noqa: PLC0415
    from tests.marketdata.feeds import socket_row  # noqa: PLC0415

    owner, other = name(), name()
    leases.hold(owner, valid_seconds=LONG)
    socket = (accounts[0], "stock")

    leases.tell(other, {socket: leases.Told("listening")})
    assert socket_row(*socket).state == "closed"

    at = leases.instant(1_700_000_000.5)
    leases.tell(owner, {socket: leases.Told("lost", "x" * 500, "iex", 3, at, at)})
    row = socket_row(*socket)
    assert (row.state, row.feed, row.symbols, row.last_message_at) == ("lost", "iex", 3, at)
    assert len(row.reason or "") == 200
