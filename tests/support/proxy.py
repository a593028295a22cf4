"""A TCP proxy in front of a server, with the faults that networks have."""

import socket
import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

# Linger on, for zero seconds: closing such a socket sends RST.
_RST = b"\x01\0\0\0\0\0\0\0"


@dataclass(eq=False)
class _Link:
    """One client's connection and ours to the server behind it."""

    client: socket.socket
    server: socket.socket
    # The next answer is read and thrown away, and the client cut off.
    eats: bool = False
    # The next answer is kept back until `let_go`.
    waits: bool = False

    def cut(self) -> None:
        for sock in (self.client, self.server):
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST)
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()


class Proxy:
    """Forwards bytes until told otherwise. A context manager; `port` is where it listens.

    The server is a host and a port, or the path of a unix socket.
    """

    def __init__(self, server: tuple[str, int] | str) -> None:
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._links: set[_Link] = set()
        self._swallow: bytes | None = None
        self._vanishes = False
        self._reads = threading.Event()
        self._reads.set()
        self._last: bytes | None = None
        self._instead: Iterable[bytes] = ()
        self._is_gone = self._is_black_hole = False
        self._kept: bytes | None = None
        self._let_go = threading.Event()
        self._waited_for: bytes | None = None
        # What is kept back is here: a request its server has not seen, or an answer.
        self.keeps = threading.Event()
        # Answers that never arrived.
        self.swallowed = 0
        self._thread = threading.Thread(target=self._accept, name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._reads.set()
        self.let_go()
        self.cut()
        self._thread.join(60)

    def swallow_the_answer_to(self, request: bytes, *, and_vanish: bool = False) -> None:
        """Let the next request with these bytes in it through, and its answer never.

        The server has then done what was asked, and its client sees a connection that broke.
        """
        self._swallow, self._vanishes = request, and_vanish

    def answer_instead(self, request: bytes, raw: Iterable[bytes]) -> None:
        """Let the next request with these bytes in it through, and answer it with others than come.

        The answer ends after them, or when its client has heard enough.
        """
        self._swallow, self._instead = request, raw

    def keep_back(self, request: bytes) -> None:
        """Keep the next request with these bytes in it until `let_go`: a packet on a long way."""
        self._kept = request
        self._let_go.clear()

    def keep_back_the_answer_to(self, request: bytes) -> None:
        """Let the next request with these bytes through, and keep its answer until `let_go`."""
        self._waited_for = request
        self._let_go.clear()

    def let_go(self) -> None:
        """Let what was kept back arrive."""
        self._let_go.set()

    def vanish(self) -> None:
        """Be a server that is gone: no connection lives, none is made."""
        self._is_gone = True
        self.cut()

    def hold(self) -> None:
        """Be a black hole: connections are taken, and nothing ever comes back."""
        self._is_black_hole = True

    def hold_after(self, request: bytes) -> None:
        """Be a black hole as soon as the next request with these bytes in it has got through."""
        self._last = request

    def stop_reading(self) -> None:
        """Take no more bytes than fit in the kernel: the rest is not confirmed to its sender."""
        self._reads.clear()

    def come_back(self) -> None:
        """Forward again."""
        self._is_gone = self._is_black_hole = False
        self._reads.set()
        self.cut()

    def cut(self) -> None:
        """Break every connection, with an RST."""
        for link in list(self._links):
            self._links.discard(link)
            link.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._is_gone:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST)
                client.close()
                continue
            link = _Link(client, self._reached())
            self._links.add(link)
            for run in (self._carry_requests, self._carry_answers):
                threading.Thread(target=run, args=(link,), daemon=True).start()

    def _reached(self) -> socket.socket:
        if isinstance(self._server, tuple):
            return socket.create_connection(self._server)
        reached = socket.socket(socket.AF_UNIX)
        reached.connect(self._server)
        return reached

    def _carry_requests(self, link: _Link) -> None:
        with suppress(OSError):
            while self._reads.wait() and (data := link.client.recv(65536)):
                if self._swallow is not None and self._swallow in data:
                    self._swallow, link.eats = None, True
                if self._waited_for is not None and self._waited_for in data:
                    self._waited_for, link.waits = None, True
                if self._kept is not None and self._kept in data:
                    self._kept = None
                    self.keeps.set()
                    self._let_go.wait()
                if self._last is not None and self._last in data:
                    # Held before its answer can come.
                    self._last = None
                    self.hold()
                    link.server.sendall(data)
                elif not self._is_black_hole:
                    link.server.sendall(data)
        link.cut()

    def _carry_answers(self, link: _Link) -> None:
        with suppress(OSError):
            while data := link.server.recv(65536):
                if link.eats:
                    instead, self._instead = self._instead, ()
                    self.swallowed += 1
                    if instead:
                        self._say(link, instead)
                        return
                    if self._vanishes:
                        self.vanish()
                    break
                if link.waits:
                    link.waits = False
                    self.keeps.set()
                    self._let_go.wait()
                if not self._is_black_hole:
                    link.client.sendall(data)
        link.cut()

    def _say(self, link: _Link, parts: Iterable[bytes]) -> None:
        for part in parts:
            link.client.sendall(part)
        # All of it arrives, then the end: a reset would overtake it.
        link.client.shutdown(socket.SHUT_WR)
