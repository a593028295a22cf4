"""The market data sockets: /v2/{feed} for stocks, /v1beta1/{feed} for options.

Connect, authenticate within ten seconds (or by the handshake's headers), subscribe; then every
subscribed symbol's prices while the market is open. One connection an account and endpoint.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any

from aiohttp import WSMessage, WSMsgType, web

from sandbox.data_feed import OptionPrices, Prices, StockPrices
from sandbox.instants import SECOND
from sandbox.keys import account_of
from sandbox.streams import CLOSE_SECONDS, Listener
from sandbox.switches import FeedSwitch
from sandbox.ticks import JSON, MSGPACK, Codec
from sandbox.venue import Venue

AUTH_SECONDS = 10.0
# One trade for so many quotes.
QUOTES_A_TRADE = 5
MINUTE = 60 * SECOND
# What the free plan may not hear (alpaca-wire.md §2).
PLUS_FEEDS = frozenset({"sip", "opra"})

# What an error says, and whether the socket ends with it (alpaca-wire.md §3b).
ERRORS = {
    400: ("invalid syntax", False),
    401: ("not authenticated", False),
    402: ("auth failed", True),
    403: ("already authenticated", False),
    404: ("auth timeout", True),
    405: ("symbol limit exceeded", False),
    406: ("connection limit exceeded", True),
    409: ("insufficient subscription", True),
    410: ("invalid subscribe action for this feed", False),
    412: ("option messages are only available in MsgPack format", True),
    413: ("star subscription is not allowed for option quotes", False),
}


class ProtocolError(Exception):
    """What a client did wrong: one of ERRORS."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class DataListener(Listener):
    """One socket of a feed: its codec, its prices, and what it has subscribed."""

    def __init__(self, request: web.Request, prices: Prices) -> None:
        super().__init__(request)
        self.prices = prices
        wants_msgpack = request.headers.get("Content-Type") == "application/msgpack"
        self.codec: Codec = MSGPACK if wants_msgpack else JSON
        self.wanted: dict[str, set[str]] = {channel: set() for channel in prices.channels}
        # Then it hears no more of prices, on a socket that stays open.
        self.is_mute = False

    @property
    def endpoint(self) -> str:
        """Where one account has one connection."""
        return self.request.path

    @property
    def symbols(self) -> set[str]:
        """Every symbol it hears of, in whatever channel."""
        return set().union(*self.wanted.values())

    async def send_outbox(self) -> None:
        """Send what is queued, for ever."""
        while True:
            frame = await self.outbox.get()
            if self.codec.is_binary:
                await self.socket.send_bytes(frame)
            else:
                await self.socket.send_str(frame.decode())
            self.outbox.task_done()

    def say(self, word: str, **more: object) -> None:
        """Send a control message."""
        self.send(self.codec.control({"T": word, **more}))

    def subscription(self) -> dict[str, list[str]]:
        """The complete lists, as every (un)subscribe is answered."""
        lists = {channel: sorted(symbols) for channel, symbols in self.wanted.items()}
        return lists | dict.fromkeys(self.prices.echoed, lists["trades"])

    def hears(self, channel: str) -> Iterator[str]:
        """The symbols of a channel, "*" spelled out."""
        wanted = self.wanted.get(channel, set())
        if "*" in wanted:
            yield from self.prices.everything()
        yield from (each for each in wanted if each != "*")


