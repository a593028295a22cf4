"""On-open and on-close orders have one auction; what does not trade there is canceled."""

from decimal import Decimal

import pytest

from sandbox.events import Filled
from tests.sandbox.books import ASK, Books
from tests.sandbox.test_switches import reach, submit
from tests.support.sandbox_process import SandboxProcess

OPEN, SHUT = {"open": True, "auctions": True}, {"open": False, "auctions": True}


def test_an_on_open_order_waits_for_the_open_and_trades_there() -> None:
    books = Books()
    placed = books.place(is_open=False, time_in_force="opg")

    assert books.step(placed, is_open=False) is None
    books.settle(placed)

    assert (placed.status, placed.filled_cost) == ("filled", ASK)


@pytest.mark.parametrize("tif", ["opg", "ioc", "fok"])
def test_what_is_not_traded_at_once_is_canceled(tif: str) -> None:
    books = Books()
    placed = books.place(limit_price="90", time_in_force=tif, is_open=False)

    books.settle(placed)

    assert (placed.status, placed.filled_qty) == ("canceled", Decimal(0))


def test_an_immediate_order_keeps_what_it_got_and_the_rest_is_canceled() -> None:
    books = Books()
    placed = books.place(qty="5", time_in_force="ioc")

    books.settle(placed, mode="partial")

    assert (placed.status, placed.filled_qty) == ("canceled", Decimal(2))
    assert books.account.position_qty("AAPL") == 2
    assert books.account.reserved == 0


def test_a_fill_or_kill_order_gets_all_or_nothing() -> None:
    books = Books()
    placed = books.place(qty="5", time_in_force="fok")
    books.step(placed)

    event = books.step(placed, mode="partial")

    assert isinstance(event, Filled)
    assert (event.qty, placed.status) == (Decimal(5), "filled")


@pytest.mark.parametrize(("limit", "end"), [("150", "filled"), ("90", "canceled")])
def test_an_on_close_order_trades_at_the_bell_or_is_canceled(limit: str, end: str) -> None:
    books = Books()
    placed = books.place(limit_price=limit, time_in_force="cls")
    books.step(placed, has_auctions=True)
    assert books.step(placed, has_auctions=True) is None

    books.ring_out(placed)

    assert placed.status == end


def test_the_market_s_switch_holds_both_auctions(broker: SandboxProcess) -> None:
    account = "auctions"
    broker.post("market", SHUT)
    at_open, at_close = (submit(broker, account, time_in_force=tif) for tif in ("opg", "cls"))
    reach(broker, at_open, "accepted", account)

    broker.post("market", OPEN)
    reach(broker, at_open, "filled", account)
    reach(broker, at_close, "new", account)
    late = broker.trade(
        account, "POST", "/v2/orders",
        json={"symbol": "AAPL", "qty": "1", "side": "buy", "type": "market",
              "time_in_force": "opg"},
    )  # fmt: skip
    broker.post("market", SHUT)

    reach(broker, at_close, "filled", account)
    assert late.status_code == 403
    assert late.json()["message"] == ("opg orders cannot be submitted between 9:28am and 7:00pm ET")


def test_without_auctions_an_on_close_order_trades_at_once(broker: SandboxProcess) -> None:
    reach(broker, submit(broker, time_in_force="cls"), "filled")
