"""Stop, stop limit and trailing stop orders, and orders for dollars, with the real alpaca-py."""

from collections.abc import Iterator
from typing import Any

import pytest
from alpaca.trading.enums import OrderSide, OrderStatus, OrderType, TimeInForce
from alpaca.trading.models import Order
from alpaca.trading.requests import (
    LimitOrderRequest,
    MarketOrderRequest,
    StopLimitOrderRequest,
    StopOrderRequest,
    TrailingStopOrderRequest,
)

from tests.support.openapi import TRADING, check, check_schema
from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until

pytestmark = pytest.mark.contract

# A symbol that no other test of this folder moves.
SYMBOL = "KO"
SELL = {"symbol": SYMBOL, "qty": 3, "side": OrderSide.SELL, "time_in_force": TimeInForce.GTC}
BUY = {**SELL, "side": OrderSide.BUY}
TYPES = {
    StopOrderRequest: {"stop_price": 70.5},
    StopLimitOrderRequest: {"stop_price": 70.5, "limit_price": 71},
    TrailingStopOrderRequest: {"trail_percent": 1.5},
}


@pytest.fixture(autouse=True)
def _still(broker: SandboxProcess) -> Iterator[None]:
    broker.pin_price(SYMBOL, "60", "60.02")
    yield
    broker.post("prices", {SYMBOL: None})


def reached(client: Any, order: Order, status: OrderStatus) -> Order:
    """The order, once it is so."""

    def look() -> Order | None:
        found: Order = client.get_order_by_id(order.id)
        return found if found.status is status else None

    found = until(look)
    assert found is not None
    return found


@pytest.mark.parametrize(("kind", "prices"), TYPES.items())
def test_a_parsed_client_reads_back_what_it_asked_for(
    parsed: Any, raw: Any, kind: Any, prices: dict[str, float]
) -> None:
    order = parsed.submit_order(kind(**BUY, **prices))

    told = raw.get_order_by_id(str(order.id))
    check(TRADING, "/v2/orders/{order_id}", told)
    assert order.order_type is kind(**BUY, **prices).type
    for name, price in prices.items():
        assert float(getattr(order, name)) == price
        assert isinstance(told[name], str)
    assert reached(parsed, order, OrderStatus.NEW).filled_qty == "0"


def test_a_stop_sells_when_the_price_falls_to_it(parsed: Any, broker: SandboxProcess) -> None:
    held = parsed.submit_order(MarketOrderRequest(**BUY))
    reached(parsed, held, OrderStatus.FILLED)
    order = parsed.submit_order(StopOrderRequest(**SELL, stop_price=58))
    reached(parsed, order, OrderStatus.NEW)

    broker.pin_price(SYMBOL, "57.90", "57.95")

    filled = reached(parsed, order, OrderStatus.FILLED)
    assert (filled.filled_avg_price, filled.stop_price) == ("57.9", "58")
    assert parsed.get_all_positions() == []


def test_a_stop_limit_order_waits_for_both_prices(parsed: Any, broker: SandboxProcess) -> None:
    order = parsed.submit_order(StopLimitOrderRequest(**BUY, stop_price=62, limit_price=62.1))
    reached(parsed, order, OrderStatus.NEW)
    broker.pin_price(SYMBOL, "63", "63.02")
    broker.pin_price(SYMBOL, "62.02", "62.05")

    filled = reached(parsed, order, OrderStatus.FILLED)

    assert filled.filled_avg_price == "62.05"


def test_a_trailing_stop_shows_its_mark_and_fills_on_the_way_back(
    parsed: Any, raw: Any, broker: SandboxProcess
) -> None:
    held = parsed.submit_order(MarketOrderRequest(**BUY))
    reached(parsed, held, OrderStatus.FILLED)
    order = parsed.submit_order(TrailingStopOrderRequest(**SELL, trail_price=1))
    assert (order.type, order.hwm, order.stop_price) == (OrderType.TRAILING_STOP, "60", "59")
    reached(parsed, order, OrderStatus.NEW)

    broker.pin_price(SYMBOL, "65", "65.02")
    until(lambda: parsed.get_order_by_id(order.id).hwm == "65")
    told = raw.get_order_by_id(str(order.id))
    broker.pin_price(SYMBOL, "63.90", "63.92")
    filled = reached(parsed, order, OrderStatus.FILLED)

    check_schema(TRADING, "Order", told)
    assert (told["stop_price"], told["trail_price"], told["trail_percent"]) == ("64", "1", None)
    assert (filled.filled_avg_price, filled.hwm) == ("63.9", "65")


def test_marks_and_reached_stops_survive_sigkill(
    parsed: Any, broker: SandboxProcess, account: str
) -> None:
    broker.hold_fills(account)
    trailing = parsed.submit_order(TrailingStopOrderRequest(**BUY, trail_price=20))
    awake = parsed.submit_order(StopOrderRequest(**BUY, stop_price=61))
    for order in (trailing, awake):
        reached(parsed, order, OrderStatus.NEW)
    broker.pin_price(SYMBOL, "50", "50.02")
    until(lambda: parsed.get_order_by_id(trailing.id).hwm == "50.02")
    broker.pin_price(SYMBOL, "61", "61.02")
    broker.pin_price(SYMBOL, "40", "40.02")
    until(lambda: parsed.get_order_by_id(trailing.id).hwm == "40.02")

    broker.kill()
    broker.restart()
    broker.release_fills(account)

    # Its stop was reached before the kill, and the price has left it since.
    assert reached(parsed, awake, OrderStatus.FILLED).filled_avg_price == "40.02"
    assert parsed.get_order_by_id(trailing.id).stop_price == "60.02"


def test_dollars_and_parts_of_shares_fill_to_nine_decimals(parsed: Any) -> None:
    fields = {"symbol": SYMBOL, "side": OrderSide.BUY, "time_in_force": TimeInForce.DAY}
    orders = [
        parsed.submit_order(MarketOrderRequest(**fields, notional=100)),
        parsed.submit_order(LimitOrderRequest(**fields, qty=0.123456789, limit_price=61)),
    ]

    dollars, part = (reached(parsed, order, OrderStatus.FILLED) for order in orders)

    assert (dollars.notional, dollars.qty, dollars.filled_qty) == ("100", None, "1.666111296")
    assert (part.qty, part.filled_qty) == ("0.123456789", "0.123456789")


@pytest.mark.parametrize(
    ("tif", "qty", "limit", "end"),
    [
        (TimeInForce.IOC, 4, 61, OrderStatus.FILLED),
        (TimeInForce.FOK, 4, 61, OrderStatus.FILLED),
        (TimeInForce.IOC, 4, 50, OrderStatus.CANCELED),
        (TimeInForce.FOK, 4, 50, OrderStatus.CANCELED),
    ],
)
def test_an_immediate_order_trades_now_or_never(
    parsed: Any, tif: TimeInForce, qty: int, limit: float, end: OrderStatus
) -> None:
    order = parsed.submit_order(
        LimitOrderRequest(
            symbol=SYMBOL, qty=qty, side=OrderSide.BUY, time_in_force=tif, limit_price=limit
        )
    )

    assert reached(parsed, order, end).time_in_force is tif
