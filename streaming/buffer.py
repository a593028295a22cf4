"""What waits to be sent to one socket: bounded, in order, with one writer."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from streaming.protocol import Close, Frame

# reliability.md G19: whichever comes first.
MAX_FRAMES = 256
MAX_BYTES = 1_000_000

Send = Callable[[str], Awaitable[None]]


class Outbox:
    """The frames of one socket on their way out.

    Order updates are never dropped one by one: a socket that does not keep up is closed as too slow
    and its client takes up again from the journal.
    """

    def __init__(self, *, max_frames: int = MAX_FRAMES, max_bytes: int = MAX_BYTES) -> None:
        self._max_frames, self._max_bytes = max_frames, max_bytes
        self._frames: deque[Frame] = deque()
        self._bytes = 0
        self._changed = asyncio.Event()
        self.sent = 0
        self.closing: int | None = None
        self.on_end: Callable[[], None] = lambda: None

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
        self._changed.set()

    def end(self, code: int) -> None:
        """Close with this code after what is queued has been sent. The first code stays."""
        if self.closing is None:
            self.closing = code
            self._changed.set()
            self.on_end()

    async def drain(self, send: Send) -> int:
        """Send what is queued, as it comes, until the end; the code to close with."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            while self._frames:
                frame = self._frames.popleft()
                self._bytes -= frame.size
                await send(frame.text)
                self.sent += 1
            if self.closing is not None:
                return self.closing
