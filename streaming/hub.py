"""One hub a process: brings each followed account's entries to its sockets, in order, none missed.

A push is a hint that carries the message along; the journal decides what was missed (law 3). All
state lives on the event loop; the journal is read on one thread.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection
from contextlib import suppress
from enum import Enum
from functools import lru_cache
from itertools import islice
from typing import Any, ParamSpec, TypeVar

import structlog
from channels.db import database_sync_to_async
from django.db import Error as DatabaseError

from accounts import presence
from accounts.refusals import get_refusals
from opitios.core import clock, database
from opitios.core.bus import Bus, Listener, Topic, get_bus
from opitios.core.config import Timers, get_config
from streaming import protocol, replay
from streaming.buffer import Outbox
from streaming.feeds import Feed
from streaming.loops import for_ever, yield_turn
from streaming.market import get_market
from streaming.protocol import Message

logger = structlog.get_logger("app")

# Two processes publish, so neighbours may swap places: a gap is given this long, in seconds.
SWAP_SECONDS = 0.02
# Between so many messages the sockets' writers get a turn: fewer than a socket's queue holds.
TURN = 64
# Pushes waiting for their turn; the journal has those beyond.
MAX_PUSHES = 10_000
# Accounts whose missing entries are read in one go.
ACCOUNTS_A_READ = 50

P = ParamSpec("P")
R = TypeVar("R")


class UnknownAccount(Exception):
    """An account that the roster does not hold."""


class Unreachable(Exception):
    """The journal cannot be read now."""


class _Opened(Enum):
    KNOWN = "known"
    UNKNOWN = "unknown"
    UNREACHABLE = "unreachable"


class Hub:
    """Feeds by account, and the loops that keep them moving."""

    def __init__(self, bus: Bus, timers: Timers) -> None:
        self._bus, self._timers = bus, timers
        self._feeds: dict[str, Feed] = {}
        self._opening: dict[str, asyncio.Future[_Opened]] = {}
        self._sockets: set[Outbox] = set()
        self._moved: set[str] = set()
        self._pushes: deque[Message] = deque()
        self._pushed = asyncio.Event()
        self._wanted = asyncio.Event()
        self._next_poll = 0.0
        self._started_at = clock.now()
        self._listener: Listener | None = None
        self._tasks: list[asyncio.Task[None]] = []

    # What sockets ask

    def enter(self, socket: Outbox) -> None:
        """Let a signed-in socket hear the heartbeat."""
        self._sockets.add(socket)

    async def open(self, account_ids: Collection[str]) -> None:
        """Learn where the accounts' journals stand. Raises UnknownAccount, Unreachable."""
        while opening := [name for name in account_ids if self._feed(name).seq is None]:
            await self._opened(opening)

    async def subscribe(self, socket: Outbox, account_ids: Collection[str]) -> dict[str, int]:
        """Let a socket follow accounts; the numbers from which their streams go on.

        The caller must queue its answer before it waits again: the next entry follows at once.
        Raises UnknownAccount (then none is followed), Unreachable.
        """
        await self.open(account_ids)
        numbers = {}
        for name in account_ids:
            feed = self._feeds[name]
            feed.subscribers.add(socket)
            numbers[name] = feed.seq or 0
        return numbers

    def unsubscribe(self, socket: Outbox, account_ids: Collection[str]) -> None:
        """Let a socket follow these accounts no more."""
        for name in account_ids:
            if name in self._feeds:
                self._feeds[name].subscribers.discard(socket)

    def leave(self, socket: Outbox, account_ids: Collection[str]) -> None:
        """Forget a socket."""
        self._sockets.discard(socket)
        self.unsubscribe(socket, account_ids)

    async def enabled_accounts(self) -> frozenset[str]:
        """Read which accounts the roster holds. Raises Unreachable."""
        try:
            return await _read(replay.enabled_accounts)
        except DatabaseError as error:
            raise Unreachable from error

    def _feed(self, account_id: str) -> Feed:
        feed = self._feeds.get(account_id)
        if feed is None:
            # From now on its pushes are kept, until the head says which of them are new.
            feed = self._feeds[account_id] = Feed(account_id)
            self._opening[account_id] = asyncio.get_running_loop().create_future()
            self._wanted.set()
        return feed

    async def _opened(self, account_ids: list[str]) -> None:
        waiting = [self._opening[name] for name in account_ids]
        await asyncio.wait(waiting)
        results = {future.result() for future in waiting}
        if _Opened.UNREACHABLE in results:
            raise Unreachable
        if _Opened.UNKNOWN in results:
            raise UnknownAccount

    # The loops

    def start(self) -> None:
        """Begin listening, reading, beating and reporting; once."""
        if self._tasks:
            return
        loop = asyncio.get_running_loop()

        def hand_over(message: Message) -> None:
            # On the listener's thread; what nobody follows never troubles the loop.
            if message.get("account_id") in self._feeds:
                loop.call_soon_threadsafe(self.push, message)

        self._listener = self._bus.listen(Topic.ORDERS, hand_over)
        steps = (self.show_pushes, self._read_on, self._beat_on, self._report_on)
        self._tasks = [asyncio.create_task(for_ever(step)) for step in steps]

    async def stop(self) -> None:
        """End the loops and the listener."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        if self._listener is not None:
            await asyncio.to_thread(self._listener.close)

    def push(self, message: Message) -> None:
        """Take a message that a writer published after its commit."""
        if len(self._pushes) < MAX_PUSHES:
            self._pushes.append(message)
            self._pushed.set()

    async def show_pushes(self) -> None:
        """Show what was pushed, and give the writers a turn now and then."""
        await self._pushed.wait()
        self._pushed.clear()
        while self._pushes:
            for _ in range(min(TURN, len(self._pushes))):
                self._offer(self._pushes.popleft())
            await yield_turn()

    def _offer(self, message: Message) -> None:
        feed = self._feeds.get(message["account_id"])
        if feed is None:
            return
        self._show(feed, feed.offer(message))
        if feed.is_behind:
            asyncio.get_running_loop().call_later(SWAP_SECONDS, self._wanted.set)

    def _show(self, feed: Feed, messages: list[Message]) -> None:
        if messages:
            self._moved.add(feed.account_id)
        for message in messages:
            frame = protocol.update(message, sent_at=clock.rfc3339(clock.now()))
            # A socket that overflows ends, and leaves the set only later.
            for socket in feed.subscribers:
                socket.put(frame)

    async def _read_on(self) -> None:
        loop = asyncio.get_running_loop()
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._next_poll):
                await self._wanted.wait()
        self._wanted.clear()
        poll = loop.time() >= self._next_poll
        if poll:
            self._next_poll = loop.time() + self._timers.stream_poll
        await self.read_journal(poll=poll)

    async def read_journal(self, *, poll: bool) -> None:
        """Open new feeds, find what is missing and show it.

        1. Read the heads of the feeds that are opening; with `poll` of all. 2. Read the entries of
        the feeds that are behind, until they are not. Postgres gone: those opening are told so.
        """
        try:
            await self._read_heads(poll=poll)
            while behind := list(islice(self._behind(), ACCOUNTS_A_READ)):
                await self._catch_up(behind)
        except DatabaseError as error:
            logger.warning("the journal cannot be read", error=type(error).__name__)
            for name in list(self._opening):
                self._decide(name, _Opened.UNREACHABLE)

    async def _read_heads(self, *, poll: bool) -> None:
        if poll:
            self._drop_unfollowed()
        asked = list(self._feeds if poll else self._opening)
        if not asked:
            return
        found = await _read(replay.heads, asked)
        for name in asked:
            if name in self._opening:
                self._open(name, found.get(name))
            elif name in self._feeds and name in found:
                self._feeds[name].note(found[name].seq)

    def _open(self, account_id: str, head: replay.Head | None) -> None:
        if head is None or not head.enabled:
            self._decide(account_id, _Opened.UNKNOWN)
            return
        feed = self._feeds[account_id]
        self._show(feed, feed.begin(head.seq))
        self._decide(account_id, _Opened.KNOWN)

    def _decide(self, account_id: str, result: _Opened) -> None:
        if result is not _Opened.KNOWN:
            del self._feeds[account_id]
        self._opening.pop(account_id).set_result(result)

    def _drop_unfollowed(self) -> None:
        for name, feed in list(self._feeds.items()):
            if not feed.subscribers and name not in self._opening:
                del self._feeds[name]

    def _behind(self) -> "filter[Feed]":
        return filter(lambda feed: feed.is_behind, self._feeds.values())

    async def _catch_up(self, behind: list[Feed]) -> None:
        shown = {feed.account_id: feed.seq or 0 for feed in behind}
        messages = await _read(replay.messages_after, shown)
        for number, message in enumerate(messages, start=1):
            self._offer(message)
            if number % TURN == 0:
                await yield_turn()
        for feed in behind:
            # A push of an entry that does not exist must not be waited for again and again.
            if feed.seq == shown[feed.account_id]:
                feed.forget_ahead()

    async def _beat_on(self) -> None:
        await asyncio.sleep(self._timers.stream_heartbeat)
        self.beat()

    def beat(self) -> None:
        """Tell every socket that the stream lives, and which of its accounts moved."""
        at = clock.rfc3339(clock.now())
        moved = [self._feeds[name] for name in sorted(self._moved) if name in self._feeds]
        self._moved.clear()
        told: dict[Outbox, dict[str, int]] = {socket: {} for socket in self._sockets}
        for feed in moved:
            for socket in feed.subscribers & self._sockets:
                told[socket][feed.account_id] = feed.seq or 0
        for socket, accounts in told.items():
            socket.put(protocol.heartbeat(at, accounts))

    async def _report_on(self) -> None:
        counted = {"sockets": len(self._sockets), "accounts": len(self._feeds)}
        snapshot = counted | get_market().part() | get_refusals().part()
        try:
            await _read(presence.write_row, self._started_at, snapshot)
        except DatabaseError as error:
            logger.warning("the pool row cannot be written", error=type(error).__name__)
        await asyncio.sleep(self._timers.pool_row)


async def _read(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a function that uses Postgres on its thread; its connection goes back at once."""

    def call() -> R:
        try:
            return function(*args, **kwargs)
        finally:
            database.release()

    result: Any = await database_sync_to_async(call)()
    return result  # type: ignore[no-any-return]  # channels is not typed


@lru_cache(maxsize=1)
def get_hub() -> Hub:
    """The hub of this process."""
    return Hub(get_bus(), get_config().timers)
