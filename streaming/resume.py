"""Sockets on their way from the numbers their clients had to the live feeds, page by page."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from itertools import islice

import structlog
from django.db import Error as DatabaseError

from opitios.core import clock
from streaming import protocol, replay
from streaming.buffer import Outbox
from streaming.feeds import Feed
from streaming.frames import Close
from streaming.protocol import Message
from streaming.reads import read_apart

logger = structlog.get_logger("app")

# Accounts that are looked at for one page, and messages in it: what a socket may hold in memory
# while its client reads.
ACCOUNTS_A_PAGE = 16
PAGE = 64
# Pages that are read at a time in a process: the others wait in line, and the live feeds for none.
READS_AT_ONCE = 2

# Given the last number of each account: the entries beyond, in order, as many as one page holds.
ReadPage = Callable[[Mapping[str, int]], Awaitable[list[Message]]]


class Resumption:
    """Shows a late socket what it misses.

    The next page is read, and the next frame of it queued, when the client has taken what was sent:
    a long replay fills no queue. What happens meanwhile is read from the journal too; where the
    journal has no more, the account's feed takes over in the same turn of the loop.
    """

    def __init__(self, socket: Outbox, feeds: Mapping[str, Feed], read: ReadPage) -> None:
        """`feeds`: the hub's, by account."""
        self._socket, self._feeds, self._read = socket, feeds, read
        self._names: dict[str, None] = {}

    def add(self, account_ids: Iterable[str]) -> None:
        """Bring these accounts up to date, too."""
        self._names.update(dict.fromkeys(account_ids))

    @property
    def is_wanted(self) -> bool:
        """Whether there is anything left to show."""
        return self._socket.closing is None and next(self._missed(), None) is not None

    async def show_page(self) -> bool:
        """Show the next page; whether it held anything."""
        await self._socket.room()
        wanted = dict(islice(self._missed(), ACCOUNTS_A_PAGE))
        page = await self._read(wanted)
        self._put_last(wanted)
        shown = False
        for frame in protocol.updates(self._next(page)):
            # From the feed's word that it is next to here nothing waits: nothing comes between.
            self._socket.put(frame)
            shown = True
            await self._socket.room()
        return shown

    def _missed(self) -> Iterator[tuple[str, int]]:
        for name in list(self._names):
            feed = self._feeds.get(name)
            number = None if feed is None else feed.misses(self._socket)
            if number is None:
                del self._names[name]
            else:
                yield name, number

    def _put_last(self, names: Iterable[str]) -> None:
        # Nobody waits behind an account that moves as fast as its client reads.
        for name in names:
            del self._names[name]
            self._names[name] = None

    def _next(self, page: Iterable[Message]) -> Iterator[Message]:
        for message in page:
            feed = self._feeds.get(message["account_id"])
            if feed is not None and feed.replay(self._socket, message):
                yield protocol.stamped(message, clock.rfc3339(clock.now()))


class Resumptions:
    """Those of a process: a task for each late socket."""

    def __init__(self, feeds: Mapping[str, Feed], *, pause_seconds: float) -> None:
        """`pause_seconds`: until the journal is asked again, where it had nothing or was away."""
        self._feeds, self._pause_seconds = feeds, pause_seconds
        self._resumptions: dict[Outbox, Resumption] = {}
        self._tasks: dict[Outbox, asyncio.Task[None]] = {}
        self._reads = asyncio.Semaphore(READS_AT_ONCE)

    def bring_up_to_date(self, socket: Outbox, account_ids: Iterable[str]) -> None:
        """Show a socket what it misses of these accounts, from the next turn of the loop on."""
        if socket not in self._resumptions:
            self._resumptions[socket] = Resumption(socket, self._feeds, self._read_page)
            self._tasks[socket] = asyncio.create_task(self._run(socket))
        self._resumptions[socket].add(account_ids)

    def leave(self, socket: Outbox) -> None:
        """Forget a socket."""
        self._resumptions.pop(socket, None)
        task = self._tasks.pop(socket, None)
        if task is not None:
            task.cancel()

    async def _run(self, socket: Outbox) -> None:
        resumption = self._resumptions[socket]
        try:
            while resumption.is_wanted:
                if not await self._show_page(resumption):
                    await asyncio.sleep(self._pause_seconds)
        except Exception:  # its client hears of it and comes back: nothing is lost silently
            logger.exception("a replay failed")
            socket.end(Close.INTERNAL)
        # Nothing waits between the last look and here: who comes later begins a new one.
        self._resumptions.pop(socket, None)
        self._tasks.pop(socket, None)

    async def _show_page(self, resumption: Resumption) -> bool:
        try:
            return await resumption.show_page()
        except DatabaseError as error:
            logger.warning("the journal cannot be read", error=type(error).__name__)
            return False

    async def _read_page(self, shown: Mapping[str, int]) -> list[Message]:
        async with self._reads:
            return await read_apart(replay.messages_after, shown, limit=PAGE)
