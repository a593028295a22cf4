"""The messages of the `trade_updates` stream. Pure."""

from decimal import Decimal
from typing import Any

import orjson

from sandbox.amounts import text
from sandbox.events import Filled, Moved, Placed
from sandbox.instants import rfc3339, rfc3339_or_none
from sandbox.orders import Order, render_order

STREAM = "trade_updates"


def render_update(
    event: Placed | Moved | Filled, order: Order, position_qty: Decimal
) -> bytes | None:
    """The message that tells an event, its order as it stands after it; None for silent events.

    `position_qty` is the account's position in the order's symbol after the event; only fills
    tell it, beside this execution's own `price` and `qty`.
    """
    if event.event_id is None:
        return None
    data: dict[str, Any] = {
        "event": _event_word(event),
        "event_id": event.event_id,
        "at": rfc3339(event.at),
        "timestamp": rfc3339(event.at),
        "order": {
            **render_order(order),
            "cancel_requested_at": rfc3339_or_none(order.cancel_requested_at),
        },
    }
    if isinstance(event, Filled):
        data["execution_id"] = event.execution_id
        data["price"] = text(event.price)
        data["qty"] = text(event.qty)
        data["position_qty"] = text(position_qty)
    return orjson.dumps({"stream": STREAM, "data": data})


def _event_word(event: Placed | Moved | Filled) -> str:
    if isinstance(event, Filled):
        return "fill" if event.final else "partial_fill"
    return event.order.status if isinstance(event, Placed) else event.status


def render_authorization(*, action: str, authorized: bool) -> bytes:
    """The answer to `authenticate`, and to anything sent before it."""
    status = "authorized" if authorized else "unauthorized"
    return orjson.dumps({"stream": "authorization", "data": {"status": status, "action": action}})


def render_listening(streams: list[str]) -> bytes:
    """The answer to `listen`: the complete list now in force."""
    return orjson.dumps({"stream": "listening", "data": {"streams": streams}})


def render_error(message: str) -> bytes:
    """A protocol error; the connection stays open."""
    return orjson.dumps({"action": "error", "data": {"error_message": message}})
