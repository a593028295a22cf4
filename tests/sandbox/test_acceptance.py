"""Rules of acceptance that need the books."""

from decimal import Decimal
from typing import Any

import pytest

from sandbox.events import AccountChanged
from sandbox.refusals import DuplicateClientOrderIdError, RefusedError
from tests.sandbox.books import ACCOUNT, NOON, Books

WASH_TRADES = [
    # resting buy, arriving sell, refused?
    ({"limit_price": "90"}, {"limit_price": "91"}, False),
    ({"limit_price": "90"}, {"limit_price": "90"}, True),
    ({"limit_price": "90"}, {"limit_price": "89"}, True),
    ({"limit_price": "90"}, {}, True),
    ({}, {"limit_price": "500"}, True),
    ({}, {}, True),
    # A stop counts as a market order, a stop limit as a limit order; trailing stops are exempt.
    ({"limit_price": "90"}, {"type": "stop", "stop_price": "80"}, True),
    ({"type": "stop", "stop_price": "110"}, {"limit_price": "500"}, True),
    (
        {"limit_price": "90"},
        {"type": "stop_limit", "stop_price": "80", "limit_price": "91"},
        False,
    ),
    ({"limit_price": "90"}, {"type": "stop_limit", "stop_price": "80", "limit_price": "90"}, True),
    ({"limit_price": "90"}, {"type": "trailing_stop", "trail_price": "2"}, False),
    ({"type": "trailing_stop", "trail_percent": "2"}, {"limit_price": "200"}, False),
    ({"type": "trailing_stop", "trail_percent": "2"}, {}, False),
]


@pytest.mark.parametrize(("resting", "arriving", "refused"), WASH_TRADES)
@pytest.mark.parametrize("first", ["buy", "sell"])
def test_opposite_orders_that_could_meet_are_refused(
    resting: dict[str, Any], arriving: dict[str, Any], refused: bool, first: str
) -> None:
    books = Books()
    buy, sell = {**resting, "side": "buy"}, {**arriving, "side": "sell"}
    earlier, later = (buy, sell) if first == "buy" else (sell, buy)
    standing = books.place(**earlier)

    if not refused:
        assert books.place(**later).status == "pending_new"
        return
    with pytest.raises(RefusedError, match="potential wash trade") as refusal:
        books.place(**later)
    assert refusal.value.extra["existing_order_id"] == standing.id
    assert list(books.exchange.orders) == [standing.id]


def test_a_final_order_meets_nobody() -> None:
    books = Books()
    order = books.place(limit_price="90")
    books.cancel(order)
    books.settle(order)

    assert books.place(side="sell").status == "pending_new"


def test_another_symbol_meets_nobody() -> None:
    books = Books()
    books.place(symbol="MSFT", limit_price="90")

    assert books.place(side="sell").status == "pending_new"


def test_open_orders_reserve_buying_power() -> None:
    books = Books(cash="1000")
    books.place(qty="15", limit_price="100")

    with pytest.raises(RefusedError) as refusal:
        books.place(qty="6", limit_price="100")

    assert refusal.value.body == {
        "code": 40310000,
        "message": "insufficient buying power",
        "buying_power": "500",
        "cost_basis": "600",
    }
    assert books.place(qty="5", limit_price="100").status == "pending_new"


def test_a_canceled_order_gives_its_reserve_back() -> None:
    books = Books(cash="1000")
    order = books.place(qty="20", limit_price="100")
    books.cancel(order)
    books.settle(order)

    assert books.account.reserved == 0
    assert books.place(qty="20", limit_price="100").status == "pending_new"


def test_a_short_sale_reserves_three_percent_more() -> None:
    books = Books()

    order = books.place(qty="10", side="sell", limit_price="100")

    assert order.reserved_cash == 10 * Decimal("100.01") * Decimal("1.03")


@pytest.mark.parametrize(
    ("fields", "a_share"),
    [
        ({"type": "stop", "stop_price": "40"}, "41.60"),
        ({"type": "stop", "stop_price": "120"}, "123.00"),
        ({"type": "stop_limit", "stop_price": "120", "limit_price": "121"}, "121"),
        ({"type": "trailing_stop", "trail_price": "5"}, "105.01"),
        ({"type": "stop", "side": "sell", "stop_price": "80"}, "103.0103"),
    ],
)
def test_a_stop_reserves_what_it_may_cost_at_the_worst(
    fields: dict[str, Any], a_share: str
) -> None:
    order = Books().place(qty="2", **fields)

    assert order.reserved_cash == 2 * Decimal(a_share)


def test_selling_more_than_is_held_does_not_turn_round() -> None:
    books = Books()
    books.settle(books.place(qty="3"))

    with pytest.raises(RefusedError, match=r"requested: 5, available: 3"):
        books.place(qty="5", side="sell")


def test_buying_back_more_than_is_owed_does_not_turn_round() -> None:
    books = Books()
    books.settle(books.place(qty="3", side="sell"))

    with pytest.raises(RefusedError, match=r"requested: 5, available: 3"):
        books.place(qty="5")

    assert books.place(qty="3").position_intent == "buy_to_close"


def test_a_spent_id_is_told_before_anything_else() -> None:
    books = Books(cash="150")
    first = books.place(client_order_id="once")

    with pytest.raises(DuplicateClientOrderIdError) as refusal:
        books.place(client_order_id="once", symbol="ZZZZ", qty="1000")

    assert refusal.value.order_id == first.id


def test_the_side_may_be_told_by_the_intent() -> None:
    order = Books().place(side=None, position_intent="sell_to_open")

    assert (order.side, order.position_intent) == ("sell", "sell_to_open")


def test_a_closed_market_accepts_and_says_so_on_the_stream() -> None:
    order = Books().place(is_open=False)

    assert order.status == "accepted"


def test_an_account_may_lose_the_right_to_short() -> None:
    books = Books()
    books.exchange.apply(AccountChanged(ACCOUNT, NOON, None, shorting_enabled=False))

    with pytest.raises(RefusedError, match="account is not allowed to short"):
        books.place(side="sell")
