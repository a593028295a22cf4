"""Ticks on their way from the listener's thread to the event loop: bounded, conflated, counted."""

import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from marketdata.ticks import REPLACED, Item, Tick
from streaming.backlog import MAX_EVENTS

# Ticks that wait for the loop before old quotes among them are left out.
MOST = 8192


class Inbox:
    """Filled by one thread, emptied by another."""

    def __init__(self, *, most: int = MOST) -> None:
        self._most = self._limit = most
        self._ticks: list[Tick] = []
        self._lost: Counter[Item] = Counter()
        self._gone: list[Item] = []
        self._lock = threading.Lock()

    def put(self, ticks: Iterable[Tick], *, gone: Iterable[Item] = ()) -> None:
        """Add ticks; where too many wait, quotes leave of which there is a newer one.

        gone: what is not listened to any more after these.
        """
        with self._lock:
            self._gone += gone
            self._ticks += ticks
            if len(self._ticks) > self._limit:
                self._ticks, lost = conflated(self._ticks)
                self._lost += lost
                # What cannot be conflated further must not be looked through again each time.
                self._limit = max(self._most, 2 * len(self._ticks))

    def take(self) -> "Arrived":
        """Take everything."""
        with self._lock:
            arrived = Arrived(self._ticks, self._lost, self._gone)
            self._ticks, self._lost, self._gone = [], Counter(), []
            self._limit = self._most
        return arrived


class Arrived(NamedTuple):
    """Ticks in their order, how many of each item were left out, and what has ended since."""

    ticks: list[Tick]
    lost: Counter[Item]
    gone: list[Item]


def conflated(ticks: Sequence[Tick]) -> tuple[list[Tick], Counter[Item]]:
    """Keep the newest quote of each symbol and its last trades and bars; count the others."""
    kept: list[Tick] = []
    seen: Counter[Item] = Counter()
    lost: Counter[Item] = Counter()
    for tick in reversed(ticks):
        item = (tick.channel, tick.symbol)
        seen[item] += 1
        if seen[item] <= (1 if tick.channel in REPLACED else MAX_EVENTS):
            kept.append(tick)
        else:
            lost[item] += 1
    kept.reverse()
    return kept, lost
