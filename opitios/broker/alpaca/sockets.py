"""Sockets to the broker that are kept open, on one loop in one thread.

Each has a line with one task: connect, converse, and after any ending wait with jitter and begin
again. What is said is up to who keeps them (streams.py, datastreams.py); nothing here touches a
database.
"""

import asyncio
import logging
import random
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from opitios.broker.alpaca.backoff import (
    Ending,
    NotListening,
    Silent,
    StreamRefused,
    StreamState,
    StreamTimers,
    Unauthorized,
    crowd_seconds,
    ending_of,
    pause_seconds,
)
from opitios.broker.alpaca.datawire import Unreadable
from opitios.broker.alpaca.drains import Overflow
from opitios.broker.alpaca.transport import tls_context
from opitios.broker.port import Credentials

log = structlog.get_logger(__name__)

# websockets writes whole frames to its debug log, the one with the secret included: its logger is
# ours and stays at WARNING whatever the process's level is.
_frames_log = logging.getLogger("opitios.broker.frames")
_frames_log.setLevel(logging.WARNING)

_MESSAGE_BYTES = 1024 * 1024
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}

# What a connection is expected to end with; anything else is logged with its traceback.
_ENDINGS = (
    OSError,
    WebSocketException,
    Overflow,
    Unauthorized,
    NotListening,
    Silent,
    StreamRefused,
    Unreadable,
)

# Gets a line's name and state, on the loop's thread; it must not block.
StateListener = Callable[[str, StreamState], None]


class _Connect(connect):
    """A handshake that follows no redirect: the keys are sent right after it."""

    def process_redirect(self, exc: Exception) -> Exception:
        return exc


@dataclass(slots=True)
class Line:
    """One socket, as long as it is wanted. `name` is its own among those kept together."""

    name: str
    credentials: Credentials = field(repr=False)
    url: str
    state: StreamState = "connecting"
    # Why it is not listening; None while it is, or where nobody said.
    reason: str | None = None
    # When its state began, in epoch seconds.
    since: float = 0.0
    failures: int = 0
    # When its last message came, in epoch seconds.
    heard_at: float | None = None
    task: asyncio.Task[None] | None = field(default=None, repr=False)


LineT = TypeVar("LineT", bound=Line)


