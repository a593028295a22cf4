"""The `trade_updates` sockets of all accounts of a process, on one loop in one thread.

Each account has one task: connect, authenticate, listen, tell the owner (who reconciles, because
the stream replays nothing), read; after any ending wait with jitter and begin again. Messages go
out raw; nothing here parses an order or touches a database.
"""

import asyncio
import logging
import random
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Coroutine
from dataclasses import dataclass, field
from typing import Any, Never
from urllib.parse import urlsplit

import msgspec
import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from opitios.broker.alpaca.backoff import (
    Ending,
    NotListening,
    StreamState,
    StreamTimers,
    Unauthorized,
    crowd_seconds,
    ending_of,
    pause_seconds,
)
from opitios.broker.alpaca.drains import Handler, Overflow
from opitios.broker.alpaca.echoes import without_keys
from opitios.broker.alpaca.transport import tls_context
from opitios.broker.alpaca.wire import Control, decode_trade_update
from opitios.broker.port import Credentials

log = structlog.get_logger(__name__)

# websockets writes whole frames to its debug log, the one with the secret included: its logger is
# ours and stays at WARNING whatever the process's level is.
_frames_log = logging.getLogger("opitios.broker.frames")
_frames_log.setLevel(logging.WARNING)

_MESSAGE_BYTES = 1024 * 1024
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}

# What a connection is expected to end with; anything else is logged with its traceback.
_ENDINGS = (OSError, WebSocketException, Overflow, Unauthorized, NotListening)

StateListener = Callable[[str, StreamState], None]


class _Connect(connect):
    """A handshake that follows no redirect: the keys are sent right after it."""

    def process_redirect(self, exc: Exception) -> Exception:
        return exc


@dataclass(frozen=True, slots=True)
class Wanted:
    """An account whose stream is to be open, its present keys and the address."""

    account_id: str
    credentials: Credentials = field(repr=False)
    url: str


@dataclass(slots=True)
class _Line:
    """One account's stream, as long as it is wanted."""

    account_id: str
    credentials: Credentials
    url: str
    state: StreamState = "connecting"
    failures: int = 0
    # When its last message came, in epoch seconds.
    heard_at: float | None = None
    task: asyncio.Task[None] | None = field(default=None, repr=False)


