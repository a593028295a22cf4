"""The sockets of /stream: authenticate, listen, and the account's order updates as they happen.

JSON in binary frames, no welcome, no replay, no message to those who do not listen.
"""

import asyncio
import contextlib
from typing import Any

import orjson
from aiohttp import WSCloseCode, WSMessage, WSMsgType, web

from sandbox.keys import account_of
from sandbox.updates import STREAM, render_authorization, render_error, render_listening

# A client this far behind is cut off, as a broker would.
MAX_BACKLOG = 10_000
MAX_MESSAGE_BYTES = 1 << 20
# How long a closing socket waits for the client to agree.
CLOSE_SECONDS = 1.0


class Listener:
    """One socket: who it is, whether it listens, and what is still to be sent."""

    def __init__(self, request: web.Request) -> None:
        self.request = request
        # Compression would cost more than the loopback saves.
        self.socket = web.WebSocketResponse(
            compress=False, max_msg_size=MAX_MESSAGE_BYTES, timeout=CLOSE_SECONDS
        )
        self.account_id: str | None = None
        self.is_listening = False
        self.outbox: asyncio.Queue[bytes] = asyncio.Queue(MAX_BACKLOG)

    def send(self, message: bytes) -> None:
        """Queue a message; a client too slow to take it is cut off."""
        try:
            self.outbox.put_nowait(message)
        except asyncio.QueueFull:
            self.drop()

    def drop(self) -> None:
        """Cut the connection without a word."""
        if self.request.transport is not None:
            self.request.transport.abort()

    async def send_outbox(self) -> None:
        """Send what is queued, for ever."""
        while True:
            await self.socket.send_bytes(await self.outbox.get())


class Hub:
    """All sockets, by account."""

    def __init__(self) -> None:
        self._everyone: set[Listener] = set()
        self._by_account: dict[str, set[Listener]] = {}
        # How many sockets of an account (or "*") are still to be cut once they listen.
        self._to_drop: dict[str, int] = {}

    @property
    def sockets(self) -> int:
        """How many sockets are connected."""
        return len(self._everyone)

    @property
    def listening(self) -> int:
        """How many of them listen to order updates."""
        return sum(each.is_listening for each in self._everyone)

    def publish(self, account_id: str, message: bytes) -> None:
        """Send a message to every listening socket of the account."""
        for listener in self._by_account.get(account_id, ()):
            if listener.is_listening:
                listener.send(message)

    def drop(self, account_id: str, times: int) -> int:
        """Cut the account's sockets ("*": all) now, and `times` - 1 more when they listen.

        Returns how many were cut now.
        """
        gone = self._everyone if account_id == "*" else self._by_account.get(account_id, set())
        for listener in list(gone):
            listener.drop()
        self._to_drop[account_id] = times - 1
        return len(gone)

    def forget_drops(self) -> None:
        """Cut no more sockets."""
        self._to_drop.clear()

    async def close(self) -> None:
        """Close every socket in order, as a server going down does."""
        closing = [
            each.socket.close(code=WSCloseCode.GOING_AWAY, message=b"shutting down")
            for each in self._everyone
        ]
        await asyncio.gather(*closing)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """One socket from handshake to close."""
        listener = Listener(request)
        await listener.socket.prepare(request)
        self._everyone.add(listener)
        sender = asyncio.create_task(listener.send_outbox())
        # A sender that dies (its socket is gone) must not leave its reader waiting.
        sender.add_done_callback(lambda _: listener.drop())
        try:
            async for message in listener.socket:
                self._answer(listener, message)
        finally:
            self._forget(listener)
            sender.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await sender
        return listener.socket

    def _forget(self, listener: Listener) -> None:
        self._everyone.discard(listener)
        if listener.account_id is not None:
            self._by_account[listener.account_id].discard(listener)

    def _answer(self, listener: Listener, message: WSMessage) -> None:
        if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
            return
        try:
            command = orjson.loads(message.data)
        except orjson.JSONDecodeError:
            listener.send(render_error("invalid JSON"))
            return
        data = command.get("data") if isinstance(command, dict) else None
        action = command.get("action") if isinstance(command, dict) else None
        if action == "authenticate" and isinstance(data, dict):
            self._authenticate(listener, data)
        elif action == "listen" and isinstance(data, dict):
            self._listen(listener, data)
        else:
            listener.send(render_error("invalid action"))

    def _authenticate(self, listener: Listener, data: dict[str, Any]) -> None:
        account_id = account_of(data.get("key_id"), data.get("secret_key"))
        authorized = account_id is not None and listener.account_id in (None, account_id)
        if authorized and account_id is not None:
            listener.account_id = account_id
            self._by_account.setdefault(account_id, set()).add(listener)
        listener.send(render_authorization(action="authenticate", authorized=authorized))

    def _listen(self, listener: Listener, data: dict[str, Any]) -> None:
        if listener.account_id is None:
            listener.send(render_authorization(action="listen", authorized=False))
            return
        wanted = data.get("streams")
        listener.is_listening = isinstance(wanted, list) and STREAM in wanted
        listener.send(render_listening([STREAM] if listener.is_listening else []))
        if self._is_to_drop(listener.account_id):
            listener.drop()

    def _is_to_drop(self, account_id: str) -> bool:
        for key in (account_id, "*"):
            if self._to_drop.get(key, 0) > 0:
                self._to_drop[key] -= 1
                return True
        return False
