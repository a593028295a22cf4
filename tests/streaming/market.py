"""What the market process says on the bus, said by a test."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from marketdata.demand import Demand
from marketdata.ticks import CHANNELS, Tick, packed
from opitios.core import clock
from opitios.core.bus import Topic
from tests.marketdata.brokers import WIRE
from tests.streaming.stream_process import Client
from tests.support.buses import gateway_bus
from tests.support.until import until

OPTION = "AAPL261218C00190000"

# Bodies as Alpaca's sockets write them (alpaca-wire.md §3b, §3c), without `T` and `S`.
BODIES: dict[str, dict[str, Any]] = {
    "trades": {
        "t": "2026-11-20T14:30:00.161331123Z",
        "p": 187.21,
        "s": 4,
        "x": "V",
        "c": ["@"],
        "i": 52983525029461,
        "z": "C",
    },
    "quotes": WIRE,
    "bars": {
        "t": "2026-11-20T14:30:00Z",
        "o": 187.1,
        "h": 187.3,
        "l": 187.05,
        "c": 187.2,
        "v": 1200,
        "n": 17,
        "vw": 187.18,
    },
    "option_trades": {
        "t": "2026-11-20T14:30:00.161331123Z",
        "p": 4.2,
        "s": 2,
        "x": "C",
        "c": "S",
    },
    "option_quotes": {
        "t": "2026-11-20T14:30:00.161331123Z",
        "bp": 4.1,
        "bs": 10,
        "ap": 4.3,
        "as": 8,
        "bx": "C",
        "ax": "N",
        "c": " ",
    },
}


def now() -> float:
    """The wall clock in epoch seconds."""
    return clock.now().timestamp()


def tick(channel: str, symbol: str, **changed: Any) -> Tick:
    """One message of the broker, received now."""
    feed = "indicative" if channel.startswith("option") else "iex"
    return Tick(channel, feed, symbol, now(), BODIES[channel] | changed)


def send(*ticks: Tick) -> None:
    """Publish ticks that came together."""
    assert gateway_bus().publish((Topic.TICKS, packed(ticks)))


def until_heard_by(processes: int) -> None:
    """Wait until so many hear the prices of this gateway: what is sent before passes them by."""
    bus = gateway_bus()

    def are_there() -> bool:
        [(_, count)] = bus.ask(("PUBSUB", "NUMSUB", bus.channel(Topic.TICKS))) or [(b"", 0)]
        return int(count) >= processes

    until(are_there)


class Feed:
    """Says how each channel is, on every change and again and again."""

    def __init__(self) -> None:
        self._bus = gateway_bus()
        self._states: dict[str, tuple[str, float]] = {}
        self._closing = threading.Event()
        self._silent = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def is_now(self, state: str, *channels: str) -> None:
        """Say that channels, all unless named, are in this state from now on."""
        for channel in channels or CHANNELS:
            self._states[channel] = (state, now())
        self.speak()

    def falls_silent(self) -> None:
        """Say nothing any more."""
        self._silent.set()

    def speak(self) -> None:
        """Say how every channel is."""
        for channel, (state, since) in list(self._states.items()):
            feed = "indicative" if channel.startswith("option") else "iex"
            told = {"channel": channel, "feed": feed, "state": state, "since": since}
            self._bus.publish((Topic.MARKET, told | {"reason": None}))

    def start(self) -> None:
        """Go on saying it."""
        self.is_now("live")
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closing.wait(0.2):
            if not self._silent.is_set():
                self.speak()


@contextmanager
def speaking() -> Iterator[Feed]:
    """A market process that says that all is well."""
    feed = Feed()
    feed.start()
    try:
        yield feed
    finally:
        feed.stop()


def subscribed(socket: Client, **channels: list[str]) -> dict[str, Any]:
    """Subscribe; the list of everything that is followed now."""
    answer = socket.asks(action="subscribe", **channels)
    assert answer[0]["T"] == "subscription", answer
    return answer[0]


def wanted(channel: str) -> frozenset[str]:
    """What living processes want of the feed."""
    return Demand(gateway_bus()).in_all(channel)