class TradeUpdates:
    """Keeps one socket per account listening until it is dropped.

    `deliver(account_id, raw, received_at)` gets each message after `listening`; `received_at` is
    in epoch seconds. `on_state(account_id, state)` gets every change, `listening` before the first
    message. Both are called on the loop's thread and must not block. If `deliver` raises Overflow,
    the socket is closed and opened again, so that the owner's reconciliation heals the gap.
    """

    def __init__(
        self,
        *,
        deliver: Handler,
        on_state: StateListener,
        timers: StreamTimers | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self.counts: Counter[str] = Counter(connections=0, messages=0, overflows=0, failures=0)
        self._deliver = deliver
        self._on_state = on_state
        self._timers = timers or StreamTimers()
        self._ssl_context = ssl_context or tls_context()
        self._dice = random.SystemRandom()
        self._lines: dict[str, _Line] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="trade-updates", daemon=True)

    def start(self) -> None:
        """Start the loop's thread, once, after forking."""
        self._thread.start()

    def listen(self, account_id: str, credentials: Credentials, stream_url: str) -> None:
        """Keep this account's stream open from now on; a second call replaces keys and address."""
        self.listen_all([Wanted(account_id, credentials, stream_url)])

    def listen_all(self, wanted: Collection[Wanted]) -> None:
        """The same for many accounts: the more they are, the wider their connects spread."""
        lines = [_Line(each.account_id, each.credentials, each.url) for each in wanted]
        self._ask(self._begin_all(lines))

    def drop(self, account_id: str) -> None:
        """Close this account's stream and return when it is closed; another owner may connect."""
        self._ask(self._end(account_id))

    def drop_all(self, account_ids: Collection[str]) -> None:
        """Begin to close these accounts' streams, all at once.

        Does not wait: a peer that answers no close would keep its caller for seconds.
        """
        asyncio.run_coroutine_threadsafe(self._end_all(list(account_ids)), self._loop)

    def states(self) -> dict[str, StreamState]:
        """Return each account's present state."""
        return {line.account_id: line.state for line in list(self._lines.values())}

    def last_messages(self) -> dict[str, float]:
        """When each account's last message came (epoch seconds), for those that had one."""
        heard = ((line.account_id, line.heard_at) for line in list(self._lines.values()))
        return {account_id: at for account_id, at in heard if at is not None}

    def stop(self) -> None:
        """Close every stream, then the loop and its thread. Only after `start`."""
        self._ask(self._end_all(list(self._lines)))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _ask(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine on the loop and wait for it."""
        if threading.current_thread() is self._thread:
            work.close()
            raise RuntimeError("called from a callback: it would wait for itself")
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _begin_all(self, lines: list[_Line]) -> None:
        await asyncio.gather(*(self._begin(line, crowd=len(lines)) for line in lines))

    async def _begin(self, line: _Line, crowd: int) -> None:
        starts_in = crowd_seconds(crowd, self._timers, self._dice)
        while line.account_id in self._lines:
            await self._end(line.account_id)
            starts_in = 0.0
        self._lines[line.account_id] = line
        line.task = asyncio.create_task(self._keep(line, starts_in))

    async def _end(self, account_id: str) -> None:
        line = self._lines.get(account_id)
        if line is None or line.task is None:
            return
        # Twice would cut its closing handshake short.
        if not line.task.cancelling():
            line.task.cancel()
        await asyncio.wait({line.task})
        # Closed: the broker takes the account's next connection.
        if self._lines.get(account_id) is line:
            del self._lines[account_id]

    async def _end_all(self, account_ids: list[str]) -> None:
        await asyncio.gather(*(self._end(account_id) for account_id in account_ids))

    async def _keep(self, line: _Line, starts_in: float) -> None:
        await asyncio.sleep(starts_in)
        while True:
            ending = await self._one_connection(line)
            self._note(line, ending)
            await self._rest(line, ending)

    async def _one_connection(self, line: _Line) -> Ending:
        """Connect, sign in and read until something ends it; say what did."""
        self._tell(line, "connecting")
        try:
            async with self._connection(line.url) as socket:
                async with asyncio.timeout(self._timers.sign_in):
                    await _sign_in(socket, line.credentials)
                self._tell(line, "listening")
                await self._read(socket, line)
        except _ENDINGS as error:
            return ending_of(error, self._timers)
        except Exception as error:  # a process loop: whatever happened, this account goes on
            log.exception("trade stream failed", account=line.account_id)
            return ending_of(error, self._timers)

    def _connection(self, url: str) -> connect:
        parts = urlsplit(url)
        return _Connect(
            url,
            ssl=self._ssl_context if parts.scheme == "wss" else None,
            proxy=None if parts.hostname in _LOOPBACK else True,
            compression=None,
            open_timeout=self._timers.open,
            ping_interval=self._timers.ping_every,
            ping_timeout=self._timers.ping_answer,
            close_timeout=self._timers.close,
            max_size=_MESSAGE_BYTES,
            logger=_frames_log,
        )

    async def _read(self, socket: ClientConnection, line: _Line) -> Never:
        while True:
            message = await socket.recv()
            heard = message.encode() if isinstance(message, str) else message
            raw = without_keys(heard, (line.credentials.key_id, line.credentials.secret))
            self.counts["messages"] += 1
            line.heard_at = time.time()
            self._deliver(line.account_id, raw, line.heard_at)

    def _note(self, line: _Line, ending: Ending) -> None:
        was_listening = line.state == "listening"
        line.failures = 0 if was_listening and not ending.keeps_failures else line.failures + 1
        self.counts["overflows" if ending.reason == "overflow" else "failures"] += 1
        log.warning("trade stream ended", account=line.account_id, reason=ending.reason)
        self._tell(line, ending.state)

    async def _rest(self, line: _Line, ending: Ending) -> None:
        failures = max(0, line.failures - 1)
        await asyncio.sleep(max(ending.wait, pause_seconds(failures, self._timers, self._dice)))
        down = sum(other.state != "listening" for other in self._lines.values())
        await asyncio.sleep(crowd_seconds(down, self._timers, self._dice))

    def _tell(self, line: _Line, state: StreamState) -> None:
        line.state = state
        self.counts["connections"] += state == "listening"
        try:
            self._on_state(line.account_id, state)
        except Exception:  # a process loop: the owner's fault must not end the account's stream
            log.exception("stream state not handled", account=line.account_id, state=state)


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
