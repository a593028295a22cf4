"""A broker, or what stands in front of it, may repeat our keys: they come no further (law 8). Pure.

What is hidden keeps its length: MessagePack counts the bytes of a text.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from opitios.broker.alpaca.outcomes import Reply

_KEY_HEADERS = ("APCA-API-KEY-ID", "APCA-API-SECRET-KEY")

# A shorter one than this is no key of Alpaca's, and might be any word of an answer.
_SHORTEST = 8


def keys_of(headers: Mapping[str, str]) -> tuple[str, ...]:
    """The key pair that a request carries."""
    return tuple(headers[name] for name in _KEY_HEADERS if name in headers)


def without_keys(raw: bytes, keys: Iterable[str]) -> bytes:
    """Hide keys in a message, also as JSON may write them."""
    for key in keys:
        for written in {key.encode(), key.replace("/", "\\/").encode()}:
            if len(written) >= _SHORTEST and written in raw:
                raw = raw.replace(written, b"*" * len(written))
    return raw


def hidden(reply: Reply, keys: tuple[str, ...]) -> Reply:
    """Hide keys in an answer: in its body and in the headers we keep."""
    body = without_keys(reply.body, keys)
    shown = [name for name, value in reply.headers.items() if any(key in value for key in keys)]
    if body is reply.body and not shown:
        return reply
    return replace(reply, body=body, headers={**reply.headers, **dict.fromkeys(shown, "***")})
