"""One hub a process: brings each followed account's entries to its sockets, in order, none missed.

A push is a hint that carries the message along; the journal decides what was missed (law 3). All
state lives on the event loop; the journal is read on one thread, for replays on others (resume.py).
"""

import asyncio
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from enum import Enum
from functools import lru_cache
from itertools import islice
from typing import Protocol

import structlog
from django.db import Error as DatabaseError

from accounts import presence
from accounts.refusals import get_refusals
from opitios.core import clock
from opitios.core.bus import Bus, Listener, Topic, get_bus
from opitios.core.config import Timers, get_config
from streaming import protocol, replay
from streaming.buffer import Outbox
from streaming.delivery import LIVE, Delivery
from streaming.feeds import Feed
from streaming.loops import for_ever, yield_turn
from streaming.market import get_market
from streaming.protocol import Gap, Message
from streaming.reads import read
from streaming.resume import Resumptions
from streaming.seats import get_seats

logger = structlog.get_logger("app")

# Two processes publish, so neighbours may swap places: a gap is given this long, in seconds.
SWAP_SECONDS = 0.02
# Between so many messages, or bytes, the sockets' writers get a turn: less than a queue holds.
TURN, TURN_BYTES = 64, 200_000
# Pushes waiting for their turn; the journal has those beyond.
MAX_PUSHES = 10_000
# Accounts whose missing entries are read in one go.
ACCOUNTS_A_READ = 50
# How often is looked whether pushes can come.
LOOK_SECONDS = 0.25


class UnknownAccount(Exception):
    """An account that the roster does not hold."""


class Unreachable(Exception):
    """The journal cannot be read now."""


