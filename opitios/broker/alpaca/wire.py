"""Alpaca's words as values: orders on their way out, stream messages on their way in. Pure."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

import msgspec

from opitios.core.clock import rfc3339

_JSON = msgspec.json.Decoder(float_hook=Decimal)
_MSGPACK = msgspec.msgpack.Decoder()
_NOT_A_MESSAGE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ArithmeticError)
# The first byte of a JSON message; a MessagePack map begins at 0x80.
_JSON_STARTS = b"{[ \t\r\n"

UnreadableReason = Literal["not-json", "not-msgpack", "not-an-object", "no-event", "no-order"]


@dataclass(frozen=True, slots=True)
class TradeUpdate:
    """One message of `trade_updates` (alpaca-wire.md §3a).

    `event` and `order` are Alpaca's own, unknown words included. `price`, `qty` and `position_qty`
    belong to this execution and are None on other events. `at` is RFC 3339 as written.
    `data` is the whole message, with what only some carry (`legs`, `position_qtys`).
    """

    event: str
    order: Mapping[str, Any]
    execution_id: str | None
    price: str | None
    qty: str | None
    position_qty: str | None
    at: str | None
    event_id: str | None
    raw_sha256: str
    data: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Control:
    """Everything else the stream says.

    `kind` is the stream's name (`authorization`, `listening`), `error`, or `unknown`.
    """

    kind: str
    raw_sha256: str
    status: str | None = None
    streams: tuple[str, ...] = ()
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A message that is not what the stream promises; keep its bytes by the hash."""

    reason: UnreadableReason
    raw_sha256: str


def wire_order(order: Mapping[str, Any]) -> dict[str, Any]:
    """Return an order as it is sent: decimals as plain strings, keys with None left out.

    Raises TypeError for a float: 0.1 + 0.2 would be sent as 0.30000000000000004.
    """
    return {name: _wire_value(value) for name, value in order.items() if value is not None}


def _wire_value(value: Any) -> Any:
    if isinstance(value, str | bool | int):
        return value
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, Mapping):
        return wire_order(value)
    if isinstance(value, list | tuple):
        return [_wire_value(item) for item in value]
    raise TypeError(f"an order cannot carry a {type(value).__name__}")


def decode_trade_update(raw: bytes) -> TradeUpdate | Control | Unreadable:
    """Read one message of the trading stream: JSON (text or binary frame) or MessagePack.

    Never raises: what cannot be read is `Unreadable`, what is merely new is passed on.
    """
    digest = hashlib.sha256(raw).hexdigest()
    is_json = raw[:1] in _JSON_STARTS
    try:
        message = _JSON.decode(raw) if is_json else _MSGPACK.decode(raw)
    except _NOT_A_MESSAGE:
        return Unreadable("not-json" if is_json else "not-msgpack", digest)
    if not isinstance(message, dict):
        return Unreadable("not-an-object", digest)
    if message.get("stream") == "trade_updates":
        return _trade_update(message.get("data"), digest)
    return _control(message, digest)


def _trade_update(data: Any, digest: str) -> TradeUpdate | Unreadable:
    if not isinstance(data, dict) or not isinstance(data.get("event"), str):
        return Unreadable("no-event", digest)
    order = data.get("order")
    if not isinstance(order, dict):
        return Unreadable("no-order", digest)
    return TradeUpdate(
        event=data["event"],
        order=order,
        execution_id=_text(data.get("execution_id")),
        price=_text(data.get("price")),
        qty=_text(data.get("qty")),
        position_qty=_text(data.get("position_qty")),
        at=_text(data.get("at")) or _text(data.get("timestamp")),
        event_id=_text(data.get("event_id")),
        raw_sha256=digest,
        data=data,
    )


def _control(message: dict[Any, Any], digest: str) -> Control:
    data = message.get("data")
    said = data if isinstance(data, dict) else {}
    streams = said.get("streams")
    is_error = message.get("action") == "error"
    return Control(
        kind="error" if is_error else _text(message.get("stream")) or "unknown",
        raw_sha256=digest,
        status=_text(said.get("status")),
        streams=tuple(map(str, streams)) if isinstance(streams, list) else (),
        message=_text(said.get("error_message")),
    )


def _text(value: Any) -> str | None:
    """Return a field as text: numbers exactly as written, instants as RFC 3339."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, Decimal):
        return f"{value:f}"
    return str(value)
