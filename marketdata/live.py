"""The newest prices of the live feed in one process: what is asked for is answered without a call.

A price of the feed is believed as the present one only while nothing newer can have been missed:
its channel is live since before it came, this process has wanted the symbol since before it came,
and has heard every message since, with no silence of the market process in between. Otherwise the
broker is asked, as without a feed.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import structlog

from marketdata.demand import Demand
from marketdata.feedstate import is_believed
from marketdata.ticks import Tick, gone, unpacked
from opitios.core import clock
from opitios.core.bus import Bus, Listener, Topic
from opitios.core.coalesce import Kept

logger = structlog.get_logger("app")

# The market process says each second how a channel is; silent for so long, it is as if it were not.
SILENT_SECONDS = 3.0
# A symbol may just be going out of use when this process begins to want it: seconds until the
# market process certainly knows, and until clocks of hosts agree.
SETTLED_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class _Channel:
    """How a channel is.

    since: when its present state began; unbroken_since: when it was heard of first, or again after
    a silence (epoch seconds both). heard_at: when it was last heard of (monotonic).
    """

    feed: str
    is_believed: bool
    since: float
    unbroken_since: float
    heard_at: float

    @property
    def is_silent(self) -> bool:
        """Whether nothing was heard of it for too long."""
        return clock.monotonic() - self.heard_at > SILENT_SECONDS


@dataclass(frozen=True, slots=True)
class _Price:
    """The newest message of a symbol, as an answer; at: when the market process had it (epoch)."""

    kept: Kept[bytes]
    feed: str
    at: float


class Live:
    """What this process hears of the feed. Safe to use from any thread.

    `shapes`: what a message of a channel must look like to be an answer.
    """

    def __init__(self, bus: Bus, demand: Demand, shapes: Mapping[str, type]) -> None:
        self._bus, self._demand, self._shapes = bus, demand, shapes
        self._channels: dict[str, _Channel] = {}
        self._prices: dict[tuple[str, str], _Price] = {}
        # Of ticks, and of how the channels are.
        self._listeners: tuple[Listener, ...] = ()
        self._lock = threading.Lock()

    def start(self) -> None:
        """Begin to listen, once; not before the process has forked for the last time."""
        with self._lock:
            if not self._listeners:
                self._listeners = (
                    self._bus.listen(Topic.TICKS, self._take),
                    self._bus.listen(Topic.MARKET, self._note),
                )

    def close(self) -> None:
        """Listen no more."""
        for each in self._listeners:
            each.close()

    def find(self, channel: str, symbol: str, feed: str) -> Kept[bytes] | None:
        """The present price of a symbol, and from now on it is wanted; None: ask the broker."""
        self.want(channel, symbol, feed)
        return self.present(channel, symbol, feed)

    def want(self, channel: str, symbol: str, feed: str) -> None:
        """Want a symbol from now on, where the feed is the one that is listened to."""
        if not self._listeners:
            self.start()
        state = self._channels.get(channel)
        if state is not None and state.feed == feed:
            self._demand.touch(channel, symbol)

    def present(self, channel: str, symbol: str, feed: str) -> Kept[bytes] | None:
        """The present price of a symbol that was wanted before; None: ask the broker."""
        state = self._channels.get(channel)
        price = self._prices.get((channel, symbol))
        if state is None or state.feed != feed or price is None:
            return None
        return price.kept if self._is_present(channel, symbol, price, state) else None

    def last(self, channel: str, symbol: str, feed: str) -> Kept[bytes] | None:
        """The last price that was heard of a symbol, whether it is the present one or not."""
        price = self._prices.get((channel, symbol))
        return price.kept if price is not None and price.feed == feed else None

    def _is_present(self, channel: str, symbol: str, price: _Price, state: _Channel) -> bool:
        if not state.is_believed or state.is_silent:
            return False
        listening = self._listeners[0].since if self._listeners else None
        wanted = self._demand.since(channel, symbol)
        if listening is None or wanted is None or price.feed != state.feed:
            return False
        missed_nothing_since = max(state.since, state.unbroken_since, listening)
        return max(missed_nothing_since, wanted + SETTLED_SECONDS) <= price.at

    # On the listeners' threads

    def _take(self, message: dict[str, Any]) -> None:
        for tick in unpacked(message):
            shape = self._shapes.get(tick.channel)
            if shape and self._demand.since(tick.channel, tick.symbol) is not None:
                self._keep(tick, shape)
        for item in gone(message):
            self._prices.pop(item, None)

    def _keep(self, tick: Tick, shape: type) -> None:
        try:
            value = msgspec.json.encode(msgspec.convert(tick.body, shape))
        except msgspec.ValidationError as error:
            logger.warning(
                "a price of the feed has not its shape", channel=tick.channel, why=str(error)
            )
            self._prices.pop((tick.channel, tick.symbol), None)
            return
        age = max(0.0, clock.now().timestamp() - tick.at)
        kept = Kept(value, clock.monotonic() - age)
        self._prices[tick.channel, tick.symbol] = _Price(kept, tick.feed, tick.at)

    def _note(self, message: dict[str, Any]) -> None:
        channel = message["channel"]
        before, unbroken_since = self._channels.get(channel), clock.now().timestamp()
        # Who could not speak may have been unable to send prices too: after that, begin anew.
        if before is not None and not before.is_silent:
            unbroken_since = before.unbroken_since
        self._channels[channel] = _Channel(
            message["feed"],
            is_believed(message),
            since=message["since"],
            unbroken_since=unbroken_since,
            heard_at=clock.monotonic(),
        )
        self._forget(channel)

    def _forget(self, channel: str) -> None:
        """Drop what nobody here wants any more."""
        for item in list(self._prices):
            if item[0] == channel and self._demand.since(*item) is None:
                self._prices.pop(item, None)