class Follower(Protocol):
    """Whose socket it is: it hears which accounts there are, as of each poll."""

    def hear_roster(self, heads: Mapping[str, int], gone: Collection[str]) -> None:
        """Hear of every account and the last number of its journal, and of those just gone."""


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
        self._sockets: dict[Outbox, Follower] = {}
        self._moved: set[str] = set()
        self._pushes: deque[Message] = deque()
        self._pushed = asyncio.Event()
        self._wanted = asyncio.Event()
        self._next_poll = 0.0
        self._started_at = clock.now()
        self._listener: Listener | None = None
        self._delivery = Delivery(clock.monotonic(), self._started_at)
        self._tasks: list[asyncio.Task[None]] = []
        self._resumptions = Resumptions(self._feeds, pause_seconds=timers.stream_poll)
        self._roster: frozenset[str] = frozenset()
        # Rises with each change of which accounts there are.
        self.roster_changes = 0

    # What sockets ask

    def enter(self, socket: Outbox, follower: Follower) -> None:
        """Let a signed-in socket hear the heartbeat, and its follower of the roster."""
        self._sockets[socket] = follower

    async def open(self, account_ids: Collection[str]) -> None:
        """Learn where the accounts' journals stand. Raises UnknownAccount, Unreachable."""
        while opening := [name for name in account_ids if self._feed(name).seq is None]:
            await self._wait_until_open(opening)

    async def subscribe(
        self, socket: Outbox, account_ids: Collection[str], after: Mapping[str, int] | None = None
    ) -> dict[str, int]:
        """Let a socket follow accounts; the numbers from which their streams go on.

        Those that `after` names are brought up to date from there instead. The caller must queue
        its answer before it waits again: the next entry follows at once. Raises UnknownAccount
        (then none is followed), Unreachable.
        """
        await self.open(account_ids)
        after = after or {}
        for name in account_ids:
            self._feeds[name].follow(socket, after.get(name))
        if after:
            self._wanted.set()
            self._resumptions.bring_up_to_date(socket, after)
        return {name: self._feeds[name].seq or 0 for name in account_ids if name not in after}

    def subscribe_now(self, socket: Outbox, heads: Mapping[str, int]) -> dict[str, int]:
        """Let a socket follow accounts whose journals' ends were just heard; as `subscribe`."""
        numbers = {}
        for name, seq in heads.items():
            feed = self._feed(name)
            if feed.seq is None:
                self._begin(name, seq)
            feed.follow(socket)
            numbers[name] = feed.seq or 0
        return numbers

    async def heads(self, account_ids: Collection[str]) -> dict[str, int]:
        """Read the last numbers of journals of the roster as they are now.

        Raises UnknownAccount, Unreachable.
        """
        try:
            found = await read(replay.heads, account_ids)
        except DatabaseError as error:
            raise Unreachable from error
        if not all(name in found and found[name].enabled for name in account_ids):
            raise UnknownAccount
        return {name: head.seq for name, head in found.items()}

    def unsubscribe(self, socket: Outbox, account_ids: Collection[str]) -> None:
        """Let a socket follow these accounts no more."""
        for name in account_ids:
            if name in self._feeds:
                self._feeds[name].leave(socket)

    def leave(self, socket: Outbox, account_ids: Collection[str]) -> None:
        """Forget a socket."""
        self._sockets.pop(socket, None)
        self.unsubscribe(socket, account_ids)
        self._resumptions.leave(socket)

    async def enabled_accounts(self) -> frozenset[str]:
        """Read which accounts the roster holds. Raises Unreachable."""
        try:
            return frozenset(await read(replay.roster_heads))
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

    async def _wait_until_open(self, account_ids: list[str]) -> None:
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
        steps = (self._look_on, self.show_pushes, self._read_on, self._beat_on, self._report_on)
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
            size = count = 0
            while self._pushes and count < TURN and size < TURN_BYTES:
                size += self._offer(self._pushes.popleft())
                count += 1
            await yield_turn()

    def _offer(self, message: Message) -> int:
        """Show what can be shown with this message; its size in bytes."""
        feed = self._feeds.get(message["account_id"])
        if feed is None:
            return 0
        size = self._show(feed, feed.offer(message))
        if feed.is_behind:
            asyncio.get_running_loop().call_later(SWAP_SECONDS, self._wanted.set)
        return size

    def _show(self, feed: Feed, messages: list[Message]) -> int:
        if messages:
            self._moved.add(feed.account_id)
        size = 0
        for message in messages:
            frame = protocol.update(message, sent_at=clock.rfc3339(clock.now()))
            size += frame.size
            # A socket that overflows ends, and leaves the set only later.
            for socket in feed.receivers(message):
                socket.put(frame)
        return size

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
            await self._read_roster()
        elif asked := list(self._opening):
            found = await read(replay.heads, asked)
            for name in asked:
                head = found.get(name)
                self._begin(name, head.seq if head is not None and head.enabled else None)

    async def _read_roster(self) -> None:
        self._drop_unfollowed()
        if not self._feeds and not self._sockets:
            return
        # A feed that is made while the journals' ends are read is none of this poll's.
        heard = {name: feed.heard for name, feed in self._feeds.items()}
        heads = await read(replay.roster_heads)
        gone = self._note_heads(heads, heard)
        if self._roster != heads.keys():
            self._roster = frozenset(heads)
            self.roster_changes += 1
        for follower in list(self._sockets.values()):
            follower.hear_roster(heads, gone)

    def _note_heads(self, heads: Mapping[str, int], heard: Mapping[str, int]) -> set[str]:
        """Hear where journals end; `heard`: the feeds that were there before they were asked.

        Returns those whose accounts are gone.
        """
        for name in heard.keys() & self._opening.keys():
            self._begin(name, heads.get(name))
        known = heard.keys() & self._feeds.keys()
        for name in known & heads.keys():
            self._note_head(self._feeds[name], heads[name], heard[name])
        gone = known - heads.keys()
        for name in gone:
            del self._feeds[name]
        return gone

    def _note_head(self, feed: Feed, seq: int, heard: int) -> None:
        """Hear where a journal ends; `heard`: what was known of it before it was asked."""
        feed.note(seq)
        if seq < heard:
            # What was pushed was committed: the database is an older copy of what it was.
            logger.error(
                "a journal ends before what was shown", account_id=feed.account_id, seq=seq
            )
            gap = protocol.gap(feed.account_id, seq, Gap.REWOUND)
            frame = protocol.update(gap, sent_at=clock.rfc3339(clock.now()))
            for socket in feed.rewind(seq):
                socket.put(frame)

    def _begin(self, account_id: str, seq: int | None) -> None:
        if seq is None:
            self._decide(account_id, _Opened.UNKNOWN)
            return
        feed = self._feeds[account_id]
        self._show(feed, feed.begin(seq))
        self._decide(account_id, _Opened.KNOWN)

    def _decide(self, account_id: str, result: _Opened) -> None:
        if result is not _Opened.KNOWN:
            del self._feeds[account_id]
        self._opening.pop(account_id).set_result(result)

    def _drop_unfollowed(self) -> None:
        for name, feed in list(self._feeds.items()):
            if not (feed.subscribers or feed.late) and name not in self._opening:
                del self._feeds[name]

    def _behind(self) -> Iterator[Feed]:
        return (feed for feed in self._feeds.values() if feed.is_behind)

    async def _catch_up(self, behind: list[Feed]) -> None:
        shown = {feed.account_id: feed.seq or 0 for feed in behind}
        size = 0
        for number, message in enumerate(await read(replay.messages_after, shown), start=1):
            size += self._offer(message)
            if number % TURN == 0 or size > TURN_BYTES:
                size = 0
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
            for socket in feed.subscribers & self._sockets.keys():
                told[socket][feed.account_id] = feed.seq or 0
        for socket, accounts in told.items():
            socket.put(protocol.heartbeat(at, accounts))

    async def _look_on(self) -> None:
        await asyncio.sleep(LOOK_SECONDS)
        is_listening = self._listener is not None and self._listener.since is not None
        self.note_pushes(clock.monotonic(), is_listening=is_listening)

    def note_pushes(self, now: float, *, is_listening: bool) -> None:
        """Tell who follows accounts that pushes cease or begin to come; every entry comes anyhow.

        `now`: monotonic seconds.
        """
        if self._delivery.note(now, clock.now(), is_listening=is_listening):
            logger.warning("how order updates come has changed", state=self._delivery.state)
            frame = self._delivery.status()
            for socket in {each for feed in self._feeds.values() for each in feed.followers}:
                socket.put(frame)

    def tell_state(self, socket: Outbox) -> None:
        """Tell one that begins to follow accounts how updates come, where not as they should."""
        if self._delivery.state != LIVE:
            socket.put(self._delivery.status())

    async def _report_on(self) -> None:
        counted = {"sockets": len(self._sockets), "accounts": len(self._feeds)}
        counted["tasks"] = len(asyncio.all_tasks())
        snapshot = counted | get_market().part() | get_seats().part() | get_refusals().part()
        try:
            await read(presence.write_row, self._started_at, snapshot)
        except DatabaseError as error:
            logger.warning("the pool row cannot be written", error=type(error).__name__)
        await asyncio.sleep(self._timers.pool_row)


@lru_cache(maxsize=1)
def get_hub() -> Hub:
    """The hub of this process."""
    return Hub(get_bus(), get_config().timers)
