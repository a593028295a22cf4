"""The `trade_updates` sockets of all accounts of a process.

Connect, authenticate, listen, tell the owner (who reconciles, because the stream replays nothing),
read. Messages go out raw; nothing here parses an order or touches a database.
"""

import asyncio
import ssl
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Never

import msgspec
from websockets.asyncio.client import ClientConnection

from opitios.broker.alpaca.backoff import NotListening, StreamTimers, Unauthorized
from opitios.broker.alpaca.drains import Handler
from opitios.broker.alpaca.echoes import without_keys
from opitios.broker.alpaca.sockets import Line, Sockets, StateListener
from opitios.broker.alpaca.wire import Control, decode_trade_update
from opitios.broker.port import Credentials


@dataclass(frozen=True, slots=True)
class Wanted:
    """An account whose stream is to be open, its present keys and the address."""

    account_id: str
    credentials: Credentials = field(repr=False)
    url: str


class TradeUpdates(Sockets[Line]):
    """Keeps one socket per account listening until it is dropped.

    `deliver(account_id, raw, received_at)` gets each message after `listening`; `received_at` is
    in epoch seconds. `on_state(account_id, state)` gets every change, `listening` before the first
    message. Both are called on the loop's thread and must not block. If `deliver` raises Overflow,
    the socket is closed and opened again, so that the owner's reconciliation heals the gap.
    """

    called = "trade-updates"

    def __init__(
        self,
        *,
        deliver: Handler,
        on_state: StateListener,
        timers: StreamTimers | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(on_state=on_state, timers=timers, ssl_context=ssl_context)
        self._deliver = deliver

    def listen(self, account_id: str, credentials: Credentials, stream_url: str) -> None:
        """Keep this account's stream open from now on; a second call replaces keys and address."""
        self.listen_all([Wanted(account_id, credentials, stream_url)])

    def listen_all(self, wanted: Collection[Wanted]) -> None:
        """The same for many accounts: the more they are, the wider their connects spread."""
        self._keep([Line(each.account_id, each.credentials, each.url) for each in wanted])

    async def _converse(self, socket: ClientConnection, line: Line) -> Never:
        async with asyncio.timeout(self._timers.sign_in):
            await _sign_in(socket, line.credentials)
        self._tell(line, "listening")
        while True:
            message = await socket.recv()
            heard = message.encode() if isinstance(message, str) else message
            raw = without_keys(heard, (line.credentials.key_id, line.credentials.secret))
            self.counts["messages"] += 1
            line.heard_at = time.time()
            self._deliver(line.name, raw, line.heard_at)


async def _sign_in(socket: ClientConnection, credentials: Credentials) -> None:
    """Authenticate and listen. Raises Unauthorized or NotListening.

    An update that arrives before `listening` is skipped: the reconciliation that follows reads it.
    """
    keys = {"key_id": credentials.key_id, "secret_key": credentials.secret}
    await socket.send(_text({"action": "authenticate", "data": keys}))
    if (await _control(socket, "authorization")).status != "authorized":
        raise Unauthorized
    await socket.send(_text({"action": "listen", "data": {"streams": ["trade_updates"]}}))
    if "trade_updates" not in (await _control(socket, "listening")).streams:
        raise NotListening


async def _control(socket: ClientConnection, kind: str) -> Control:
    """Return the next control message of this kind. Raises NotListening for an error message."""
    while True:
        message = await socket.recv()
        heard = decode_trade_update(message.encode() if isinstance(message, str) else message)
        if isinstance(heard, Control) and heard.kind == kind:
            return heard
        if isinstance(heard, Control) and heard.status == "unauthorized":
            raise Unauthorized
        if isinstance(heard, Control) and heard.kind == "error":
            raise NotListening


def _text(message: dict[str, Any]) -> str:
    return msgspec.json.encode(message).decode()
