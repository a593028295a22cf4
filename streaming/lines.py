"""How frames reach a client: through a server's transport, or by ASGI where it lends none."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog

from streaming.frames import Frame

logger = structlog.get_logger("app")

# Key of the ASGI scope's `extensions` under which our server (server.py) lends a DirectLine.
EXTENSION = "opitios.line"
# Bytes written in one go: less than a transport takes before it asks us to pause.
BATCH_BYTES = 32_768


class Line(Protocol):
    """Where one socket's frames go. Nothing here waits: a line says when it is free again."""

    on_free: Callable[[], None]

    @property
    def is_free(self) -> bool:
        """Whether the client takes what it is sent: else it waits with us."""

    def write(self, frame: Frame) -> None:
        """Send a frame, or gather it; only while the line is free."""

    def flush(self) -> None:
        """Send what was gathered."""

    def let_go(self) -> None:
        """Send nothing more, and call nobody."""


class Transport(Protocol):
    """What a DirectLine needs of a server's connection."""

    @property
    def takes_more(self) -> bool:
        """Whether it is open, and its client reads."""

    def write(self, data: bytes) -> None:
        """Send bytes."""


class DirectLine:
    """Writes frames as they stand on the wire, many in one call of the system.

    A frame's bytes are the same for all its receivers: servers do not mask, and we do not compress.
    By ASGI each would be encoded again, and a task woken for it.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._gathered: list[bytes] = []
        self._bytes = 0
        self.on_free: Callable[[], None] = _nobody_waits

    @property
    def is_free(self) -> bool:
        """Whether the connection is open and has little left to send."""
        return self._transport.takes_more

    def write(self, frame: Frame) -> None:
        """Gather a frame."""
        wire = frame.wire
        self._gathered.append(wire)
        self._bytes += len(wire)
        if self._bytes >= BATCH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Send what was gathered."""
        gathered = self._gathered
        if gathered:
            self._transport.write(gathered[0] if len(gathered) == 1 else b"".join(gathered))
            gathered.clear()
            self._bytes = 0

    def let_go(self) -> None:
        """Call nobody any more."""
        self.on_free = _nobody_waits


class AsgiLine:
    """Sends frames one by one as ASGI events, under any server."""

    def __init__(self, send: Callable[[str], Awaitable[None]]) -> None:
        self._send = send
        self._sending: asyncio.Task[None] | None = None
        self.on_free: Callable[[], None] = _nobody_waits

    @property
    def is_free(self) -> bool:
        """Whether the last frame was taken."""
        return self._sending is None

    def write(self, frame: Frame) -> None:
        """Send a frame."""
        self._sending = asyncio.create_task(self._send_one(frame.text))

    def flush(self) -> None:
        """Do nothing: nothing is gathered."""

    def let_go(self) -> None:
        """Send no more of a frame that is not taken."""
        self.on_free = _nobody_waits
        if self._sending is not None:
            self._sending.cancel()

    async def _send_one(self, text: str) -> None:
        try:
            await self._send(text)
        except (OSError, RuntimeError) as error:
            # The client is gone, or the server has closed first (a frame too long, a ping that was
            # not answered): its disconnect event ends this socket. The line stays taken.
            logger.debug("a socket went while it was written to", error=str(error))
        else:
            self._sending = None
            self.on_free()


def _nobody_waits() -> None:
    pass
