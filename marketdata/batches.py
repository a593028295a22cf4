"""Ticks on their way from the sockets to the bus: in order, bounded, newest quotes only.

The sockets' loop puts, one thread takes. Between two takings a newer quote replaces the older one
of its symbol, so that a slow Redis makes prices rarer and never late; of trades and bars each is
kept, and where too many wait, the oldest is lost and counted.
"""

import threading
from collections.abc import Iterable
from itertools import count

from marketdata.ticks import REPLACED, Item, Tick

# Ticks that wait at most: seconds of a busy market.
MOST_WAITING = 50_000


class Batch:
    """What waits for the bus. Safe to use from any thread."""

    def __init__(self, *, most: int = MOST_WAITING) -> None:
        self._most = most
        self._waiting: dict[Item | int, Tick] = {}
        self._gone: list[Item] = []
        self._numbers = count()
        self._lock = threading.Lock()
        self.arrived = threading.Event()
        # Quotes that a newer one replaced; ticks that were lost.
        self.conflated = self.dropped = 0

    def put(self, ticks: Iterable[Tick]) -> None:
        """Add ticks behind those that wait."""
        with self._lock:
            for tick in ticks:
                self._add(tick)
            while len(self._waiting) > self._most:
                del self._waiting[next(iter(self._waiting))]
                self.dropped += 1
        self.arrived.set()

    def put_gone(self, items: Iterable[Item]) -> None:
        """Say that these are not listened to any more."""
        with self._lock:
            self._gone += items
        self.arrived.set()

    def take(self) -> tuple[list[Tick], list[Item]]:
        """Take all that waits: ticks, and what is not listened to any more."""
        self.arrived.clear()
        with self._lock:
            waiting, self._waiting = self._waiting, {}
            gone, self._gone = self._gone, []
        return list(waiting.values()), gone

    def _add(self, tick: Tick) -> None:
        if tick.channel not in REPLACED:
            self._waiting[next(self._numbers)] = tick
            return
        key = (tick.channel, tick.symbol)
        if self._waiting.pop(key, None) is not None:
            self.conflated += 1
        self._waiting[key] = tick
