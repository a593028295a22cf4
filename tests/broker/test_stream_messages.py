"""Reading the trading stream: Alpaca's own words, tolerant to what is new, never raising."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opitios.broker.alpaca.wire import Control, TradeUpdate, Unreadable, decode_trade_update

FILL = {
    "stream": "trade_updates",
    "data": {
        "event": "fill",
        "execution_id": "2f63ea93-423d-4169-b3f6-3fdafc10c418",
        "event_id": "01JJ3WE7",
        "at": "2025-01-22T18:37:25.1Z",
        "timestamp": "2025-01-22T18:37:25.0Z",
        "price": "179.08",
        "qty": "100",
        "position_qty": "100",
        "order": {"id": "61e69015", "status": "filled", "qty": "100"},
    },
}


@pytest.mark.parametrize("encode", [msgspec.json.encode, msgspec.msgpack.encode])
def test_a_fill_is_read_from_both_encodings(encode: Callable[[Any], bytes]) -> None:
    read = decode_trade_update(encode(FILL))

    assert isinstance(read, TradeUpdate)
    assert (read.event, read.order["id"]) == ("fill", "61e69015")
    assert (read.price, read.qty, read.position_qty) == ("179.08", "100", "100")
    assert (read.event_id, read.at) == ("01JJ3WE7", "2025-01-22T18:37:25.1Z")
    assert len(read.raw_sha256) == 64


def test_an_event_without_a_fill_has_no_figures() -> None:
    data = {"event": "new", "order": {}, "timestamp": "2025-01-22T18:37:25.0Z"}

    read = decode_trade_update(json.dumps({"stream": "trade_updates", "data": data}).encode())

    assert isinstance(read, TradeUpdate)
    assert (read.price, read.qty, read.position_qty, read.execution_id) == (None,) * 4
    assert read.at == "2025-01-22T18:37:25.0Z"


def test_unknown_words_and_fields_pass() -> None:
    data = {"event": "teleported", "order": {"colour": "blue"}, "legs": [1], "price": 0.1}
    raw = json.dumps({"stream": "trade_updates", "data": data}).replace("0.1", "0.10")

    read = decode_trade_update(raw.encode())

    assert isinstance(read, TradeUpdate)
    assert (read.event, read.order, read.price) == ("teleported", {"colour": "blue"}, "0.10")
    assert read.data["legs"] == [1]


def test_an_instant_in_messagepack_becomes_rfc3339() -> None:
    instant = datetime(2025, 1, 22, 18, 37, 25, 100000, tzinfo=UTC)
    data = {"event": "new", "order": {}, "timestamp": instant}

    read = decode_trade_update(msgspec.msgpack.encode({"stream": "trade_updates", "data": data}))

    assert isinstance(read, TradeUpdate)
    assert read.at == "2025-01-22T18:37:25.100000Z"


@pytest.mark.parametrize(
    ("message", "kind", "status", "streams", "error"),
    [
        (
            {"stream": "authorization", "data": {"status": "authorized"}},
            *("authorization", "authorized", (), None),
        ),
        (
            {"stream": "listening", "data": {"streams": ["trade_updates"]}},
            *("listening", None, ("trade_updates",), None),
        ),
        (
            {"action": "error", "data": {"error_message": "slow down"}},
            *("error", None, (), "slow down"),
        ),
        ({"stream": "listening", "data": {"streams": "x"}}, "listening", None, (), None),
        ({"hello": 1}, "unknown", None, (), None),
    ],
)
def test_everything_else_is_a_control_message(
    message: dict[str, Any],
    kind: str,
    status: str | None,
    streams: tuple[str, ...],
    error: str | None,
) -> None:
    read = decode_trade_update(json.dumps(message).encode())

    assert isinstance(read, Control)
    assert (read.kind, read.status, read.streams, read.message) == (kind, status, streams, error)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"{", "not-json"),
        (b"{" + b'"a":{' * 100_000, "not-json"),
        (b'{"a": "\xff"}', "not-json"),
        (b"", "not-json"),
        (b"\xc1", "not-msgpack"),
        (b"\x01", "not-an-object"),
        (b"[1]", "not-an-object"),
        (b'{"stream":"trade_updates"}', "no-event"),
        (b'{"stream":"trade_updates","data":{"event":7,"order":{}}}', "no-event"),
        (b'{"stream":"trade_updates","data":{"event":"new","order":[]}}', "no-order"),
    ],
)
def test_what_cannot_be_read_says_why(raw: bytes, reason: str) -> None:
    read = decode_trade_update(raw)

    assert isinstance(read, Unreadable)
    assert read.reason == reason


@given(st.binary(max_size=200))
def test_no_bytes_make_it_raise(raw: bytes) -> None:
    assert decode_trade_update(raw).raw_sha256


_ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
_FIELDS = ("event", "order", "price", "at", "status", "streams", "error_message")


@given(
    stream=st.sampled_from(["trade_updates", "listening", None, 7]),
    data=st.dictionaries(st.sampled_from(_FIELDS), _ANY_JSON) | _ANY_JSON,
)
def test_no_valid_json_makes_it_raise(stream: Any, data: Any) -> None:
    raw = json.dumps({"stream": stream, "data": data}).encode()

    assert decode_trade_update(raw).raw_sha256
