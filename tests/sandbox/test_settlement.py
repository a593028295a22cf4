"""What a fill does to cash and position."""

from decimal import Decimal

import pytest

from sandbox.events import Filled, Moved
from tests.sandbox.books import ASK, BID, NOON, Books


def test_a_buy_takes_cash_and_brings_shares() -> None:
    books = Books()

    order = books.settle(books.place(qty="10"))

    assert order.status == "filled"
    assert books.account.cash == Decimal(100_000) - 10 * ASK
    assert books.account.positions["AAPL"].qty == 10
    assert books.account.positions["AAPL"].avg_entry_price == ASK


def test_adding_to_a_position_averages_its_price() -> None:
    books = Books()
    books.settle(books.place(qty="1"))
    books.market.pin("AAPL", bid=Decimal(109), ask=Decimal("110.01"))

    books.settle(books.place(qty="1"))

    assert books.account.positions["AAPL"].avg_entry_price == (ASK + Decimal("110.01")) / 2


def test_reducing_a_position_keeps_its_price() -> None:
    books = Books()
    books.settle(books.place(qty="10"))

    books.settle(books.place(qty="4", side="sell"))

    position = books.account.positions["AAPL"]
    assert (position.qty, position.avg_entry_price) == (Decimal(6), ASK)
    assert books.account.cash == Decimal(100_000) - 10 * ASK + 4 * BID


def test_a_closed_position_is_gone() -> None:
    books = Books()
    books.settle(books.place(qty="10"))

    books.settle(books.place(qty="10", side="sell"))

    assert books.account.positions == {}


def test_a_short_sale_brings_cash_and_owes_shares() -> None:
    books = Books()

    order = books.settle(books.place(qty="5", side="sell"))

    assert order.position_intent == "sell_to_open"
    assert books.account.cash == Decimal(100_000) + 5 * BID
    assert books.account.positions["AAPL"].qty == -5
    assert books.account.positions["AAPL"].avg_entry_price == BID


def test_a_position_turned_round_is_entered_at_the_new_price() -> None:
    books = Books()
    resting = books.place(qty="5", side="sell", limit_price="200")
    books.step(resting)
    books.settle(books.place(qty="2", limit_price="150"))
    books.market.pin("AAPL", bid=Decimal(200), ask=Decimal("200.02"))

    books.settle(resting)

    position = books.account.positions["AAPL"]
    assert (position.qty, position.avg_entry_price) == (Decimal(-3), Decimal(200))


def test_an_order_in_parts_has_the_mean_price() -> None:
    books = Books()
    order = books.place(qty="3")
    books.step(order, mode="partial")
    books.step(order, mode="partial")
    books.market.pin("AAPL", bid=Decimal(102), ask=Decimal("103.01"))

    books.settle(order)

    assert (order.filled_qty, order.filled_cost) == (Decimal(3), ASK + 2 * Decimal("103.01"))


def test_an_impossible_event_is_refused_and_changes_nothing() -> None:
    books = Books()
    order = books.settle(books.place())
    cash = books.account.cash

    with pytest.raises(ValueError, match="canceled cannot follow filled"):
        books.exchange.apply(Moved(order.id, "canceled", NOON, "event"))

    assert (order.status, books.account.cash) == ("filled", cash)


def test_a_fill_during_a_cancel_adds_and_the_cancel_still_comes() -> None:
    books = Books()
    order = books.place(qty="4")
    books.step(order)
    books.cancel(order)

    books.exchange.apply(Filled(order.id, "late", ASK, Decimal(1), False, NOON, "event"))

    assert (order.status, order.filled_qty) == ("pending_cancel", Decimal(1))
    assert books.settle(order).status == "canceled"
    assert books.account.positions["AAPL"].qty == 1
