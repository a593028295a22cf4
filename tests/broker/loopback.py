"""Small brokers on loopback that misbehave on purpose. They count what they really received."""

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Request:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes


# Writes whatever it likes to the socket and says whether to read another request from it.
Behaviour = Callable[["LoopbackBroker", socket.socket], bool]


@dataclass
class LoopbackBroker:
    """Serves each request with the next behaviour; the last one is repeated."""

    behaviours: list[Behaviour]
    tls: ssl.SSLContext | None = None
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    closing: threading.Event = field(default_factory=threading.Event)
    gate: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    changed: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        scheme = "https" if self.tls else "http"
        self.origin = f"{scheme}://127.0.0.1:{self.port}"
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def posts(self) -> int:
        return sum(request.method == "POST" for request in self.requests)

    def wait_for_requests(self, count: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.requests) >= count, timeout=60)

    def close(self) -> None:
        self.closing.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in self._sockets:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()

    def _accept(self) -> None:
        with suppress(OSError):
            while not self.closing.is_set():
                sock, _ = self._listener.accept()
                self.connections += 1
                self._sockets.append(sock)
                thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, sock: socket.socket) -> None:
        with suppress(OSError), self._wrapped(sock) as stream:
            while (request := _read_request(stream)) is not None:
                with self.changed:
                    self.requests.append(request)
                    self.changed.notify_all()
                turn = min(len(self.requests), len(self.behaviours)) - 1
                if not self.behaviours[turn](self, stream):
                    return

    @contextmanager
    def _wrapped(self, sock: socket.socket) -> Iterator[socket.socket]:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self.tls.wrap_socket(sock, server_side=True) if self.tls else sock as stream:
            yield stream


def _read_request(sock: socket.socket) -> Request | None:
    data = b""
    while b"\r\n\r\n" not in data:
        part = sock.recv(65536)
        if not part:
            return None
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    while len(body) < int(headers.get("content-length", "0")):
        part = sock.recv(65536)
        if not part:
            return None
        body += part
    method, target, _ = first.split(" ")
    return Request(method, target, headers, body)


def http(status: int, body: bytes | dict[str, Any] | list[Any] = b"", **headers: str) -> bytes:
    """Render a whole answer; underscores in header names become dashes."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = {"Content-Length": str(len(raw)), "Content-Type": "application/json"}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + raw


def answering(raw: bytes) -> Behaviour:
    """Send these bytes and keep the connection."""

    def behave(_: LoopbackBroker, sock: socket.socket) -> bool:
        sock.sendall(raw)
        return True

    return behave


def answering_then_closing(raw: bytes) -> Behaviour:
    """Send these bytes, then end the connection."""

    def behave(_: LoopbackBroker, sock: socket.socket) -> bool:
        sock.sendall(raw)
        return False

    return behave


def hanging(broker: LoopbackBroker, _: socket.socket) -> bool:
    """Never answer."""
    broker.closing.wait(30)
    return False


def answering_at_the_gate(raw: bytes) -> Behaviour:
    """Answer when the test opens the gate."""

    def behave(broker: LoopbackBroker, sock: socket.socket) -> bool:
        assert broker.gate.acquire(timeout=60)
        sock.sendall(raw)
        return True

    return behave


def resetting(_: LoopbackBroker, sock: socket.socket) -> bool:
    """Send RST in place of an answer."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    return False


def dripping(raw: bytes, every_seconds: float = 0.02) -> Behaviour:
    """Send one byte at a time for as long as somebody reads."""

    def behave(broker: LoopbackBroker, sock: socket.socket) -> bool:
        for byte in raw:
            sock.sendall(bytes([byte]))
            if broker.closing.wait(every_seconds):
                break
        return False

    return behave


def tunneling_to(port: int) -> Behaviour:
    """Be a proxy: whatever name CONNECT asks for, it leads to this port."""

    def behave(_: LoopbackBroker, sock: socket.socket) -> bool:
        with socket.create_connection(("127.0.0.1", port)) as inner:
            sock.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_pump, args=(inner, sock), daemon=True)
            back.start()
            _pump(sock, inner)
            back.join(60)
        return False

    return behave


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
