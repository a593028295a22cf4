"""The market data sockets of a process: one for stocks and one for options per data account.

Connect, authenticate, subscribe what is wanted and not yet subscribed, read; the server's answers
say what is subscribed. After a reconnect everything wanted is subscribed anew. Messages go out in
Alpaca's keys, as they came.
"""

import asyncio
import ssl
import time
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Never

import structlog
from websockets.asyncio.client import ClientConnection

from opitios.broker.alpaca.backoff import Silent, StreamRefused, StreamState, StreamTimers
from opitios.broker.alpaca.datawire import Message, Unreadable, read, written
from opitios.broker.alpaca.echoes import without_keys
from opitios.broker.alpaca.sockets import Line, Sockets, StateListener
from opitios.broker.port import Credentials

log = structlog.get_logger(__name__)

SocketKind = Literal["stock", "option"]
# A channel of Alpaca's and a symbol.
Pair = tuple[str, str]
Deliver = Callable[[str, list[Message], float], None]

# Where each kind listens, before the feed's name.
PATHS: Mapping[SocketKind, str] = {"stock": "/v2/", "option": "/v1beta1/"}
# Symbols of one (un)subscribe: a message of about 10 kB.
MOST_A_MESSAGE = 400
# What a subscribe is answered with when it changed nothing, and the connection goes on.
BAD_SYMBOL, SYMBOL_LIMIT = 400, 405
_CONTROL = frozenset({"success", "error", "subscription"})
# Channels that follow the trades and cannot be subscribed.
_FOLLOWING = frozenset({"corrections", "cancelErrors"})


@dataclass(frozen=True, slots=True)
class DataSocket:
    """A socket that is to be open. `name` tells it from the others; options speak msgpack only."""

    name: str
    credentials: Credentials = field(repr=False)
    url: str
    is_packed: bool = True


@dataclass(frozen=True, slots=True)
class Condition:
    """How a socket is now.

    since: when its state began; heard_at: when the last message came (epoch seconds both).
    subscribed: what the server confirmed. refused: what it will not subscribe, and why in its code.
    """

    state: StreamState
    reason: str | None
    since: float
    heard_at: float | None
    subscribed: frozenset[Pair]
    refused: Mapping[Pair, int]


@dataclass(slots=True)
class _DataLine(Line):
    is_packed: bool = True
    wanted: frozenset[Pair] = frozenset()
    subscribed: frozenset[Pair] = frozenset()
    refused: dict[Pair, int] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event, repr=False)
    # While a question is open: where its answer goes. While it listens: what ends that.
    answer: "asyncio.Future[Message] | None" = field(default=None, repr=False)
    ending: "asyncio.Future[Never] | None" = field(default=None, repr=False)