class Sockets(Generic[LineT]):
    """Keeps one socket per line until the line is dropped."""

    # What this is called in logs and among threads.
    called: str

    def __init__(
        self,
        *,
        on_state: StateListener,
        timers: StreamTimers | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self.counts: Counter[str] = Counter(connections=0, messages=0, overflows=0, failures=0)
        self._on_state = on_state
        self._timers = timers or StreamTimers()
        self._ssl_context = ssl_context or tls_context()
        self._dice = random.SystemRandom()
        self._lines: dict[str, LineT] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=self.called, daemon=True)

    def start(self) -> None:
        """Start the loop's thread, once, after forking."""
        self._thread.start()

    def drop(self, name: str) -> None:
        """Close this line's socket and return when it is closed; another owner may connect."""
        self._ask(self._end(name))

    def drop_all(self, names: Collection[str]) -> None:
        """Begin to close these lines' sockets, all at once.

        Does not wait: a peer that answers no close would keep its caller for seconds.
        """
        asyncio.run_coroutine_threadsafe(self._end_all(list(names)), self._loop)

    def states(self) -> dict[str, StreamState]:
        """Return each line's present state."""
        return {line.name: line.state for line in list(self._lines.values())}

    def last_messages(self) -> dict[str, float]:
        """When each line's last message came (epoch seconds), for those that had one."""
        heard = ((line.name, line.heard_at) for line in list(self._lines.values()))
        return {name: at for name, at in heard if at is not None}

    def stop(self) -> None:
        """Close every socket, then the loop and its thread. Only after `start`."""
        self._ask(self._end_all(list(self._lines)))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _headers(self, line: LineT) -> Mapping[str, str]:
        """What the handshake of a line carries beside its own."""
        return {}

    async def _converse(self, socket: ClientConnection, line: LineT) -> None:
        """Sign in, `_tell` that the line is listening, and read until something ends it."""
        raise NotImplementedError

    def _keep(self, lines: Collection[LineT]) -> None:
        """Keep these open from now on, each in place of one of its name."""
        self._ask(self._begin_all(lines))

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _ask(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine on the loop and wait for it."""
        if threading.current_thread() is self._thread:
            work.close()
            raise RuntimeError("called from a callback: it would wait for itself")
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _begin_all(self, lines: Collection[LineT]) -> None:
        await asyncio.gather(*(self._begin(line, crowd=len(lines)) for line in lines))

    async def _begin(self, line: LineT, crowd: int) -> None:
        starts_in = crowd_seconds(crowd, self._timers, self._dice)
        while line.name in self._lines:
            await self._end(line.name)
            starts_in = 0.0
        self._lines[line.name] = line
        line.task = asyncio.create_task(self._keep_open(line, starts_in))

    async def _end(self, name: str) -> None:
        line = self._lines.get(name)
        if line is None or line.task is None:
            return
        # Twice would cut its closing handshake short.
        if not line.task.cancelling():
            line.task.cancel()
        await asyncio.wait({line.task})
        # Closed: the broker takes the account's next connection.
        if self._lines.get(name) is line:
            del self._lines[name]

    async def _end_all(self, names: list[str]) -> None:
        await asyncio.gather(*(self._end(name) for name in names))

    async def _keep_open(self, line: LineT, starts_in: float) -> None:
        await asyncio.sleep(starts_in)
        while True:
            ending = await self._one_connection(line)
            self._note(line, ending)
            await self._rest(line, ending)

    async def _one_connection(self, line: LineT) -> Ending:
        """Connect, sign in and read until something ends it; say what did."""
        self._tell(line, "connecting")
        try:
            async with self._connection(line) as socket:
                await self._converse(socket, line)
            return ending_of(NotListening(), self._timers)
        except _ENDINGS as error:
            return ending_of(error, self._timers)
        except Exception as error:  # a process loop: whatever happened, this account goes on
            log.exception("stream failed", stream=self.called, account=line.name)
            return ending_of(error, self._timers)

    def _connection(self, line: LineT) -> connect:
        parts = urlsplit(line.url)
        return _Connect(
            line.url,
            ssl=self._ssl_context if parts.scheme == "wss" else None,
            proxy=None if parts.hostname in _LOOPBACK else True,
            additional_headers=self._headers(line),
            compression=None,
            open_timeout=self._timers.open,
            ping_interval=self._timers.ping_every,
            ping_timeout=self._timers.ping_answer,
            close_timeout=self._timers.close,
            max_size=_MESSAGE_BYTES,
            logger=_frames_log,
        )

    def _note(self, line: LineT, ending: Ending) -> None:
        was_listening = line.state == "listening"
        line.failures = 0 if was_listening and not ending.keeps_failures else line.failures + 1
        self.counts["overflows" if ending.reason == "overflow" else "failures"] += 1
        log.warning("stream ended", stream=self.called, account=line.name, reason=ending.reason)
        self._tell(line, ending.state, ending.reason)

    async def _rest(self, line: LineT, ending: Ending) -> None:
        if ending.is_final:
            # Until other keys replace this line.
            await self._loop.create_future()
        failures = max(0, line.failures - 1)
        await asyncio.sleep(max(ending.wait, pause_seconds(failures, self._timers, self._dice)))
        down = sum(other.state != "listening" for other in self._lines.values())
        await asyncio.sleep(crowd_seconds(down, self._timers, self._dice))

    def _tell(self, line: LineT, state: StreamState, reason: str | None = None) -> None:
        line.state, line.reason, line.since = state, reason, time.time()
        self.counts["connections"] += state == "listening"
        try:
            self._on_state(line.name, state)
        except Exception:  # a process loop: the owner's fault must not end the account's stream
            log.exception("stream state not handled", account=line.name, state=state)
