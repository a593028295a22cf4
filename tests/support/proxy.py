"""A TCP proxy in front of a server, with the faults a network has and a server has not."""

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

_RST = b"\x01\0\0\0\0\0\0\0"


class Proxy:
    """Forwards bytes until it is told otherwise. A context manager; `port` is where it listens."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._swallow: bytes | None = None
        self._refusing = threading.Event()
        self._holding = threading.Event()
        self._lock = threading.Lock()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self.swallowed = threading.Event()
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
        self.cut()
        self._thread.join(5)

    def swallow_the_answer_to(self, request: bytes) -> None:
        """Let the next request that holds these bytes through, and its answer never.

        The server has then done what was asked, and its client sees a connection that broke.
        """
        self.swallowed.clear()
        self._swallow = request

    def refuse(self) -> None:
        """Be a server that is gone: no connection lives, none is made."""
        self._refusing.set()
        self.cut()

    def hold(self) -> None:
        """Be a black hole: connections are taken and nothing ever comes back."""
        self._holding.set()

    def heal(self) -> None:
        """Forward again."""
        self._refusing.clear()
        self._holding.clear()

    def cut(self) -> None:
        """Break every connection, with an RST."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for sock in pair:
                _break(sock)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._refusing.is_set():
                _break(client)
                continue
            server = socket.create_connection(self._server)
            with self._lock:
                self._pairs.append((client, server))
            for run in (self._requests, self._answers):
                threading.Thread(target=run, args=(client, server), daemon=True).start()

    def _requests(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                if self._holding.is_set():
                    continue
                wanted = self._swallow
                if wanted is not None and wanted in data:
                    self._swallow = None
                    self._swallow_answer(client, server, data)
                    return
                server.sendall(data)
        _break(server)

    def _swallow_answer(
        self, client: socket.socket, server: socket.socket, request: bytes
    ) -> None:
        with self._lock:
            self._pairs = [pair for pair in self._pairs if pair[0] is not client]
            self._eaten = server
        server.sendall(request)
        # The answer's thread reads it, says so and breaks the client off.

    def _answers(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(65536):
                if self._holding.is_set():
                    continue
                if getattr(self, "_eaten", None) is server:
                    self.swallowed.set()
                    break
                client.sendall(data)
        _break(client)
        _break(server)


def _break(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST)
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()
