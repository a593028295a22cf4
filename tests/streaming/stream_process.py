"""A stream process of its own, as the supervisor runs it, and clients for it."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.http11 import Response
from websockets.sync.client import ClientConnection, connect

from opitios.core import clock
from opitios.core.embedded import ports
from opitios.management.stack import stream_command
from tests.support.crowd import patient
from tests.support.until import until

ROOT = Path(__file__).resolve().parents[2]

# A loaded machine may take its time; the promises themselves are asserted separately. Seconds.
PATIENCE = patient(20.0)

# What comes at any moment: the beat, how feeds are, and prices.
UNASKED = frozenset({"heartbeat", "status", "q", "t", "b"})


class StreamProcess:
    """uvicorn with opitios.asgi on a free port; `arguments` and `settings` go over the usual."""

    def __init__(self, folder: Path, *arguments: str, **settings: str) -> None:
        self._arguments = arguments
        self._log = folder / "stream.log"
        self._settings = settings
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start, and wait until it listens."""
        # Claimed: nobody else of this machine gets it before, or while it is started again.
        self.port = self.port or ports.choose(None, key=os.urandom(3).hex())
        environment = os.environ | {"OPITIOS_ROLE": "stream"} | self._settings
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - the command is ours
                [sys.executable, *stream_command(self.port), *self._arguments],
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=log,
            )
        until(self._is_up, seconds=PATIENCE)

    def stop(self) -> int:
        """SIGTERM, and wait; its exit status. One that ended is left."""
        assert self._process
        if self._process.poll() is not None:
            return self._process.returncode
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(PATIENCE)
        finally:
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()

    def kill(self) -> None:
        """SIGKILL, and wait."""
        assert self._process
        self._process.kill()
        self._process.wait()

    @property
    def pid(self) -> int:
        """The process."""
        assert self._process
        return self._process.pid

    def log(self) -> list[dict[str, Any]]:
        """What it has logged, each line as JSON; one that is being written is left out."""
        whole, _, _ = self._log.read_text().rpartition("\n")
        return [json.loads(line) for line in whole.splitlines()]

    def access_lines(self, request_id: str) -> list[dict[str, Any]]:
        """The access lines of one socket."""
        lines = [line for line in self.log() if line.get("logger") == "access"]
        return [line for line in lines if line["request_id"] == request_id]

    def client(
        self,
        headers: Mapping[str, str] | None = None,
        *,
        token: str | None = None,
        sock: socket.socket | None = None,
    ) -> "Client":
        """Open a socket; with `token` its Authorization header is sent."""
        named = dict(headers or {})
        if token is not None:
            named["Authorization"] = f"Bearer {token}"
        return Client(f"ws://127.0.0.1:{self.port}/ws/v1/stream", named, sock)

    def refusal(self, path: str = "/ws/v1/stream", **headers: str) -> Response:
        """The answer to a handshake that is refused."""
        try:
            Client(f"ws://127.0.0.1:{self.port}{path}", headers, None)
        except InvalidStatus as refused:
            return refused.response
        raise AssertionError("the handshake was accepted")

    def _is_up(self) -> bool:
        assert self._process
        if self._process.poll() is not None:
            raise RuntimeError(f"the stream process ended: {self._log.read_text()[-3000:]}")
        return ports.listens(self.port)


class Client:
    """One socket, read frame by frame. Closed by the fixture that made it, or by `with`."""

    def __init__(self, url: str, headers: dict[str, str], sock: socket.socket | None) -> None:
        self._exits = ExitStack()
        self._unread: deque[dict[str, Any]] = deque()
        opened = connect(
            url,
            sock=sock,
            additional_headers=headers,
            compression=None,
            ping_interval=None,
            open_timeout=PATIENCE,
            close_timeout=1,
        )
        self.socket: ClientConnection = self._exits.enter_context(opened)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Say goodbye."""
        self._exits.close()

    def says(self, **message: Any) -> None:
        """Write one message."""
        self.socket.send(json.dumps(message))

    def hears(self, *, seconds: float = PATIENCE) -> list[dict[str, Any]]:
        """The messages of the next frame. Raises TimeoutError where none comes."""
        frame = self.socket.recv(timeout=seconds)
        assert isinstance(frame, str)
        messages: list[dict[str, Any]] = json.loads(frame)
        assert isinstance(messages, list)
        return messages

    def hears_next(self, kind: str, *, seconds: float = PATIENCE) -> dict[str, Any]:
        """The next message of this T; heartbeats and others before it are passed over.

        Raises TimeoutError where none comes in time, whatever else does.
        """
        deadline = clock.monotonic() + seconds
        while (left := deadline - clock.monotonic()) > 0:
            while not self._unread:
                self._unread.extend(self.hears(seconds=left))
            message = self._unread.popleft()
            if message["T"] == kind:
                return message
        raise TimeoutError(f"no {kind} within {seconds} s")

    def asks(self, **message: Any) -> list[dict[str, Any]]:
        """Write one message and read the frame that answers it."""
        self.says(**message)
        return self.answer()

    def answer(self) -> list[dict[str, Any]]:
        """The next frame that was asked for."""
        while True:
            frame = self.hears()
            if frame[0]["T"] not in UNASKED:
                return frame

    def refused(self, **message: Any) -> int:
        """Write a message and read the code of its refusal."""
        answer = self.asks(**message)[0]
        assert answer["T"] == "error", answer
        return int(answer["code"])

    def follows(self, *accounts: str) -> dict[str, int]:
        """Subscribe for the first time; the journal numbers from which the accounts go on."""
        answer = self.asks(action="subscribe", orders=list(accounts))
        assert answer[0]["T"] == "subscription", answer
        numbers: dict[str, int] = {}
        # Those of many accounts are several frames.
        while numbers.keys() < set(answer[0]["orders"]):
            numbers |= {told["account_id"]: told["seq"] for told in self.hears()}
        return numbers

    def last_words(self) -> list[dict[str, Any]]:
        """Read on to the end of the socket: every message that still came."""
        messages: list[dict[str, Any]] = []
        with suppress(ConnectionClosed):
            while True:
                messages += self.hears()
        return messages

    def end(self) -> int:
        """Read on to the end of the socket, and return its close code."""
        self.last_words()
        assert self.socket.close_code is not None
        return self.socket.close_code


def narrow(port: int) -> socket.socket:
    """A connection whose kernel holds little for us, so that the server notices soon."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    made.connect(("127.0.0.1", port))
    return made
