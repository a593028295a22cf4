"""What waits to be sent to one socket: bounded, in order, with one writer and two lanes."""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial

from marketdata.ticks import Item
from streaming import protocol
from streaming.backlog import Backlog, Entry
from streaming.frames import Close, Frame
from streaming.lines import Line

# reliability.md G19: whichever comes first.
MAX_FRAMES = 256
MAX_BYTES = 1_000_000
# Frames of market data that wait for the writer's turn; those beyond wait conflated.
MAX_BUNDLES = 64
# Messages of a backlog in one frame: an order update waits behind no more than one of them.
CHUNK = 64

# What may still wait when the next frame of a replay is added: the rest is for what happens now.
ROOM_FRAMES = 16
ROOM_BYTES = 100_000


@dataclass(frozen=True, slots=True)
class Bundle:
    """Market data that came together: one frame, the same for everybody who follows the same."""

    entries: Sequence[Entry]
    frame: Frame

    @classmethod
    def of(cls, entries: Sequence[Entry]) -> "Bundle":
        """Put encoded messages into one frame."""
        return cls(entries, protocol.joined(entry.text for entry in entries))


class Outbox:
    """The frames of one socket on their way out; market data leaves when nothing else waits.

    Order updates are never dropped one by one: a socket that does not keep up is closed as too slow
    and its client takes up again from the journal. Market data is conflated while the client does
    not take it.
    """

    def __init__(self, *, max_frames: int = MAX_FRAMES, max_bytes: int = MAX_BYTES) -> None:
        self._max_frames, self._max_bytes = max_frames, max_bytes
        self._frames: deque[Frame] = deque()
        self._bytes = 0
        self._bundles: deque[Bundle] = deque()
        self._backlog = Backlog()
        self._line: Line | None = None
        # Puts of one turn of the loop leave together.
        self._is_due = False
        self._ended: asyncio.Future[int] | None = None
        self._waiting: list[asyncio.Future[None]] = []
        self.sent = 0
        self.closing: int | None = None
        self.on_end: Callable[[], None] = lambda: None

    @property
    def dropped(self) -> int:
        """How many messages of market data this socket was not sent because it was slow."""
        return self._backlog.dropped

    def put(self, frame: Frame) -> None:
        """Queue a frame; a full queue ends the socket with 4008."""
        if self.closing is not None:
            return
        if len(self._frames) >= self._max_frames or self._bytes + frame.size > self._max_bytes:
            self._frames.clear()
            self.end(Close.TOO_SLOW)
            return
        self._frames.append(frame)
        self._bytes += frame.size
        self._wake()

    def put_market(self, bundle: Bundle) -> None:
        """Queue market data; for a client that does not keep up it is conflated and counted."""
        if self.closing is not None:
            return
        if self._is_blocked or self._backlog or len(self._bundles) >= MAX_BUNDLES:
            self._conflate()
            self._backlog.add(bundle.entries)
        else:
            self._bundles.append(bundle)
        self._wake()

    def count_dropped(self, channel: str, dropped: int) -> None:
        """Count messages that were left out before they came here: the client is told."""
        if self.closing is None:
            self._backlog.count(channel, dropped)
            self._wake()

    def forget(self, items: Collection[Item]) -> None:
        """Take back what was not sent yet of items that are followed no more."""
        self._conflate()
        self._backlog.forget(items)

    def end(self, code: int) -> None:
        """Close with this code after what is queued has been sent, but for market data.

        The first code stays.
        """
        if self.closing is None:
            self.closing = code
            self._bundles.clear()
            self._backlog.clear()
            self._wake()
            self._tell_waiting()
            self.on_end()

    async def room(self) -> None:
        """Wait until little waits to be sent, or the socket ends: for who could fill the queue."""
        while not self._has_room and self.closing is None:
            told = asyncio.get_running_loop().create_future()
            self._waiting.append(told)
            await told

    @property
    def _has_room(self) -> bool:
        return len(self._frames) < ROOM_FRAMES and self._bytes < ROOM_BYTES

    def _tell_waiting(self) -> None:
        told, self._waiting = self._waiting, []
        for each in told:
            if not each.done():
                each.set_result(None)

    async def drain(self, line: Line) -> int:
        """Send what is queued, as it comes, until the end; the code to close with."""
        self._ended = asyncio.get_running_loop().create_future()
        self._line, line.on_free = line, partial(self._send, line)
        self._wake()
        try:
            return await self._ended
        finally:
            self._line = None
            line.let_go()

    @property
    def _is_blocked(self) -> bool:
        """The client has not taken what it was sent yet: what it is sent next may still change."""
        return self._line is not None and not self._line.is_free

    def _wake(self) -> None:
        if self._line is not None and not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._send, self._line)

    def _send(self, line: Line) -> None:
        self._is_due = False
        if line is not self._line:
            return
        while line.is_free and (frame := self._next()) is not None:
            line.write(frame)
            self.sent += 1
        line.flush()
        if self._waiting and self._has_room:
            self._tell_waiting()
        self._end_if_empty()

    def _end_if_empty(self) -> None:
        over = self.closing is not None and not self._frames and not self._is_blocked
        if over and self._ended is not None and not self._ended.done():
            self._ended.set_result(self.closing or 0)

    def _next(self) -> Frame | None:
        if self._frames:
            frame = self._frames.popleft()
            self._bytes -= frame.size
            return frame
        if self._bundles:
            return self._bundles.popleft().frame
        waiting = self._backlog.take(CHUNK)
        return protocol.joined(waiting) if waiting else None

    def _conflate(self) -> None:
        while self._bundles:
            self._backlog.add(self._bundles.popleft().entries)
