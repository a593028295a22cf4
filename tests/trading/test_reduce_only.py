"""G16: under `reduce_only` what makes a position smaller goes, and all else is denied."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from accounts.models import Halt
from opitios.core import database
from tests.support.accounts import lease
from tests.support.halting import halted
from tests.support.orders import place, placed_row, row_of
from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until
from tests.trading.desks import RunningDesk
from trading import executions, halts
from trading.executions import Halted
from trading.orders import Accepted

pytestmark = pytest.mark.django_db


@pytest.fixture
def long_ten(trading_account: str, desk: RunningDesk) -> Iterator[str]:
    """An account that holds ten AAPL, and may only reduce."""
    desk.wait_for(place(trading_account), "filled")
    with halted(trading_account, mode=Halt.Mode.REDUCE_ONLY):
        yield trading_account


def sell(account: str, quantity: int, **changed: Any) -> Accepted:
    """Sell at a price that fills at once, unless changed."""
    asked: dict[str, Any] = {
        "side": "sell",
        "qty": Decimal(quantity),
        "limit_price": Decimal(1),
    } | changed
    return place(account, **asked)


def test_what_reduces_goes_and_what_turns_or_grows_is_denied(
    long_ten: str, desk: RunningDesk
) -> None:
    desk.wait_for(sell(long_ten, 4), "filled")

    denied = [
        desk.wait_for(one, "denied")
        for one in (
            sell(long_ten, 7),
            place(long_ten),
            place(long_ten, side="sell", qty=None, notional=Decimal(10), type="market",
                  limit_price=None),
            sell(long_ten, 1, symbol="MSFT"),
        )
    ]  # fmt: skip
    desk.wait_for(sell(long_ten, 6), "filled")
    last = desk.wait_for(sell(long_ten, 1), "denied")

    assert {row["reason"] for row in [*denied, last]} == {"reduce-only"}
    assert {row["attempts"] for row in [*denied, last]} == {0}


def test_orders_that_may_close_it_already_count(long_ten: str, desk: RunningDesk) -> None:
    resting = desk.wait_for(sell(long_ten, 6, limit_price=Decimal(900)), "new")

    assert desk.wait_for(sell(long_ten, 5), "denied")["reason"] == "reduce-only"
    desk.wait_for(sell(long_ten, 4), "filled")
    assert row_of(resting)["status"] == "new"


def test_a_short_position_is_reduced_by_buying(trading_account: str, desk: RunningDesk) -> None:
    desk.wait_for(sell(trading_account, 3), "filled")

    with halted(trading_account, "AAPL", mode="reduce_only"):
        assert desk.wait_for(sell(trading_account, 1), "denied")["reason"] == "reduce-only"
        assert desk.wait_for(place(trading_account, qty=Decimal(4)), "denied")
        desk.wait_for(place(trading_account, qty=Decimal(3)), "filled")


def test_while_the_position_cannot_be_read_an_order_waits(
    sandbox: SandboxProcess, long_ten: str, desk: RunningDesk
) -> None:
    sandbox.fault("html_502", account=long_ten, route="GET /v2/positions/*", times=0)
    waiting = sell(long_ten, 1)

    until(lambda: sandbox.get("faults")["faults"][0]["hits"] >= 2)
    assert row_of(waiting)["status"] == "queued"
    sandbox.clear_faults()
    row = desk.wait_for(waiting, "filled")

    assert row["attempts"] == 1


def test_a_halt_beside_it_is_stricter(long_ten: str, desk: RunningDesk) -> None:
    waiting = sell(long_ten, 1, limit_price=Decimal(1))
    desk.wait_for(waiting, "filled")

    with halted(long_ten):
        assert sell(long_ten, 1).denied is not None


def test_what_was_read_of_a_position_holds_for_its_time_and_not_longer(account: str) -> None:
    lease(account, "desk-1/a")
    row = placed_row(account)
    with halted(account, mode="reduce_only"):
        for seconds in ("-0.001", "0"):
            found = database.row(f"SELECT clock_timestamp() + interval '{seconds} s' AS at")
            assert found is not None
            with pytest.raises(Halted) as caught:
                executions.claim(row, owner="desk-1/a", process="desk-1", reduces_until=found["at"])
            assert caught.value.mode == "reduce_only"
        soon = database.row("SELECT clock_timestamp() + interval '1 hour' AS at")
        assert soon is not None
        claimed = executions.claim(
            row, owner="desk-1/a", process="desk-1", reduces_until=soon["at"]
        )
    assert claimed is not None
    assert halts.in_flight({"account_id": account, "symbol": None}) != []
