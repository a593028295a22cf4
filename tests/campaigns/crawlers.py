"""Clients that hold a server up: their heads or bodies come slowly, never, or without end."""

import asyncio
import threading
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from opitios.core import clock


@dataclass(frozen=True, slots=True)
class Kind:
    """What such a client sends first, and what again and again."""

    name: str
    head: bytes
    drip: bytes
    every_seconds: float


def kinds(path: str, token: str) -> tuple[Kind, ...]:
    """Every kind there is; only those of a subject have a token, to place orders at the path."""
    target = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    mine = f"{target}Authorization: Bearer {token}\r\nContent-Length: 1000\r\n\r\n".encode()
    sign_in = b"POST /admin/login/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"
    return (
        Kind("silent", b"", b"", 0.5),
        Kind("slow-headers", target.encode(), b"X-A: b\r\n", 0.5),
        Kind("slow-bodies", f"{target}Content-Length: 1000\r\n\r\n".encode(), b"x", 0.5),
        Kind(
            "endless-bodies",
            f"{target}Transfer-Encoding: chunked\r\n\r\n".encode(),
            b"4000\r\n" + b"x" * 0x4000 + b"\r\n",
            0.05,
        ),
        Kind("slow-sign-ins", sign_in, b"x", 0.5),
        Kind("slow-bodies-of-one-subject", mine, b"x", 0.5),
        Kind("bodies-of-one-subject-that-never-come", mine, b"", 0.5),
    )


@dataclass(slots=True)
class Crowd:
    """So many clients of a kind, in a thread of their own, from enter to exit."""

    port: int
    kind: Kind
    clients: int
    # Who is cut off comes again so soon: a crowd that holds places, not a flood of requests.
    come_again_seconds: float = 1.0
    opened: int = 0
    # Connections the server ended, and how long the longest was let live.
    ended: int = 0
    longest_seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    _closing: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, name=self.kind.name, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        asyncio.run(self._all())

    async def _all(self) -> None:
        await asyncio.gather(*(self._one() for _ in range(self.clients)))

    async def _one(self) -> None:
        while not self._closing.is_set():
            began = clock.monotonic()
            with suppress(OSError):
                await self._connect()
            self.longest_seconds = max(self.longest_seconds, clock.monotonic() - began)
            await asyncio.sleep(self.come_again_seconds)

    async def _connect(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.opened += 1
        try:
            writer.write(self.kind.head)
            while not self._closing.is_set():
                if await self._is_over(reader):
                    self.ended += 1
                    return
                writer.write(self.kind.drip)
                await writer.drain()
        except ConnectionError:
            self.ended += 1
        finally:
            writer.close()

    async def _is_over(self, reader: asyncio.StreamReader) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(self.kind.every_seconds):
                line = await reader.readline()
                if line.startswith(b"HTTP/1.1 "):
                    self.statuses[int(line.split()[1])] += 1
                return line == b""
        return False

    def as_json(self) -> dict[str, object]:
        """What became of them."""
        return {
            "connections": self.opened,
            "ended_by_the_server": self.ended,
            "longest_seconds": round(self.longest_seconds, 1),
            "answers": {str(status): count for status, count in sorted(self.statuses.items())},
        }
