"""A loopback trading stream that does what each connection's script says."""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

AUTHORIZED = {"stream": "authorization", "data": {"status": "authorized"}}
UNAUTHORIZED = {"stream": "authorization", "data": {"status": "unauthorized"}}
LISTENING = {"stream": "listening", "data": {"streams": ["trade_updates"]}}

Script = Callable[["StreamServer", ServerConnection], Awaitable[None]]
# A status and its headers.
Refusal = tuple[int, dict[str, str]]


class StreamServer:
    """Serves connection number n with script n; the last one is repeated.

    `refusals` are handshake answers given, one each, before the first connection is let in.
    """

    def __init__(self, *scripts: Script, refusals: Sequence[Refusal] = ()) -> None:
        self.scripts = scripts
        self.refusals = list(refusals)
        self.handshakes = 0
        self.connections = 0
        self.open = 0
        self.heard: list[dict[str, Any]] = []
        self.loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(60)
        self.url = f"ws://127.0.0.1:{self.port}/stream"

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.closing.set)
        self._thread.join(60)
        assert not self._thread.is_alive()

    @contextmanager
    def deaf(self) -> Iterator[None]:
        """Hear and answer nothing for a while: its whole loop stands still."""
        awake = threading.Event()
        self.loop.call_soon_threadsafe(awake.wait)
        try:
            yield
        finally:
            awake.set()

    def _run(self) -> None:
        self.loop.run_until_complete(self._serve())
        self.loop.close()

    async def _serve(self) -> None:
        self.closing = asyncio.Event()
        async with serve(
            self._connection,
            "127.0.0.1",
            0,
            process_request=self._handshake,
            compression=None,
            close_timeout=0.2,
        ) as server:
            self.port = server.sockets[0].getsockname()[1]
            self._ready.set()
            await self.closing.wait()

    def _handshake(self, connection: ServerConnection, _request: Request) -> Response | None:
        self.handshakes += 1
        if not self.refusals:
            return None
        status, headers = self.refusals.pop(0)
        response = connection.respond(HTTPStatus(status), "no\n")
        response.headers.update(headers)
        return response

    async def _connection(self, socket: ServerConnection) -> None:
        number = self.connections
        self.connections += 1
        self.open += 1
        with suppress(ConnectionClosed):
            await self.scripts[min(number, len(self.scripts) - 1)](self, socket)
        self.open -= 1

    async def sign_in(self, socket: ServerConnection) -> None:
        """Answer authenticate and listen in the way of the paper server: binary frames."""
        for reply in (AUTHORIZED, LISTENING):
            self.heard.append(json.loads(await socket.recv()))
            await socket.send(json.dumps(reply).encode())


def update(number: int) -> dict[str, Any]:
    order = {"id": f"order-{number}", "status": "new"}
    return {"stream": "trade_updates", "data": {"event": "new", "order": order}}


def sending(*messages: str | bytes | list[str], then_close: bool = False) -> Script:
    """Sign the client in, send the messages (a list is sent in fragments), then wait or close."""

    async def script(server: StreamServer, socket: ServerConnection) -> None:
        await server.sign_in(socket)
        for message in messages:
            await socket.send(message)
        if not then_close:
            await socket.wait_closed()

    return script


def replying(*replies: dict[str, Any]) -> Script:
    """Answer each thing the client says with the next reply, whatever it was."""

    async def script(server: StreamServer, socket: ServerConnection) -> None:
        for reply in replies:
            server.heard.append(json.loads(await socket.recv()))
            await socket.send(json.dumps(reply))
        await socket.wait_closed()

    return script