class DataStreams(Sockets[_DataLine]):
    """Keeps data sockets open, and subscribed to what is wanted of each.

    `deliver(name, messages, received_at)` gets every frame of prices; `received_at` is in epoch
    seconds. `on_state(name, state)` gets every change of state, and the state again whenever what
    is subscribed changed. Both are called on the loop's thread and must not block.
    """

    called = "market-data"

    def __init__(
        self,
        *,
        deliver: Deliver,
        on_state: StateListener,
        timers: StreamTimers | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(on_state=on_state, timers=timers, ssl_context=ssl_context)
        self.counts.update(unreadable=0)
        self._deliver = deliver

    def open_all(self, sockets: Collection[DataSocket]) -> None:
        """Keep these open from now on; one of the same name is replaced, what it wanted stays."""
        self._keep([self._made(each) for each in sockets])

    def want(self, name: str, pairs: Iterable[Pair]) -> None:
        """Subscribe exactly these on a socket, whenever it listens. Returns at once."""
        self._loop.call_soon_threadsafe(self._want, name, frozenset(pairs))

    def reopen(self, name: str) -> None:
        """Close a socket that listens and says nothing, and open it again. Returns at once."""
        self._loop.call_soon_threadsafe(self._reopen, name)

    def conditions(self) -> dict[str, Condition]:
        """How each socket is."""
        return {line.name: _condition(line) for line in list(self._lines.values())}

    def _made(self, told: DataSocket) -> _DataLine:
        line = _DataLine(told.name, told.credentials, told.url, is_packed=told.is_packed)
        before = self._lines.get(told.name)
        if before is not None:
            line.wanted = before.wanted
        return line

    def _want(self, name: str, pairs: frozenset[Pair]) -> None:
        line = self._lines.get(name)
        if line is not None and line.wanted != pairs:
            line.wanted = pairs
            line.refused = {pair: code for pair, code in line.refused.items() if pair in pairs}
            line.changed.set()

    def _reopen(self, name: str) -> None:
        line = self._lines.get(name)
        if line is not None and line.ending is not None and not line.ending.done():
            line.ending.set_exception(Silent())

    def _headers(self, line: _DataLine) -> Mapping[str, str]:
        return {"Content-Type": "application/msgpack"} if line.is_packed else {}

    async def _converse(self, socket: ClientConnection, line: _DataLine) -> None:
        async with asyncio.timeout(self._timers.sign_in):
            await _sign_in(socket, line)
        _forget_the_limit(line)
        line.ending = self._loop.create_future()
        self._tell(line, "listening")
        try:
            await _until_one_ends(
                line.ending, self._read(socket, line), self._keep_subscribed(socket, line)
            )
        finally:
            line.subscribed = frozenset()
            line.ending.cancel()

    async def _read(self, socket: ClientConnection, line: _DataLine) -> Never:
        while True:
            messages = self._readable(line, await socket.recv())
            if len(messages) == 1 and messages[0].get("T") in _CONTROL:
                self._take_control(line, messages[0])
                continue
            self.counts["messages"] += len(messages)
            line.heard_at = time.time()
            self._deliver(line.name, messages, line.heard_at)

    def _readable(self, line: _DataLine, frame: bytes | str) -> list[Message]:
        try:
            return _read_frame(frame, line.credentials)
        except Unreadable as error:
            self.counts["unreadable"] += 1
            log.warning("unreadable market data", socket=line.name, why=str(error))
            return []

    def _take_control(self, line: _DataLine, message: Message) -> None:
        """Note what is subscribed, and answer who asked. Raises StreamRefused."""
        if message["T"] == "subscription":
            line.subscribed = _pairs(message)
            self._show(line)
        elif message["T"] == "error":
            code = _code(message)
            if line.answer is None or code not in {BAD_SYMBOL, SYMBOL_LIMIT}:
                raise StreamRefused(code, str(message.get("msg")))
        else:
            return
        if line.answer is not None and not line.answer.done():
            line.answer.set_result(message)

    async def _keep_subscribed(self, socket: ClientConnection, line: _DataLine) -> Never:
        """Bring what is subscribed to what is wanted, again whenever that changes."""
        while True:
            line.changed.clear()
            for pairs in _portions(line.subscribed - line.wanted):
                await self._change(socket, line, "unsubscribe", pairs)
                _forget_the_limit(line)
            for pairs in _portions(line.wanted - line.subscribed - line.refused.keys()):
                await self._subscribe(socket, line, pairs)
            await line.changed.wait()

    async def _subscribe(
        self, socket: ClientConnection, line: _DataLine, pairs: Sequence[Pair]
    ) -> None:
        """Subscribe these; where the server refuses some, find out which, and keep the others.

        A refusal leaves everything as it was, and does not say whose fault it is.
        """
        if SYMBOL_LIMIT in line.refused.values():
            self._refuse(line, pairs, SYMBOL_LIMIT)
            return
        code = await self._change(socket, line, "subscribe", pairs)
        if code is not None and len(pairs) == 1:
            self._refuse(line, pairs, code)
        elif code is not None:
            half = len(pairs) // 2
            await self._subscribe(socket, line, pairs[:half])
            await self._subscribe(socket, line, pairs[half:])

    def _refuse(self, line: _DataLine, pairs: Sequence[Pair], code: int) -> None:
        line.refused.update(dict.fromkeys(pairs, code))
        log.warning("not subscribed", socket=line.name, code=code, pairs=len(pairs))
        self._show(line)

    async def _change(
        self, socket: ClientConnection, line: _DataLine, action: str, pairs: Sequence[Pair]
    ) -> int | None:
        """Ask for one change and wait for its answer: None, or the code of the refusal."""
        lists: dict[str, list[str]] = {}
        for channel, symbol in pairs:
            lists.setdefault(channel, []).append(symbol)
        line.answer = self._loop.create_future()
        try:
            await _say(socket, line, {"action": action, **lists})
            async with asyncio.timeout(self._timers.answer):
                answer = await line.answer
        finally:
            line.answer = None
        return _code(answer) if answer["T"] == "error" else None

    def _show(self, line: _DataLine) -> None:
        self._on_state(line.name, line.state)


async def _sign_in(socket: ClientConnection, line: _DataLine) -> None:
    """Wait for the greeting and authenticate. Raises StreamRefused."""
    await _expect(socket, line, "connected")
    keys = line.credentials
    await _say(socket, line, {"action": "auth", "key": keys.key_id, "secret": keys.secret})
    await _expect(socket, line, "authenticated")


async def _until_one_ends(
    ending: "asyncio.Future[Never]", *works: Coroutine[Any, Any, Never]
) -> None:
    """Work until `ending` or one of the works does. Raises what ended it."""
    tasks = {asyncio.create_task(each) for each in works}
    try:
        ended, _ = await asyncio.wait({*tasks, ending}, return_when=asyncio.FIRST_COMPLETED)
        for each in ended:
            each.result()
    finally:
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _forget_the_limit(line: _DataLine) -> None:
    """There may be room again for what had none; what is no symbol stays refused."""
    line.refused = {pair: code for pair, code in line.refused.items() if code == BAD_SYMBOL}


async def _expect(socket: ClientConnection, line: _DataLine, words: str) -> None:
    while True:
        for message in _read_frame(await socket.recv(), line.credentials):
            if message.get("T") == "error":
                raise StreamRefused(_code(message), str(message.get("msg")))
            if message.get("T") == "success" and message.get("msg") == words:
                return


async def _say(socket: ClientConnection, line: _DataLine, message: Mapping[str, object]) -> None:
    await socket.send(written(message, is_packed=line.is_packed))


def _read_frame(frame: bytes | str, keys: Credentials) -> list[Message]:
    """Read a frame, whichever of the two ways it is written in. Raises Unreadable."""
    raw = frame.encode() if isinstance(frame, str) else frame
    is_packed = not isinstance(frame, str)
    return read(without_keys(raw, (keys.key_id, keys.secret)), is_packed=is_packed)


def _pairs(message: Message) -> frozenset[Pair]:
    lists = (
        (key, told)
        for key, told in message.items()
        if isinstance(told, list) and key not in _FOLLOWING
    )
    return frozenset((channel, str(symbol)) for channel, told in lists for symbol in told)


def _portions(pairs: Collection[Pair]) -> list[list[Pair]]:
    ordered = sorted(pairs)
    return [ordered[at : at + MOST_A_MESSAGE] for at in range(0, len(ordered), MOST_A_MESSAGE)]


def _code(message: Message) -> int:
    code = message.get("code")
    return code if isinstance(code, int) else 0


def _condition(line: _DataLine) -> Condition:
    return Condition(
        state=line.state,
        reason=line.reason,
        since=line.since,
        heard_at=line.heard_at,
        subscribed=line.subscribed,
        refused=dict(line.refused),
    )
