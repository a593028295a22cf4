"""A trailing stop follows the market in its favour and never back."""

from decimal import Decimal
from typing import Any

import pytest

from sandbox.events import Trailed, Triggered
from sandbox.orders import Order, render_order
from tests.sandbox.books import Books
from tests.sandbox.test_stops import move

# AAPL stands at 99.99 to 100.01.
SELL: dict[str, Any] = {"side": "sell", "type": "trailing_stop", "trail_price": "2"}
BUY: dict[str, Any] = {"side": "buy", "type": "trailing_stop", "trail_price": "2"}


def trail(order: Order) -> tuple[str | None, str | None]:
    """The order's mark and stop, as its JSON tells them."""
    told: dict[str, Any] = render_order(order)
    return told["hwm"], told["stop_price"]


@pytest.mark.parametrize(
    ("fields", "hwm", "stop"),
    [
        (SELL, "99.99", "97.99"),
        (BUY, "100.01", "102.01"),
        ({**SELL, "trail_price": None, "trail_percent": "1"}, "99.99", "98.9901"),
        ({**BUY, "trail_price": None, "trail_percent": "10"}, "100.01", "110.011"),
    ],
)
def test_its_mark_begins_where_the_market_stands(
    fields: dict[str, Any], hwm: str, stop: str
) -> None:
    order = Books().place(**fields)

    assert trail(order) == (hwm, stop)


@pytest.mark.parametrize(
    ("fields", "quotes", "stops"),
    [
        (SELL, [("101", "101.02"), ("100", "100.02"), ("105", "105.02")], ["99", "99", "103"]),
        (BUY, [("98.98", "99"), ("100", "100.02"), ("94.98", "95")], ["101", "101", "97"]),
    ],
)
def test_it_follows_in_its_favour_and_stays_otherwise(
    fields: dict[str, Any], quotes: list[tuple[str, str]], stops: list[str]
) -> None:
    books = Books()
    order = books.settle(books.place(**fields))
    found = []

    for quote in quotes:
        move(books, *quote)
        books.settle(order)
        found.append(trail(order)[1])

    assert found == stops
    assert order.status == "new"


@pytest.mark.parametrize(
    ("fields", "best", "worse", "price"),
    [
        (SELL, ("110", "110.02"), ("108", "108.02"), "108"),
        (BUY, ("89.98", "90"), ("93.98", "94"), "94"),
    ],
)
def test_it_trades_at_the_market_when_the_price_comes_back_to_its_stop(
    fields: dict[str, Any], best: tuple[str, str], worse: tuple[str, str], price: str
) -> None:
    books = Books()
    order = books.settle(books.place(**fields))
    move(books, *best)
    assert isinstance(books.step(order), Trailed)
    move(books, *worse)

    assert isinstance(books.step(order), Triggered)
    books.settle(order)

    assert (order.status, order.filled_cost) == ("filled", Decimal(price))


def test_one_of_a_closed_market_begins_when_it_opens() -> None:
    books = Books()
    order = books.place(is_open=False, **SELL)
    assert trail(order) == (None, None)
    move(books, "120", "120.02")

    books.settle(order)

    assert trail(order) == ("120", "118")


def test_it_does_not_follow_a_closed_market() -> None:
    books = Books()
    order = books.settle(books.place(**SELL))
    move(books, "150", "151")

    assert books.step(order, is_open=False) is None

    assert trail(order) == ("99.99", "97.99")


def test_what_it_follows_changes_nothing_else_about_it() -> None:
    books = Books()
    order = books.settle(books.place(**SELL))
    before = render_order(order)
    move(books, "150", "151")

    books.step(order)

    assert render_order(order) == before | {"hwm": "150", "stop_price": "148"}


def test_a_buy_reserves_what_its_stop_would_cost_at_the_worst() -> None:
    order = Books().place(qty="3", **BUY)

    assert order.reserved_cash == 3 * Decimal("102.01")
