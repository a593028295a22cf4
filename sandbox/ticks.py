"""The messages of the data streams, encoded one by one, so that each is encoded once for everybody.

JSON has RFC 3339 texts, msgpack its own timestamps (alpaca-py loses a message with a text there).
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgpack  # type: ignore[import-untyped] # it has no stubs here
import orjson

from sandbox.instants import SECOND, rfc3339


class Tick(NamedTuple):
    """One message without its time, and the instant that it carries."""

    body: Mapping[str, Any]
    at: int


def tick(kind: str, symbol: str, rendered: Mapping[str, object], at: int) -> Tick:
    """What a REST answer shows of a symbol, as the stream tells it at an instant."""
    untimed = {key: value for key, value in rendered.items() if key != "t"}
    return Tick({"T": kind, "S": symbol, **untimed}, at)


class Json:
    """Text frames, each an array of messages."""

    is_binary = False

    def control(self, message: Mapping[str, Any]) -> bytes:
        """A whole frame of one message without a time."""
        return self.frame([orjson.dumps(message)])

    def encode(self, told: Tick) -> bytes:
        """One message of a frame."""
        return orjson.dumps({**told.body, "t": rfc3339(told.at)})

    def frame(self, messages: Iterable[bytes]) -> bytes:
        """An array of messages."""
        return b"[" + b",".join(messages) + b"]"

    def decode(self, data: str | bytes) -> Any:
        """What a client said.

        Raises:
            ValueError: it cannot be read.
        """
        return orjson.loads(data)


class MessagePack:
    """Binary frames, asked for by the handshake's Content-Type."""

    is_binary = True

    def control(self, message: Mapping[str, Any]) -> bytes:
        """A whole frame of one message without a time."""
        return self.frame([msgpack.packb(message)])

    def encode(self, told: Tick) -> bytes:
        """One message of a frame."""
        stamp = msgpack.Timestamp(*divmod(told.at, SECOND))
        return bytes(msgpack.packb({**told.body, "t": stamp}))

    def frame(self, messages: Iterable[bytes]) -> bytes:
        """An array of messages."""
        listed = list(messages)
        return bytes(msgpack.Packer().pack_array_header(len(listed))) + b"".join(listed)

    def decode(self, data: str | bytes) -> Any:
        """What a client said.

        Raises:
            ValueError: it cannot be read.
        """
        raw = data.encode() if isinstance(data, str) else data
        try:
            return msgpack.unpackb(raw)
        except (msgpack.UnpackException, msgpack.ExtraData) as error:
            raise ValueError("no msgpack") from error


Codec = Json | MessagePack
JSON, MSGPACK = Json(), MessagePack()
