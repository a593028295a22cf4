"""A clock that is wrong sends nothing late and nothing twice (C25).

Simulated: no second host, and the database's clock is everybody's on this one. What matters is the
difference of the two clocks, so this process's own is moved.
"""

from datetime import datetime, timedelta

import pytest

from accounts.models import Lease
from opitios.core import clock
from tests.support.orders import place, row_of, soon
from tests.support.sandbox_process import SandboxProcess
from tests.trading.desks import running_desk
from tests.trading.searches import let_it_be_late
from tests.trading.test_desk_sends import held, posts
from trading import leases

pytestmark = pytest.mark.django_db

# An application's host an hour off, and a database's host a minute off, either way.
OFF = [3600.0, -3600.0, 60.0, -60.0]


@pytest.fixture(params=OFF, ids=lambda seconds: f"{seconds:+.0f} s")
def off(request: pytest.FixtureRequest) -> timedelta:
    """How far this process's clock is from the database's."""
    return timedelta(seconds=request.param)


def be_off(monkeypatch: pytest.MonkeyPatch, by: timedelta) -> None:
    """Move this process's clock; the monotonic one goes on as it does on any host."""
    right = clock.now

    def wrong() -> datetime:
        return right() + by

    monkeypatch.setattr(clock, "now", wrong)


def test_c25_a_desk_whose_clock_is_off_sends_in_time_once_and_nothing_late(
    sandbox: SandboxProcess,
    trading_account: str,
    monkeypatch: pytest.MonkeyPatch,
    off: timedelta,
) -> None:
    late, in_time = (row_of(place(trading_account, not_after=soon(60))) for _ in range(2))
    let_it_be_late(late)
    be_off(monkeypatch, off)

    with running_desk(trading_account) as desk:
        assert desk.wait_for(late, "lapsed")["reason"] == "deadline-before-send"
        assert desk.wait_for(in_time, "filled")["attempts"] == 1

    assert posts(sandbox, late) == []
    assert len(held(sandbox, trading_account)) == 1


def test_c25_an_order_accepted_by_a_clock_that_is_off_is_sent_once_or_told_to_have_lapsed(
    sandbox: SandboxProcess,
    trading_account: str,
    monkeypatch: pytest.MonkeyPatch,
    off: timedelta,
) -> None:
    be_off(monkeypatch, off)
    with running_desk(trading_account) as desk:
        row = desk.wait_for(place(trading_account), "filled", "lapsed")

    # Its deadline lies a minute after what the acceptor took for now; the database judges it.
    assert row["status"] == ("filled" if off > timedelta(0) else "lapsed")
    assert len(held(sandbox, trading_account)) == (row["status"] == "filled")


def test_c25_a_lease_is_as_long_as_the_database_says(
    account: str, monkeypatch: pytest.MonkeyPatch, off: timedelta
) -> None:
    assert account in leases.hold("right/1", valid_seconds=60).accounts
    be_off(monkeypatch, off)

    taken = leases.hold("wrong/1", valid_seconds=60)

    assert account not in taken.accounts
    assert Lease.objects.get(account_id=account).owner == "right/1"
    leases.leave("right/1")
    leases.leave("wrong/1")
