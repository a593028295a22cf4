"""The client's socket, one consumer each.

What it may see: session.py; what it hears: hub.py and market.py.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from channels.consumer import AsyncConsumer
from channels.exceptions import StopConsumer

from accounts import refusals
from accounts.refusals import RefusedAttempt
from accounts.tokens import Principal
from opitios.core import clock, ids, logs
from opitios.core.config import get_config
from opitios.core.errors import Reason
from streaming import auth, protocol
from streaming.buffer import Outbox
from streaming.frames import Close
from streaming.hub import get_hub
from streaming.lines import EXTENSION, AsgiLine, Line
from streaming.market import get_market
from streaming.pace import Pace
from streaming.protocol import Auth, Code, Refusal
from streaming.session import Session

logger = structlog.get_logger("app")

# What of a client's refused messages is an attempt, in the words of the API's problems.
ATTEMPTS = {
    Code.NOT_AUTHENTICATED: Reason.UNAUTHORIZED,
    Code.AUTH_FAILED: Reason.UNAUTHORIZED,
    Code.FORBIDDEN: Reason.FORBIDDEN,
    Code.NO_SUCH_ACCOUNT: Reason.NOT_FOUND,
    Code.TOO_MANY: Reason.TOO_MANY_REQUESTS,
}

# api.md §6: seconds before its end that a token's owner is told.
NOTICE_SECONDS = 60
# A client that does not even read our close frame is left after so many seconds.
CLOSE_SECONDS = 10.0

Event = dict[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]


class StreamConsumer(AsyncConsumer):  # type: ignore[misc]  # channels is not typed
    """Speaks `/ws/v1/stream` (api.md §6) with one client."""

    # A lost Redis must not close sockets: the hub alone listens (design.md §7).
    channel_layer_alias = None

    async def __call__(self, scope: Event, receive: Receive, send: Send) -> None:
        """Serve a socket from its handshake to its end."""
        self.headers = list(scope["headers"])
        self.address = auth.address_of(scope) or ""
        self.request_id = ids.request_id(auth.header(self.headers, b"x-request-id"))
        self.opened_at = clock.monotonic()
        self.code: int | None = None
        self.outbox = Outbox()
        self.outbox.on_end = self._expect_end
        self.session = Session(get_hub(), get_market(), self.outbox, self.address)
        self._pace = Pace()
        self._timers: list[asyncio.TimerHandle] = []
        self._judging: asyncio.TimerHandle | None = None
        self._writer: asyncio.Task[None] | None = None
        self._leave_at: float | None = None
        self._waiting: asyncio.Timeout | None = None
        try:
            await super().__call__(scope, self._patient(receive), send)
        finally:
            await self._leave()

    async def dispatch(self, message: Event) -> None:
        """Handle one event of the server.

        Replaces Channels' own, which visits a thread each time to close database connections: here
        are none.
        """
        match message["type"]:
            case "websocket.connect":
                await self._connect()
            case "websocket.receive":
                await self._receive(message)
            case "websocket.disconnect":
                self.code = self.code or message.get("code")
                raise StopConsumer
            case other:
                raise ValueError(f"a server sent {other!r}")

    async def _connect(self) -> None:
        if not auth.is_own_origin(self.headers):
            await self._refuse_handshake()
            return
        get_hub().start()
        get_market().start()
        given = [(b"x-request-id", self.request_id.encode())]
        await self.send({"type": "websocket.accept", "headers": given})
        self._writer = asyncio.create_task(self._write())
        self.outbox.put(protocol.success("connected"))
        self._later(get_config().timers.stream_auth, self._auth_is_late)
        await self._sign_in_by_header()

    async def _refuse_handshake(self) -> None:
        # Before the handshake is answered, a close is its 403.
        self.code = 403
        self._tell_of(Reason.FORBIDDEN)
        await self.send({"type": "websocket.close"})

    async def _sign_in_by_header(self) -> None:
        try:
            token = auth.header_token(self.headers)
            if token is not None:
                await self._sign_in(token)
        except Refusal as refusal:
            self._refuse(refusal)

    async def _receive(self, message: Event) -> None:
        if self.outbox.closing is not None:
            return
        if not self._pace.admits(clock.monotonic()):
            self._refuse(Refusal(Code.TOO_MANY))
            self.outbox.end(Close.TOO_MANY)
            return
        try:
            await self._obey(message.get("text"))
        except Refusal as refusal:
            self._refuse(refusal)
        except Exception:  # one client's fault or ours: its socket alone ends
            logger.exception("a client's message failed", request_id=self.request_id)
            self._refuse(Refusal(Code.INTERNAL))
            self.outbox.end(Close.INTERNAL)

    async def _obey(self, text: str | None) -> None:
        if text is None:
            raise Refusal(Code.SYNTAX, "frames are text, not binary")
        command = protocol.read_command(text)
        if isinstance(command, Auth):
            await self._sign_in(command.token)
        else:
            await self.session.obey(command)

    def _refuse(self, refusal: Refusal) -> None:
        self.outbox.put(protocol.frame([refusal.as_json()]))
        if refusal.code in ATTEMPTS:
            self._tell_of(ATTEMPTS[refusal.code], refusal.account_id)
        # A stranger has one try; a failed renewal leaves the token in force that was there.
        if refusal.code is Code.AUTH_FAILED and self.session.principal is None:
            self.outbox.end(Close.TOKEN)
        elif refusal.code is Code.TOO_MANY_SOCKETS:
            self.outbox.end(Close.TOO_MANY)

    def _tell_of(self, reason: Reason, account_id: str | None = None) -> None:
        principal = self.session.principal
        slug = reason.value.slug
        refusals.tell(RefusedAttempt(slug, self.address, self.request_id, principal, account_id))

    # The token's time

    async def _sign_in(self, token: str) -> None:
        await auth.ready()
        principal = self.session.sign_in(token)
        self._cancel_timers()
        left = (principal.expires_at - clock.now()).total_seconds()
        notice = min(NOTICE_SECONDS, math.ceil(left))
        self._later(left - notice, lambda: self.outbox.put(protocol.expiring(notice)))
        self._later(left, lambda: self._token_expired(principal))
        if self._judging is None:
            self._judge_later()

    def _judge_later(self) -> None:
        seconds = get_config().timers.access_poll
        self._judging = asyncio.get_running_loop().call_later(seconds, self._judge_again)

    def _judge_again(self) -> None:
        try:
            self.session.judge_again()
        except Refusal as refusal:
            self._refuse(refusal)
            self.outbox.end(Close.TOKEN)
        else:
            self._judge_later()

    def _token_expired(self, principal: Principal) -> None:
        # The loop's clock and the wall's may differ by a moment, and the wall's may be set.
        left = (principal.expires_at - clock.now()).total_seconds()
        if left > 0:
            self._later(left, lambda: self._token_expired(principal))
            return
        self.outbox.put(protocol.frame([Refusal(Code.AUTH_FAILED, "token expired").as_json()]))
        self.outbox.end(Close.TOKEN)

    def _auth_is_late(self) -> None:
        self._refuse(Refusal(Code.AUTH_TIMEOUT))
        self.outbox.end(Close.NO_AUTH)

    def _later(self, seconds: float, call: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        self._timers.append(loop.call_later(max(0.0, seconds), call))

    def _cancel_timers(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def _judge_no_more(self) -> None:
        if self._judging is not None:
            self._judging.cancel()

    # The way out

    async def _write(self) -> None:
        try:
            code = await self.outbox.drain(self._line())
            await self.send({"type": "websocket.close", "code": code})
        except (OSError, RuntimeError) as error:
            # The client is gone, or the server has closed first (a frame too long, a ping that was
            # not answered): its disconnect event ends this socket.
            logger.debug("a socket went while it was written to", error=str(error))

    def _line(self) -> Line:
        lent: Line | None = self.scope.get("extensions", {}).get(EXTENSION)
        return AsgiLine(self._send_text) if lent is None else lent

    async def _send_text(self, text: str) -> None:
        await self.base_send({"type": "websocket.send", "text": text})

    def _patient(self, receive: Receive) -> Receive:
        """Wait for the client's next message, but not for ever once we have said goodbye."""

        async def next_event() -> Event:
            try:
                async with asyncio.timeout_at(self._leave_at) as self._waiting:
                    return await receive()
            except TimeoutError:
                return {"type": "websocket.disconnect", "code": self.outbox.closing}
            finally:
                self._waiting = None

        return next_event

    def _expect_end(self) -> None:
        self._leave_at = asyncio.get_running_loop().time() + CLOSE_SECONDS
        if self._waiting is not None:
            self._waiting.reschedule(self._leave_at)

    async def _leave(self) -> None:
        self.session.leave()
        self._cancel_timers()
        self._judge_no_more()
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)
        self._log()

    def _log(self) -> None:
        principal, agent = self.session.principal, auth.header(self.headers, b"user-agent")
        logs.write_access(
            "socket",
            request_id=self.request_id,
            path=logs.printable(self.scope["path"]),
            code=self.code,
            subject=None if principal is None else logs.printable(principal.sub),
            accounts=len(self.session.accounts),
            ms=round((clock.monotonic() - self.opened_at) * 1000, 3),
            symbols=len(self.session.symbols),
            frames=self.outbox.sent,
            dropped=self.outbox.dropped,
            ip=self.address,
            agent=None if agent is None else logs.printable(agent),
            role=get_config().role,
            process=get_config().process,
        )
