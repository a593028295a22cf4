"""Placing, reading and cancelling orders with the real alpaca-py."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from alpaca.common.exceptions import APIError
from alpaca.trading.enums import OrderSide, OrderStatus, QueryOrderStatus, TimeInForce
from alpaca.trading.requests import GetOrdersRequest, LimitOrderRequest, MarketOrderRequest

from tests.support.openapi import TRADING, check, check_schema, properties
from tests.support.until import until

pytestmark = pytest.mark.contract

# Only grouped orders and legs carry these.
GROUPED_ONLY = {"group_id", "group_role", "ratio_qty"}
FIELDS = (properties(TRADING, "Order") - GROUPED_ONLY) | {"subtag", "source"}


def market_buy(qty: float = 2, **fields: Any) -> MarketOrderRequest:
    return MarketOrderRequest(
        symbol="AAPL", qty=qty, side=OrderSide.BUY, time_in_force=TimeInForce.DAY, **fields
    )


def resting_buy(symbol: str = "AAPL", **fields: Any) -> LimitOrderRequest:
    return LimitOrderRequest(
        symbol=symbol,
        qty=1,
        side=OrderSide.BUY,
        time_in_force=TimeInForce.GTC,
        limit_price=1.5,
        **fields,
    )


def status_of(client: Any, order_id: object) -> object:
    return client.get_order_by_id(str(order_id)).status


def test_a_submit_answers_pending_new_with_every_field(raw: Any) -> None:
    order = raw.submit_order(market_buy(client_order_id="first-1"))

    check(TRADING, "/v2/orders", order, method="post")
    assert set(order) == FIELDS
    assert order["status"] == "pending_new"
    assert order["order_class"] == ""
    assert order["client_order_id"] == "first-1"
    assert order["qty"] == "2"
    assert order["filled_qty"] == "0"
    assert order["filled_avg_price"] is None
    assert order["position_intent"] == "buy_to_open"
    assert order["submitted_at"].endswith("Z")
    assert len(order["submitted_at"]) == len("2023-12-12T22:31:24.668464435Z")


def test_a_market_order_fills_and_becomes_a_position(raw: Any) -> None:
    placed = raw.submit_order(market_buy())

    until(lambda: raw.get_order_by_id(placed["id"])["status"] == "filled")

    (filled,) = raw.get_orders(GetOrdersRequest(status=QueryOrderStatus.CLOSED))
    assert filled["id"] == placed["id"]
    assert filled["status"] == "filled"
    assert filled["filled_qty"] == "2"
    positions = raw.get_all_positions()
    check(TRADING, "/v2/positions", positions)
    check_schema(TRADING, "Position", raw.get_open_position("AAPL"))
    assert [(p["symbol"], p["qty"], p["qty_available"]) for p in positions] == [("AAPL", "2", "2")]
    assert positions[0]["avg_entry_price"] == filled["filled_avg_price"]


def test_a_parsed_client_reads_positions(parsed: Any) -> None:
    order = parsed.submit_order(market_buy())
    until(lambda: status_of(parsed, order.id) is OrderStatus.FILLED)

    position = parsed.get_open_position("AAPL")

    assert position.side.value == "long"
    assert parsed.get_open_position(position.asset_id).qty == "2"
    assert [each.symbol for each in parsed.get_all_positions()] == ["AAPL"]


def test_an_order_is_read_by_all_its_ids(raw: Any) -> None:
    order = raw.submit_order(resting_buy(client_order_id="mine: ä/1"))

    until(lambda: raw.get_order_by_id(order["id"])["status"] == "new")

    by_id = raw.get_order_by_id(order["id"])
    check(TRADING, "/v2/orders/{order_id}", by_id)
    assert raw.get_order_by_client_id("mine: ä/1") == by_id
    assert raw.get_orders() == [by_id]


def test_a_canceled_order_ends_canceled(parsed: Any) -> None:
    order = parsed.submit_order(resting_buy())

    assert parsed.cancel_order_by_id(order.id) is None

    until(lambda: status_of(parsed, order.id) is OrderStatus.CANCELED)
    assert parsed.get_orders() == []


def test_cancelling_a_final_order_names_its_state(parsed: Any) -> None:
    order = parsed.submit_order(market_buy())
    until(lambda: status_of(parsed, order.id) is OrderStatus.FILLED)

    with pytest.raises(APIError) as refused:
        parsed.cancel_order_by_id(order.id)

    assert refused.value.status_code == 422
    assert refused.value.code == 42210000
    assert refused.value.message == 'order is already in "filled" state'


def test_cancel_all_answers_one_status_for_each_order(raw: Any, parsed: Any) -> None:
    ids = {raw.submit_order(resting_buy(symbol))["id"] for symbol in ("AAPL", "MSFT", "BRK.B")}

    answers = raw.cancel_orders()

    check(TRADING, "/v2/orders", answers, method="delete", status=207)
    assert {answer["id"] for answer in answers} == ids
    assert {answer["status"] for answer in answers} == {200}
    until(lambda: raw.get_orders() == [])
    assert parsed.cancel_orders() == []


def test_lists_are_filtered_and_paged_by_submission(raw: Any) -> None:
    placed = [raw.submit_order(resting_buy(symbol)) for symbol in ("AAPL", "MSFT", "AAPL", "F")]
    ids = [order["id"] for order in placed]

    def listed(**query: Any) -> list[str]:
        return [order["id"] for order in raw.get_orders(GetOrdersRequest(**query))]

    check(TRADING, "/v2/orders", raw.get("/orders", {"status": "all"}))
    assert listed() == ids[::-1]
    assert listed(direction="asc") == ids
    assert listed(limit=2) == ids[:1:-1]
    assert listed(symbols=["MSFT", "F"]) == [ids[3], ids[1]]
    assert listed(side=OrderSide.SELL) == []
    assert listed(status=QueryOrderStatus.CLOSED) == []
    # Both bounds are exclusive; alpaca-py would cut the nanoseconds.
    bounds = {"after": placed[0]["submitted_at"], "until": placed[3]["submitted_at"]}
    assert [order["id"] for order in raw.get("/orders", bounds)] == [ids[2], ids[1]]


def test_an_order_for_dollars_fills_to_nine_decimals(raw: Any) -> None:
    order = raw.submit_order(
        MarketOrderRequest(
            symbol="MSFT", notional=500, side=OrderSide.BUY, time_in_force=TimeInForce.DAY
        )
    )
    assert (order["notional"], order["qty"]) == ("500", None)

    until(lambda: raw.get_order_by_id(order["id"])["status"] == "filled")

    filled = raw.get_order_by_id(order["id"])
    check(TRADING, "/v2/orders/{order_id}", filled)
    spent = float(filled["filled_qty"]) * float(filled["filled_avg_price"])
    assert spent == pytest.approx(500, abs=0.0001)
    assert len(filled["filled_qty"].partition(".")[2]) <= 9


def test_decimals_may_arrive_as_text(raw: Any) -> None:
    order = raw.post(
        "/orders",
        {
            "symbol": "AAPL",
            "qty": "3.0",
            "side": "buy",
            "type": "limit",
            "limit_price": "1.50",
            "time_in_force": "gtc",
        },
    )

    assert (order["qty"], order["limit_price"]) == ("3", "1.5")
    assert str(UUID(order["client_order_id"])) == order["client_order_id"]


def test_an_unknown_order_is_404_and_a_malformed_id_422(raw: Any) -> None:
    unknown = str(uuid4())

    with pytest.raises(APIError, match=f"order not found for {unknown}") as missing:
        raw.get_order_by_id(unknown)
    with pytest.raises(APIError, match="order not found for nobody") as nobody:
        raw.get_order_by_client_id("nobody")
    with pytest.raises(APIError, match="order_id is missing") as malformed:
        raw.get("/orders/not-an-id")

    assert [e.value.status_code for e in (missing, nobody, malformed)] == [404, 404, 422]
    assert malformed.value.code == 40010001


def test_another_account_sees_nothing_of_an_order(raw: Any, broker: Any) -> None:
    order = raw.submit_order(resting_buy(client_order_id="secret"))
    other = f"o-{uuid4().hex[:8]}"

    read = broker.trade(other, "GET", f"/v2/orders/{order['id']}")
    canceled = broker.trade(other, "DELETE", f"/v2/orders/{order['id']}")

    assert (read.status_code, canceled.status_code) == (404, 404)
    assert raw.get_order_by_id(order["id"])["status"] in ("pending_new", "new")
