"""One HTTP/1.1 exchange on a connected socket, with one deadline over all of it.

http.client parses the answer; what it lacks is a bound on the whole: a socket's timeout starts
again with every byte, so an answer that drips would hold its caller for hours. Here each read gets
only the time that is left.
"""

import http.client
import io
import socket
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

from opitios.broker.alpaca.outcomes import Reply
from opitios.broker.errors import OutcomeUnknown, UnknownReason

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_READ_BYTES = 16 * 1024


class _DeadlineReader(io.RawIOBase):
    """Reads a socket until a deadline; closing it leaves the socket open."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock = sock
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        self._sock.settimeout(_time_left(self._deadline))
        return self._sock.recv_into(buffer)


class _DeadlineSocket:
    """The part of a socket that http.client reads an answer from."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock = sock
        self._deadline = deadline

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_DeadlineReader(self._sock, self._deadline), _READ_BYTES)


def exchange(
    sock: socket.socket, request: bytes, *, method: str, deadline: float, max_bytes: int
) -> tuple[Reply, bool]:
    """Send one request and read its answer; also say whether the socket can carry another one.

    `deadline` is in monotonic seconds. Raises OutcomeUnknown for everything that goes wrong: from
    the first byte on nobody can know what the other side has seen. The socket is then of no more
    use.
    """
    started = time.monotonic()
    try:
        # Head and body in one write: apart they meet Nagle and delayed ACK (44 ms).
        sock.settimeout(_time_left(deadline))
        sock.sendall(request)
        return _read_answer(sock, method, deadline, max_bytes, started)
    except TimeoutError as error:
        raise _unknown("no complete answer in time", "timeout", started) from error
    except (OSError, http.client.IncompleteRead) as error:
        raise _unknown("the connection ended before the answer", "reset", started) from error
    except http.client.HTTPException as error:
        raise _unknown("the answer is not HTTP", "unparsable", started) from error


def _read_answer(
    sock: socket.socket, method: str, deadline: float, max_bytes: int, started: float
) -> tuple[Reply, bool]:
    source = cast("socket.socket", _DeadlineSocket(sock, deadline))
    response = http.client.HTTPResponse(source, method=method)
    response.begin()
    if response.length is not None and response.length > max_bytes:
        raise _unknown("the answer is larger than its route allows", "too-large", started)
    # With a Content-Length read() notices a cut; without one it would read without a bound.
    body = response.read() if response.length is not None else response.read(max_bytes + 1)
    if len(body) > max_bytes:
        raise _unknown("the answer is larger than its route allows", "too-large", started)
    headers = {name.lower(): value for name, value in response.headers.items()}
    reply = Reply(status=response.status, headers=headers, body=body, ms=_ms_since(started))
    # After an interim answer (1xx) the real one still comes, and would meet the next request.
    return reply, not response.will_close and response.status >= HTTPStatus.OK


def _time_left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _ms_since(started: float) -> float:
    return (time.monotonic() - started) * 1000


def _unknown(message: str, reason: UnknownReason, started: float) -> OutcomeUnknown:
    return OutcomeUnknown(message=message, reason=reason, ms=_ms_since(started))
