"""One market hub a process: brings ticks to the sockets that follow them, encoded once for all.

Prices are no journal: what was missed is not shown later. A client is told when its feed is not
live, and how much it was spared for being slow. Two threads listen; all else is on the event loop.
"""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache

from marketdata.demand import Demand, get_demand
from marketdata.live import SETTLED_SECONDS
from marketdata.ticks import REPLACED, Item, Tick, gone, unpacked
from opitios.core import clock
from opitios.core.bus import Bus, Listener, Topic, get_bus
from streaming import protocol
from streaming.audiences import Audience, Audiences
from streaming.backlog import Entry
from streaming.buffer import Bundle, Outbox
from streaming.counters import PRICES
from streaming.feedstates import FeedState, HeardStates
from streaming.inbox import Inbox
from streaming.loops import for_ever, yield_turn
from streaming.protocol import Message
from streaming.statuses import Statuses

# Between so many ticks the sockets' writers get a turn. It bounds what stands in one frame.
TURN = 128
# Seconds between two looks whether the feed is still what clients were told.
LOOK_SECONDS = 0.5


class MarketHub:
    """The sockets by what they follow, the ticks for them, and how their feeds are."""

    def __init__(self, bus: Bus, demand: Demand) -> None:
        self._bus, self._demand = bus, demand
        self._audiences = Audiences()
        self._inbox = Inbox()
        self._arrived = asyncio.Event()
        # The newest quote of each followed symbol: what a new subscriber is shown first.
        self._quotes: dict[Item, Tick] = {}
        self._states = HeardStates(started_at=_now())
        self._statuses = Statuses()
        self._ticks_listener: Listener | None = None
        # Of that listener: since when it listens, and when Redis was told our demand after that.
        self._confirmed: tuple[float, float] | None = None
        self._states_listener: Listener | None = None
        self._tasks: list[asyncio.Task[None]] = []

    # What sockets ask

    def follow(self, socket: Outbox, items: frozenset[Item]) -> None:
        """Let a socket follow these items and no others.

        It is told of each new channel that is not live, and shown the quotes that are known: a
        quote is a state. Trades and bars are events: those of before its time are not its own.
        """
        before = self._audiences.followed(socket)
        new, lost = items - before, before - items
        if not new and not lost:
            return
        self._audiences.move(socket, items)
        self._hold(new)
        self._release(lost)
        socket.forget(lost)
        self.forget(item for item in lost if item not in self._audiences)
        self._greet(socket, before, items)
        self._show_known(socket, new)

    def leave(self, socket: Outbox) -> None:
        """Forget a socket."""
        self.follow(socket, frozenset())

    def _hold(self, items: Iterable[Item]) -> None:
        for channel, symbols in _by_channel(items).items():
            self._demand.hold(channel, symbols)

    def _release(self, items: Iterable[Item]) -> None:
        for channel, symbols in _by_channel(items).items():
            self._demand.release(channel, symbols)

    def _show_known(self, socket: Outbox, items: Iterable[Item]) -> None:
        now = _now()
        known = [(item, self._known(item, now)) for item in items]
        entries = [
            Entry(item, protocol.tick(tick, now=now)) for item, tick in known if tick is not None
        ]
        if entries:
            socket.put_market(Bundle.of(entries))

    def _known(self, item: Item, now: float) -> Tick | None:
        """The quote that is certainly the last one: nothing after it can have been missed."""
        tick, state = self._quotes.get(item), self._state(item[0], now)
        wanted_since = self._demand.since(*item)
        if tick is None or state is None or wanted_since is None:
            return None
        is_settled = wanted_since + SETTLED_SECONDS <= tick.at
        return tick if is_settled and state.covers(tick.at) else None

    def part(self) -> dict[str, int]:
        """What the pool row tells of market data here."""
        return {"symbols": len(self._audiences)}

    # The loops

    def start(self) -> None:
        """Begin listening and showing; once."""
        if self._tasks:
            return
        loop = asyncio.get_running_loop()

        def take(message: Message) -> None:
            # On the listener's thread; what nobody follows never troubles the loop.
            ticks = unpacked(message)
            followed = [one for one in ticks if (one.channel, one.symbol) in self._audiences]
            ended = gone(message)
            if followed or ended:
                self._inbox.put(followed, gone=ended)
                loop.call_soon_threadsafe(self._arrived.set)

        def note(message: Message) -> None:
            loop.call_soon_threadsafe(self.note, message)

        self._ticks_listener = self._bus.listen(Topic.TICKS, take)
        self._states_listener = self._bus.listen(Topic.MARKET, note)
        steps = (self.show_arrived, self._look_on)
        self._tasks = [asyncio.create_task(for_ever(step)) for step in steps]

    async def stop(self) -> None:
        """End the loops and the listeners, and want nothing any more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        listeners = filter(None, (self._ticks_listener, self._states_listener))
        closes = [self._demand.close, *(each.close for each in listeners)]
        await asyncio.gather(*map(asyncio.to_thread, closes))

    async def show_arrived(self) -> None:
        """Show what arrived, and give the writers a turn now and then."""
        await self._arrived.wait()
        self._arrived.clear()
        ticks, lost, ended = self._inbox.take()
        for item, count in lost.items():
            for socket in self._following(item):
                socket.count_dropped(item[0], count)
        for start in range(0, len(ticks), TURN):
            self.show(ticks[start : start + TURN])
            await yield_turn()
        self.forget(ended)

    def show(self, ticks: Iterable[Tick]) -> None:
        """Bring ticks to those who follow them: each is encoded once, each audience has a frame."""
        put = 0
        for audience, entries in self._entries(ticks).items():
            bundle = Bundle.of(entries)
            for socket in audience.sockets:
                socket.put_market(bundle)
            put += len(entries) * len(audience.sockets)
        PRICES.add((), put)

    def _entries(self, ticks: Iterable[Tick]) -> Mapping[Audience, list[Entry]]:
        """Encode what anybody follows, by audience, and remember the last quotes."""
        now = _now()
        entries: defaultdict[Audience, list[Entry]] = defaultdict(list)
        for tick in ticks:
            item = (tick.channel, tick.symbol)
            audiences = self._audiences.of(item)
            if not audiences:
                continue
            if tick.channel in REPLACED:
                self._quotes[item] = tick
            entry = Entry(item, protocol.tick(tick, now=now))
            for audience in audiences:
                entries[audience].append(entry)
        return entries

    def forget(self, items: Iterable[Item]) -> None:
        """Believe in these last quotes no more: others may follow that nobody hears."""
        for item in items:
            self._quotes.pop(item, None)

    def _following(self, item: Item) -> Iterable[Outbox]:
        return (socket for audience in self._audiences.of(item) for socket in audience.sockets)

    # How the feeds are

    def note(self, message: Message) -> None:
        """Hear how a channel's feed is."""
        self._states.note(message, _now())
        self.tell([message["channel"]])

    async def _look_on(self) -> None:
        await self.confirm()
        self.tell(protocol.MARKET_CHANNELS)
        await asyncio.sleep(LOOK_SECONDS)

    async def confirm(self) -> None:
        """Tell Redis our demand where we listen anew, before any feed is called live.

        A Redis that came back may be empty, and the market process want nothing for us.
        """
        since = self._ticks_listener.since if self._ticks_listener else None
        if since is None or (self._confirmed and self._confirmed[0] == since):
            return
        if await asyncio.to_thread(self._demand.tell):
            self._confirmed = since, _now()

    def tell(self, channels: Iterable[str]) -> None:
        """Tell those who follow a channel how its feed is, where that is not what they know."""
        now = _now()
        for channel in channels:
            state = self._state(channel, now)
            if state is not None:
                self._statuses.tell(channel, state, self._audiences.all())

    def _greet(self, socket: Outbox, before: Collection[Item], items: Collection[Item]) -> None:
        channels = {channel for channel, _ in items}
        self._statuses.keep(socket, channels)
        now = _now()
        for channel in sorted(channels - {channel for channel, _ in before}):
            state = self._state(channel, now)
            if state is not None:
                self._statuses.greet(socket, channel, state, items)

    def _state(self, channel: str, now: float) -> FeedState | None:
        return self._states.of(channel, now=now, heard_since=self._heard_since)

    @property
    def _heard_since(self) -> float | None:
        """Since when nothing can have been missed here; None while that is not so."""
        if self._ticks_listener is None or self._confirmed is None:
            return None
        since, told_at = self._confirmed
        return told_at if since == self._ticks_listener.since else None


def _by_channel(items: Iterable[Item]) -> dict[str, list[str]]:
    found: defaultdict[str, list[str]] = defaultdict(list)
    for channel, symbol in items:
        found[channel].append(symbol)
    return found


def _now() -> float:
    return clock.now().timestamp()


@lru_cache(maxsize=1)
def get_market() -> MarketHub:
    """The market hub of this process."""
    return MarketHub(get_bus(), get_demand())
