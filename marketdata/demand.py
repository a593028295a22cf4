"""Which symbols the processes of this gateway want of the live feed, counted (design.md §7).

Every process tells Redis its whole demand: at once when it changes, and each five seconds. What is
told lives for fifteen seconds, so that a process that died wants nothing any more, and a Redis that
came back empty knows everything again. Nobody who asks waits for Redis: a thread tells.
"""

import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache
from uuid import uuid4

import orjson
import structlog

from marketdata.ticks import CHANNELS
from opitios.core import clock
from opitios.core.bus import Bus, Command, Topic, get_bus

logger = structlog.get_logger("app")

# Seconds between two tellings of the same, and how long one of them is believed.
TELL_SECONDS, BELIEVED_SECONDS = 5.0, 15
# Changes of so many seconds are told together.
TOGETHER_SECONDS = 0.02
# Seconds that a symbol is wanted after one question about it.
TOUCHED_SECONDS = 60.0
# Symbols of a channel that questions make wanted here: more than any socket carries.
MOST_TOUCHED = 10_000

# What living processes told; those whose time is over are forgotten.
_READ = b"""
local told = {}
for _, name in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  local one = redis.call('GET', KEYS[1] .. ':' .. name)
  if one then told[#told + 1] = one else redis.call('SREM', KEYS[1], name) end
end
return told
"""


class Demand:
    """What this process wants, and what all of them want. Safe to use from any thread.

    A symbol is wanted while it is held more often than released, or within a minute of a touch.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._name = uuid4().hex
        self._held: dict[str, Counter[str]] = {channel: Counter() for channel in CHANNELS}
        # By channel and symbol: until when (monotonic). Written without the lock, a key at a time.
        self._touched: dict[str, dict[str, float]] = {channel: {} for channel in CHANNELS}
        self._since: dict[str, dict[str, float]] = {channel: {} for channel in CHANNELS}
        self._in_all: Mapping[str, Counter[str]] = {channel: Counter() for channel in CHANNELS}
        self._told: Mapping[str, Mapping[str, int]] = {}
        self._told_at = float("-inf")
        self._lock = threading.Lock()
        self._changed, self._closing = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def hold(self, channel: str, symbols: Iterable[str]) -> None:
        """Want these until they are released as often."""
        with self._lock:
            self._held[channel].update(symbols)
        self._tell_soon()

    def release(self, channel: str, symbols: Iterable[str]) -> None:
        """Take back one `hold` of each."""
        with self._lock:
            held = self._held[channel]
            held.subtract(symbols)
            self._held[channel] = +held
        self._tell_soon()

    def touch(self, channel: str, symbol: str) -> None:
        """Want this for the next minute: somebody asked. Costs next to nothing when repeated."""
        touched = self._touched[channel]
        is_new = symbol not in touched
        if is_new and len(touched) >= MOST_TOUCHED:
            return
        touched[symbol] = clock.monotonic() + TOUCHED_SECONDS
        if is_new:
            self._tell_soon()

    def since(self, channel: str, symbol: str) -> float | None:
        """Since when everybody was told that it is wanted here (epoch seconds); None: never."""
        return self._since[channel].get(symbol) if self._is_believed() else None

    def in_all(self, channel: str) -> frozenset[str]:
        """What any living process wants of a channel; while Redis is away, what was last known."""
        return frozenset(self.counted()[channel])

    def counted(self) -> Mapping[str, Mapping[str, int]]:
        """By channel, how often each symbol is held by all living processes (0: only asked for).

        While Redis is away: what was last known.
        """
        told = self._bus.ask(("EVAL", _READ, 1, self._bus.key("demand")))
        if told is not None:
            self._in_all = _summed(told[0])
        return self._in_all

    def tell(self) -> bool:
        """Tell Redis everything that is wanted here now. False while it is away."""
        wanted, at = self._wanted(), clock.monotonic()
        index = self._bus.key("demand")
        commands: list[Command] = [
            ("SET", f"{index}:{self._name}", orjson.dumps(wanted), "EX", BELIEVED_SECONDS),
            ("SADD", index, self._name),
        ]
        if wanted != self._told:
            commands.append(("PUBLISH", self._bus.channel(Topic.DEMAND), b"{}"))
        is_told = self._bus.ask(*commands) is not None
        self._note(wanted if is_told else {}, at)
        return is_told

    def close(self) -> None:
        """Want nothing any more, and say so."""
        self._closing.set()
        self._changed.set()
        if self._thread is not None:
            self._thread.join(timeout=3)
        index = self._bus.key("demand")
        self._bus.ask(("DEL", f"{index}:{self._name}"), ("SREM", index, self._name))
        self._bus.publish((Topic.DEMAND, {}))

    def _wanted(self) -> dict[str, dict[str, int]]:
        """By channel, each symbol with how often it is held."""
        now = clock.monotonic()
        with self._lock:
            return {channel: self._wanted_of(channel, now) for channel in CHANNELS}

    def _wanted_of(self, channel: str, now: float) -> dict[str, int]:
        touched = self._touched[channel]
        for symbol, until in list(touched.items()):
            if until < now:
                del touched[symbol]
        return dict.fromkeys(list(touched), 0) | self._held[channel]

    def _note(self, told: Mapping[str, Mapping[str, int]], at: float) -> None:
        """Remember since when each symbol is wanted; what could not be told is not."""
        lasted = self._is_believed()
        self._told, self._told_at = told, at
        now = clock.now().timestamp()
        for channel in CHANNELS:
            before = self._since[channel] if lasted else {}
            wanted = told.get(channel, ())
            self._since[channel] = {symbol: before.get(symbol, now) for symbol in wanted}

    def _is_believed(self) -> bool:
        """Whether what was told is still known: not if this process slept for too long."""
        return clock.monotonic() - self._told_at < BELIEVED_SECONDS

    def _tell_soon(self) -> None:
        if self._thread is None:
            self._start()
        self._changed.set()

    def _start(self) -> None:
        # At the first use, not at import: a server's workers are forked after that.
        with self._lock:
            if self._thread is None and not self._closing.is_set():
                self._thread = threading.Thread(target=self._run, name="demand", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while not self._closing.is_set():
            self._changed.wait(TELL_SECONDS)
            self._changed.clear()
            try:
                self.tell()
            except Exception:  # a process loop: it is told again in seconds
                logger.exception("demand could not be told")
            self._closing.wait(TOGETHER_SECONDS)


def _summed(told: Iterable[bytes]) -> dict[str, Counter[str]]:
    """Add up what processes told. Who speaks of channels that we do not know is newer than we."""
    summed: dict[str, Counter[str]] = {channel: Counter() for channel in CHANNELS}
    for one in told:
        for channel, wanted in orjson.loads(one).items():
            if channel in summed:
                summed[channel].update(wanted)
    return summed


@lru_cache(maxsize=1)
def get_demand() -> Demand:
    """The demand of this process."""
    return Demand(get_bus())
