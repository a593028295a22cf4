"""Bytes as an attacker sends them, to a real server over a socket of their own."""

import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from io import BufferedReader
from typing import Any
from urllib.parse import urlsplit

import orjson

from tests.support.crowd import patient

PATIENCE_SECONDS = patient(20.0)

GOODBYE_ID = "goodbye-7f3a"
GOODBYE = (
    b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    b"X-Request-ID: goodbye-7f3a\r\n\r\n"
)


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer off the wire."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def is_goodbye(self) -> bool:
        """Whether it answers the request that `exchange` added."""
        return self.headers.get("x-request-id") == GOODBYE_ID

    def json(self) -> Any:
        """The body, read."""
        return orjson.loads(self.body)


@dataclass(frozen=True, slots=True)
class Target:
    """A web process, and an account in it that a token may trade."""

    origin: str
    account: str
    token: str

    @property
    def orders(self) -> str:
        """The path of the account's orders."""
        return f"/api/v1/accounts/{self.account}/orders"

    @property
    def bearer(self) -> str:
        """The line that shows the token."""
        return f"Authorization: Bearer {self.token}"

    def place(self, *lines: str, bearer: bool = True) -> bytes:
        """The head of an order in JSON, with the token or without."""
        path = f"{self.orders}/stocks"
        known = (self.bearer,) if bearer else ()
        return head("POST", path, "Content-Type: application/json", *known, *lines)

    def exchange(self, *parts: bytes, goodbye: bool = True) -> list[Answer]:
        """Send the bytes and a last request of ours; every answer until the server closes.

        The last request asks for the end, so nobody waits to see that nothing more comes. Where it
        was answered, its answer is the last one and `is_goodbye`. `goodbye`: whether to send it.
        """
        with connected(self.origin) as sock:
            with suppress(ConnectionError):
                for part in (*parts, GOODBYE) if goodbye else parts:
                    sock.sendall(part)
            return list(answers_of(sock))


class _Stream:
    """What http.client wants for a socket: several answers are read from one file."""

    def __init__(self, file: BufferedReader) -> None:
        self.file = file

    def makefile(self, mode: str) -> Any:
        return _Kept(self.file)


class _Kept:
    """A file that outlives the answer read from it."""

    def __init__(self, file: BufferedReader) -> None:
        self._file = file
        self.read, self.readline, self.peek = file.read, file.readline, file.peek
        self.flush, self.read1, self.readinto = file.flush, file.read1, file.readinto

    def close(self) -> None:
        """Leave it open: the next answer is in it."""


def connected(origin: str) -> socket.socket:
    """A connection to the server."""
    address = urlsplit(origin)
    assert address.hostname is not None
    return socket.create_connection((address.hostname, address.port or 80), PATIENCE_SECONDS)


def answers_of(sock: socket.socket) -> Iterator[Answer]:
    """Every answer until the server closes."""
    with sock.makefile("rb") as file:
        yield from _answers(file)


def _answers(file: BufferedReader) -> Iterator[Answer]:
    while _has_more(file):
        response = HTTPResponse(_Stream(file))  # type: ignore[arg-type] # all it uses of a socket
        try:
            response.begin()
        except HTTPException as error:
            raise AssertionError(f"not an answer: {error!r}") from error
        headers = {name.lower(): value for name, value in response.headers.items()}
        yield Answer(response.status, headers, response.read())


def _has_more(file: BufferedReader) -> bool:
    try:
        return bool(file.peek(1))
    except ConnectionResetError:
        # Who is refused with a body still on its way may find the connection reset.
        return False


def head(method: str, path: str, *lines: str, host: str = "localhost") -> bytes:
    """A request's head, with Host."""
    return "\r\n".join((f"{method} {path} HTTP/1.1", f"Host: {host}", *lines, "", "")).encode(
        "latin-1"
    )


def refused(answer: Answer) -> bool:
    """Whether it is a plain refusal, by us or by the server before us: 4xx, and a problem or bare.

    What the server refuses before it calls us carries no body (docs/security.md).
    """
    is_bare = answer.body == b"" and answer.headers["content-length"] == "0"
    is_problem = answer.headers.get("content-type") == "application/problem+json"
    return 400 <= answer.status < 500 and (is_bare or is_problem)
