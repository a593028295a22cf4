"""What the market does to an order, step by step."""

from decimal import Decimal
from typing import Any

import pytest

from sandbox.events import Filled, Moved
from sandbox.matching import DEFAULT_DELAY_MS
from sandbox.orders import Order
from sandbox.venue import ROUTING_SECONDS
from tests.sandbox.books import ASK, BID, Books


def words(books: Books, order: Order, mode: str = "full") -> list[str]:
    """The stream's words until the order rests."""
    found = []
    while not order.is_final and (event := books.step(order, mode=mode)):
        found.append(event.status if isinstance(event, Moved) else "fill")
    return found


def test_an_order_is_new_and_then_filled() -> None:
    books = Books()

    assert words(books, books.place()) == ["new", "fill"]


def test_a_fill_by_default_is_there_within_fifty_milliseconds() -> None:
    assert ROUTING_SECONDS * 1000 + DEFAULT_DELAY_MS < 50


@pytest.mark.parametrize(
    ("side", "limit", "price"),
    [
        ("buy", "100.01", ASK),
        ("buy", "150", ASK),
        ("buy", "100.00", None),
        ("sell", "99.99", BID),
        ("sell", "50", BID),
        ("sell", "100.00", None),
    ],
)
def test_a_limit_order_fills_at_the_market_or_rests(
    side: str, limit: str, price: Decimal | None
) -> None:
    books = Books()
    order = books.place(side=side, limit_price=limit)
    books.step(order)

    event = books.step(order)

    assert (event.price if isinstance(event, Filled) else event) == price


def test_a_resting_order_fills_when_the_price_comes() -> None:
    books = Books()
    order = books.settle(books.place(limit_price="90"))
    assert order.status == "new"
    books.market.pin("AAPL", bid=Decimal(89), ask=Decimal("89.50"))

    books.settle(order)

    assert (order.status, order.filled_cost) == ("filled", Decimal("89.50"))


@pytest.mark.parametrize("tif", ["ioc", "fok"])
def test_what_cannot_trade_at_once_is_canceled(tif: str) -> None:
    books = Books()

    assert words(books, books.place(limit_price="90", time_in_force=tif)) == ["new", "canceled"]
    assert words(books, books.place(limit_price="101", time_in_force=tif)) == ["new", "fill"]


def test_held_fills_leave_an_order_new() -> None:
    books = Books()
    order = books.place()

    assert words(books, order, mode="hold") == ["new"]
    assert words(books, order) == ["fill"]


def test_partial_fills_come_in_two_executions() -> None:
    books = Books()
    order = books.place(qty="5")
    books.step(order)

    parts = [books.step(order, mode="partial") for _ in range(2)]

    assert [(p.qty, p.final) for p in parts if isinstance(p, Filled)] == [
        (Decimal(2), False),
        (Decimal(3), True),
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {"qty": "1"},
        {"qty": "4", "time_in_force": "fok"},
        {"qty": "0.5"},
        {"qty": None, "notional": "50"},
    ],
)
def test_what_cannot_be_divided_fills_whole(fields: dict[str, Any]) -> None:
    books = Books()
    order = books.place(**fields)
    books.step(order)

    event = books.step(order, mode="partial")

    assert isinstance(event, Filled)
    assert event.final


def test_dollars_buy_to_nine_decimals_and_never_more() -> None:
    books = Books()

    order = books.settle(books.place(qty=None, notional="500"))

    assert order.filled_qty == Decimal("4.999500049")
    assert Decimal("499.9999999") < order.filled_cost <= 500


def test_nothing_trades_in_a_closed_market_and_cancels_do_pass() -> None:
    books = Books()
    order = books.place(is_open=False)

    assert books.step(order, is_open=False) is None
    books.cancel(order)
    books.step(order, is_open=False)
    assert order.status == "canceled"


def test_the_bell_expires_day_orders_and_leaves_the_others() -> None:
    books = Books()
    day, gtc = books.place(limit_price="90"), books.place(limit_price="90", time_in_force="gtc")
    for order in (day, gtc):
        books.settle(order)

    books.ring_out(day)
    books.ring_out(gtc)

    assert (day.status, gtc.status) == ("expired", "new")
    assert day.expired_at is not None


def test_an_on_close_order_waits_for_the_bell() -> None:
    books = Books()
    order = books.place(time_in_force="cls")
    books.step(order, has_auctions=True)

    assert books.step(order, has_auctions=True) is None
    books.ring_out(order)
    assert order.status == "filled"
