"""Order updates through the real TradingStream, parsed and raw."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from alpaca.trading.enums import OrderSide, TimeInForce
from alpaca.trading.models import TradeUpdate
from alpaca.trading.requests import LimitOrderRequest, MarketOrderRequest
from alpaca.trading.stream import TradingStream

from tests.support.crowd import patient
from tests.support.openapi import TRADING, check_schema, properties
from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until

pytestmark = pytest.mark.contract

SECONDS = patient(5.0)
GROUPED_ONLY = {"group_id", "group_role", "ratio_qty"}
ORDER_FIELDS = (properties(TRADING, "Order") - GROUPED_ONLY) | {"cancel_requested_at"}


@asynccontextmanager
async def updates(
    broker: SandboxProcess, account: str, *, raw_data: bool
) -> AsyncIterator[asyncio.Queue[Any]]:
    """A listening stream; every update arrives in the queue."""
    queue: asyncio.Queue[Any] = asyncio.Queue()

    async def keep(update: Any) -> None:
        await queue.put(update)

    stream = TradingStream(
        broker.key(account),
        broker.secret(account),
        raw_data=raw_data,
        url_override=broker.stream_url,
    )
    before = broker.get("health")["listening"]
    stream.subscribe_trade_updates(keep)
    running = asyncio.create_task(stream._run_forever())  # type: ignore[no-untyped-call] # alpaca-py's
    await asyncio.to_thread(until, lambda: broker.get("health")["listening"] > before)
    try:
        yield queue
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await stream.close()


async def take(queue: asyncio.Queue[Any], count: int) -> list[Any]:
    async with asyncio.timeout(SECONDS):
        return [await queue.get() for _ in range(count)]


def buy(qty: float = 4) -> MarketOrderRequest:
    return MarketOrderRequest(
        symbol="AAPL", qty=qty, side=OrderSide.BUY, time_in_force=TimeInForce.DAY
    )


def rest() -> LimitOrderRequest:
    return LimitOrderRequest(
        symbol="AAPL", qty=1, side=OrderSide.BUY, time_in_force=TimeInForce.GTC, limit_price=1.5
    )


async def test_a_market_order_is_told_new_then_fill(
    broker: SandboxProcess, account: str, raw: Any
) -> None:
    async with updates(broker, account, raw_data=True) as queue:
        order = raw.submit_order(buy())
        new, fill = await take(queue, 2)

    assert {new["stream"], fill["stream"]} == {"trade_updates"}
    new, fill = new["data"], fill["data"]
    assert (new["event"], fill["event"]) == ("new", "fill")
    assert (new["order"]["status"], fill["order"]["status"]) == ("new", "filled")
    assert {"price", "qty", "position_qty", "execution_id"}.isdisjoint(new)
    assert (fill["qty"], fill["position_qty"]) == ("4", "4")
    assert fill["price"] == fill["order"]["filled_avg_price"]
    assert new["event_id"] < fill["event_id"]
    assert len(fill["event_id"]) == 26
    assert fill["timestamp"] == fill["at"] == fill["order"]["filled_at"]
    assert fill["order"]["id"] == order["id"]


async def test_the_order_in_an_update_has_every_field(
    broker: SandboxProcess, account: str, raw: Any
) -> None:
    async with updates(broker, account, raw_data=True) as queue:
        raw.submit_order(buy())
        messages = await take(queue, 2)

    for message in messages:
        order = message["data"]["order"]
        check_schema(TRADING, "Order", order)
        assert set(order) >= ORDER_FIELDS
        assert order["cancel_requested_at"] is None


async def test_a_cancel_is_told_as_request_and_as_done(
    broker: SandboxProcess, account: str, raw: Any
) -> None:
    async with updates(broker, account, raw_data=True) as queue:
        order = raw.submit_order(rest())
        await take(queue, 1)
        raw.cancel_order_by_id(order["id"])
        asked, done = [message["data"] for message in await take(queue, 2)]

    assert (asked["event"], done["event"]) == ("pending_cancel", "canceled")
    assert asked["order"]["cancel_requested_at"] == asked["at"]
    assert done["order"]["canceled_at"] == done["at"]


async def test_a_parsed_stream_reads_every_update(
    broker: SandboxProcess, account: str, parsed: Any
) -> None:
    async with updates(broker, account, raw_data=False) as queue:
        parsed.submit_order(buy())
        messages = await take(queue, 2)

    assert all(isinstance(message, TradeUpdate) for message in messages)
    assert [message.event for message in messages] == ["new", "fill"]
    assert (messages[1].qty, messages[1].position_qty) == (4.0, 4.0)


async def test_a_partial_fill_tells_its_own_quantity(
    broker: SandboxProcess, account: str, raw: Any
) -> None:
    broker.post("fills", {"mode": "partial", "account": account})

    async with updates(broker, account, raw_data=True) as queue:
        raw.submit_order(buy(qty=5))
        parts = [message["data"] for message in await take(queue, 3)][1:]

    assert [part["event"] for part in parts] == ["partial_fill", "fill"]
    assert [part["qty"] for part in parts] == ["2", "3"]
    assert [part["position_qty"] for part in parts] == ["2", "5"]
    assert [part["order"]["filled_qty"] for part in parts] == ["2", "5"]
    assert parts[0]["order"]["status"] == "partially_filled"


async def test_an_account_hears_only_of_itself(
    broker: SandboxProcess, account: str, raw: Any
) -> None:
    other = f"{account}-b"

    async with updates(broker, other, raw_data=True) as queue:
        raw.submit_order(buy())
        broker.trade(other, "POST", "/v2/orders", json={**rest().to_request_fields()})
        (first,) = await take(queue, 1)

    assert first["data"]["order"]["type"] == "limit"
    assert queue.empty()
