"""What is said on the data sockets, as bytes and as values (alpaca-wire.md §3b, §3c). Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec
from msgspec.msgpack import Ext

# One message in Alpaca's keys; its times are RFC 3339 texts.
Message = dict[str, Any]

# A plain decoder would make datetimes of times, and lose their nanoseconds.
_Value = str | int | float | bool | None | Ext | list[Any] | dict[str, Any]
_MSGPACK = msgspec.msgpack.Decoder(list[dict[str, _Value]])
_JSON = msgspec.json.Decoder(list[dict[str, Any]])
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

# msgpack's own extension for instants, in its three lengths.
_TIMESTAMP = -1
_SECONDS_BITS = 34


class Unreadable(Exception):
    """A frame that is no array of messages."""


def written(message: Mapping[str, Any], *, is_packed: bool) -> bytes | str:
    """Write what we say: a binary frame of msgpack, or a text frame of JSON."""
    if is_packed:
        return msgspec.msgpack.encode(message)
    return msgspec.json.encode(message).decode()


def read(raw: bytes, *, is_packed: bool) -> list[Message]:
    """Read one frame. Raises Unreadable."""
    try:
        messages = _MSGPACK.decode(raw) if is_packed else _JSON.decode(raw)
        if is_packed:
            for message in messages:
                _spell_out_times(message)
    except (*_UNREADABLE, ValueError, OverflowError, OSError) as error:
        raise Unreadable(type(error).__name__) from error
    return messages


def _spell_out_times(message: Message) -> None:
    found = [key for key, value in message.items() if isinstance(value, Ext)]
    for key in found:
        message[key] = _instant(message[key])


def _instant(ext: Ext) -> str:
    """Write msgpack's timestamp as RFC 3339 with nanoseconds. Raises ValueError for another."""
    if ext.code != _TIMESTAMP:
        raise ValueError("an extension that is no instant")
    data = bytes(ext.data)
    match len(data):
        case 4:
            seconds, nanoseconds = int.from_bytes(data), 0
        case 8:
            both = int.from_bytes(data)
            nanoseconds, seconds = both >> _SECONDS_BITS, both & ((1 << _SECONDS_BITS) - 1)
        case 12:
            nanoseconds = int.from_bytes(data[:4])
            seconds = int.from_bytes(data[4:], signed=True)
        case _:
            raise ValueError("an instant of an unknown length")
    return f"{_second(seconds)}.{nanoseconds:09d}Z"


# The quotes of one moment share their second.
@lru_cache(maxsize=64)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S")