class DataHub:
    """All data sockets, and the clock that makes their prices tick."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._prices: dict[str, Prices] = {"v2": StockPrices(venue), "v1beta1": OptionPrices(venue)}
        self._everyone: set[DataListener] = set()
        # Connections that the server has not noticed to be gone, by account and endpoint.
        self._ghosts: Counter[tuple[str, str]] = Counter()
        self.switch = FeedSwitch()
        self._pulse: asyncio.Task[None] | None = None

    def routes(self) -> list[web.RouteDef]:
        """Every data socket."""
        return [
            web.get("/{api:v2}/{feed:iex|sip|delayed_sip}", self.serve),
            web.get("/{api:v1beta1}/{feed:indicative|opra}", self.serve),
        ]

    @property
    def sockets(self) -> int:
        """How many sockets are connected."""
        return len(self._everyone)

    def mute(self, account_id: str) -> int:
        """Send the account's sockets ("*": all) nothing more, and keep them open."""
        listeners = self._of(account_id)
        for listener in listeners:
            listener.is_mute = True
        return len(listeners)

    def drop(self, account_id: str, ghost_ms: int = 0) -> int:
        """Cut the account's sockets; for so long the server does not notice that they are gone."""
        gone = self._of(account_id)
        for listener in gone:
            if ghost_ms and listener.account_id is not None:
                place = (listener.account_id, listener.endpoint)
                self._ghosts[place] += 1
                asyncio.get_running_loop().call_later(ghost_ms / 1000, self._lay, place)
            listener.drop()
        return len(gone)

    def _lay(self, place: tuple[str, str]) -> None:
        self._ghosts[place] -= 1

    def _of(self, account_id: str) -> list[DataListener]:
        return [each for each in self._everyone if account_id in {"*", each.account_id}]

    async def close(self) -> None:
        """Close every socket in order, as a server going down does."""
        await asyncio.gather(*(each.socket.close() for each in self._everyone))

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """One socket from handshake to close."""
        listener = DataListener(request, self._prices[request.match_info["api"]])
        await listener.socket.prepare(request)
        self._everyone.add(listener)
        self._start_pulse()
        sender = asyncio.create_task(listener.send_outbox())
        # A sender that dies (its socket is gone) must not leave its reader waiting.
        sender.add_done_callback(lambda _: listener.drop())
        try:
            await self._converse(listener)
        finally:
            self._everyone.discard(listener)
            sender.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await sender
        return listener.socket

    async def _converse(self, listener: DataListener) -> None:
        """Greet, then answer every message until the client or an error ends it."""
        listener.say("success", msg="connected")
        try:
            self._greet(listener)
            while True:
                message = await self._receive(listener)
                if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                    return
                self._answer(listener, message)
        except ProtocolError as error:
            _refuse(listener, error.code)
            await _flush(listener)
            await listener.socket.close()

    def _greet(self, listener: DataListener) -> None:
        if listener.codec is JSON and not listener.prices.takes_json:
            raise ProtocolError(412)
        headers = listener.request.headers
        key, secret = headers.get("APCA-API-KEY-ID"), headers.get("APCA-API-SECRET-KEY")
        if key is not None or secret is not None:
            self._authenticate(listener, {"key": key, "secret": secret})

    async def _receive(self, listener: DataListener) -> WSMessage:
        patience = AUTH_SECONDS if listener.account_id is None else None
        try:
            return await listener.socket.receive(timeout=patience)
        except TimeoutError as error:
            raise ProtocolError(404) from error

    def _answer(self, listener: DataListener, message: WSMessage) -> None:
        """Do what the client asks. An error that does not end the socket is only told."""
        try:
            self._do(listener, _read(listener, message))
        except ProtocolError as error:
            if ERRORS[error.code][1]:
                raise
            _refuse(listener, error.code)

    def _do(self, listener: DataListener, asked: dict[str, Any]) -> None:
        match asked.pop("action", None):
            case "auth":
                self._authenticate(listener, asked)
            case "subscribe" | "unsubscribe" as action:
                self._subscribe(listener, asked, adds=action == "subscribe")
            case _:
                raise ProtocolError(400)

    def _authenticate(self, listener: DataListener, asked: Mapping[str, Any]) -> None:
        if listener.account_id is not None:
            raise ProtocolError(403)
        account_id = account_of(asked.get("key"), asked.get("secret"))
        if account_id is None:
            raise ProtocolError(402)
        others = sum(
            (each.account_id, each.endpoint) == (account_id, listener.endpoint)
            for each in self._everyone
        )
        if others + self._ghosts[account_id, listener.endpoint] >= self.switch.connections:
            raise ProtocolError(406)
        if self.switch.plan == "basic" and listener.request.match_info["feed"] in PLUS_FEEDS:
            raise ProtocolError(409)
        listener.account_id = account_id
        listener.say("success", msg="authenticated")

    def _subscribe(self, listener: DataListener, asked: Mapping[str, Any], *, adds: bool) -> None:
        if listener.account_id is None:
            raise ProtocolError(401)
        changed = _changed(listener, asked, adds=adds)
        limit = self.switch.symbol_limit
        if adds and limit and len(set().union(*changed.values())) > limit:
            raise ProtocolError(405)
        listener.wanted = changed
        listener.say("subscription", **listener.subscription())

    def _start_pulse(self) -> None:
        if self._pulse is None or self._pulse.done():
            self._pulse = asyncio.create_task(self._beat())

    async def _beat(self) -> None:
        """Tell prices while anybody is connected."""
        minute = self._venue.clock.now() // MINUTE
        for beat in count():
            if not self._everyone:
                return
            await asyncio.sleep(1 / self.switch.quotes_per_second)
            now = self._venue.clock.now()
            if self._venue.hours.is_open(now):
                channels = ["quotes"] if beat % QUOTES_A_TRADE else ["quotes", "trades"]
                if now // MINUTE != minute:
                    channels += ["bars", "dailyBars"]
                self._tell(channels, now)
            minute = now // MINUTE

    def _tell(self, channels: list[str], now: int) -> None:
        """One frame to each socket; a message is made once, and encoded once for each codec."""
        made: dict[tuple[int, bool, str, str], bytes | None] = {}
        for listener in self._everyone:
            messages = []
            for channel in channels:
                for symbol in listener.hears(channel):
                    key = (id(listener.prices), listener.codec.is_binary, channel, symbol)
                    if key not in made:
                        told = listener.prices.tell(channel, symbol, now)
                        made[key] = None if told is None else listener.codec.encode(told)
                    messages.append(made[key])
            frame = [each for each in messages if each is not None]
            if frame and not listener.is_mute:
                listener.send(listener.codec.frame(frame))


def _changed(
    listener: DataListener, changes: Mapping[str, Any], *, adds: bool
) -> dict[str, set[str]]:
    """What would be subscribed afterwards.

    Raises:
        ProtocolError: the lists are wrong, or not of this feed; nothing is changed.
    """
    if not set(changes) <= set(listener.wanted):
        raise ProtocolError(410)
    wanted = {channel: set(symbols) for channel, symbols in listener.wanted.items()}
    for channel, symbols in changes.items():
        if not isinstance(symbols, list) or not all(isinstance(each, str) for each in symbols):
            raise ProtocolError(400)
        if "*" in symbols and channel not in listener.prices.starred:
            raise ProtocolError(413)
        if not all(each == "*" or listener.prices.is_symbol(each) for each in symbols):
            raise ProtocolError(400)
        wanted[channel] = wanted[channel] | set(symbols) if adds else wanted[channel] - set(symbols)
    return wanted


def _read(listener: DataListener, message: WSMessage) -> dict[str, Any]:
    try:
        asked = listener.codec.decode(message.data)
    except ValueError as error:
        raise ProtocolError(400) from error
    if not isinstance(asked, dict):
        raise ProtocolError(400)
    return asked


def _refuse(listener: DataListener, code: int) -> None:
    listener.say("error", code=code, msg=ERRORS[code][0])


async def _flush(listener: DataListener) -> None:
    """Let what is queued go before the socket ends."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(listener.outbox.join(), CLOSE_SECONDS)
