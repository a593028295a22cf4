"""Stop orders wait for their price; then they trade like the order they become."""

from decimal import Decimal
from typing import Any

import pytest

from sandbox.events import Filled, Triggered
from sandbox.orders import Order, render_order
from tests.sandbox.books import ASK, BID, Books

# AAPL stands at 99.99 to 100.01.
BUY: dict[str, Any] = {"side": "buy", "type": "stop", "stop_price": "101"}
SELL: dict[str, Any] = {"side": "sell", "type": "stop", "stop_price": "99"}


def move(books: Books, bid: str, ask: str) -> None:
    """Let AAPL stand elsewhere."""
    books.market.pin("AAPL", bid=Decimal(bid), ask=Decimal(ask))


def resting(**fields: Any) -> tuple[Books, Order]:
    """An order that is new and waits for its price."""
    books = Books()
    order = books.settle(books.place(**fields))
    assert (order.status, order.triggered_at) == ("new", None)
    return books, order


@pytest.mark.parametrize(
    ("fields", "bid", "ask"),
    [(BUY, "100.97", "100.99"), (BUY, "50", "51"), (SELL, "99.01", "99.03"), (SELL, "200", "201")],
)
def test_a_stop_waits_while_its_price_has_not_come(
    fields: dict[str, Any], bid: str, ask: str
) -> None:
    books, order = resting(**fields)

    move(books, bid, ask)

    assert books.step(order) is None


@pytest.mark.parametrize(
    ("fields", "bid", "ask", "price"),
    [
        (BUY, "100.98", "101", "101"), (BUY, "102.50", "103", "103"),
        (SELL, "99", "99.50", "99"), (SELL, "50", "51", "50"),
    ],
)  # fmt: skip
def test_a_stop_that_is_reached_trades_at_the_market(
    fields: dict[str, Any], bid: str, ask: str, price: str
) -> None:
    books, order = resting(**fields)
    move(books, bid, ask)

    reached, traded = books.step(order), books.step(order)

    assert isinstance(reached, Triggered)
    assert isinstance(traded, Filled)
    assert (order.status, traded.price) == ("filled", Decimal(price))


def test_a_stop_stays_awake_when_the_price_turns_back() -> None:
    books, order = resting(**SELL)
    move(books, "98.90", "98.95")
    books.step(order)

    move(books, "110", "111")
    books.settle(order)

    assert (order.status, order.filled_cost) == ("filled", Decimal(110))


def test_a_stop_beyond_the_market_trades_at_once() -> None:
    books = Books()

    order = books.settle(books.place(**{**SELL, "stop_price": "150"}))

    assert (order.status, order.filled_cost) == ("filled", BID)


@pytest.mark.parametrize(
    ("stop", "start", "worst"), [("40", "39", "41.60"), ("100.50", "100", "103.01")]
)
def test_a_buy_stop_trades_no_more_than_four_or_two_and_a_half_per_cent_above_its_stop(
    stop: str, start: str, worst: str
) -> None:
    books = Books()
    move(books, str(Decimal(start) - 1), start)
    order = books.settle(books.place(type="stop", stop_price=stop))
    above = Decimal(worst) + Decimal("0.01")
    move(books, str(above - 1), str(above))

    books.settle(order)
    assert (order.status, order.triggered_at is None) == ("new", False)
    move(books, str(above - 1), worst)
    books.settle(order)

    assert (order.status, order.filled_cost) == ("filled", Decimal(worst))
    assert render_order(order)["limit_price"] is None


def test_a_stop_limit_order_becomes_a_limit_order() -> None:
    books, order = resting(type="stop_limit", stop_price="101", limit_price="101.50")
    move(books, "102", "102.10")

    books.settle(order)
    assert (order.status, order.triggered_at is None) == ("new", False)
    move(books, "100", "100.10")
    books.settle(order)

    assert (order.status, order.filled_cost) == ("filled", Decimal("100.10"))


def test_a_stop_is_reached_while_fills_are_held() -> None:
    books, order = resting(**BUY)
    move(books, "104", "105")

    assert isinstance(books.step(order, mode="hold"), Triggered)
    assert books.step(order, mode="hold") is None


def test_nothing_is_reached_in_a_closed_market_and_the_bell_ends_a_day_stop() -> None:
    books, order = resting(**BUY)
    move(books, "104", "105")

    assert books.step(order, is_open=False) is None
    books.ring_out(order)

    assert order.status == "expired"


def test_a_fractional_stop_and_one_for_dollars_fill_like_others() -> None:
    part, dollars = Books(), Books()
    orders = [
        (part, part.place(type="stop", qty="0.5", stop_price="100")),
        (dollars, dollars.place(type="stop", qty=None, notional="50", stop_price="100")),
    ]

    for books, order in orders:
        books.settle(order)

    assert [order.filled_qty for _, order in orders] == [Decimal("0.5"), Decimal("0.499950004")]
    assert orders[0][1].filled_cost == ASK / 2


def test_dollars_of_a_position_sell_no_more_than_was_held_for_them() -> None:
    books = Books()
    books.settle(books.place(qty="1"))
    order = books.place(side="sell", qty=None, notional="99")
    move(books, "40", "41")

    books.settle(order)

    assert (order.filled_qty, books.account.position_qty("AAPL") >= 0) == (order.sized_qty, True)
