"""Market data that a slow client has not taken yet: bounded, conflated, counted."""

from collections import Counter, OrderedDict, deque
from collections.abc import Collection, Iterable
from typing import NamedTuple

from marketdata.ticks import REPLACED, Item
from streaming import protocol
from streaming.counters import PRICES_DROPPED

# Trades or bars that wait for one client, of each channel: the last ones.
MAX_EVENTS = 256


class Entry(NamedTuple):
    """One encoded message of market data, and whose it is."""

    item: Item
    text: str


class Backlog:
    """What waits for one socket. Its size is bounded by what the socket follows."""

    def __init__(self, *, max_events: int = MAX_EVENTS) -> None:
        self._max_events = max_events
        self._quotes: OrderedDict[Item, str] = OrderedDict()
        self._events: dict[str, deque[Entry]] = {}
        self._untold: Counter[str] = Counter()
        # Everything that was left out, ever.
        self.dropped = 0

    def __bool__(self) -> bool:
        """Whether messages wait: what comes now waits behind them."""
        return bool(self._quotes) or any(self._events.values())

    def add(self, entries: Iterable[Entry]) -> None:
        """Keep these; what has no place is left out, the oldest first."""
        for entry in entries:
            if entry.item[0] in REPLACED:
                self._replace(entry)
            else:
                self._append(entry)

    def count(self, channel: str, dropped: int) -> None:
        """Count what was left out before it came here."""
        PRICES_DROPPED.add((channel,), dropped)
        self._untold[channel] += dropped
        self.dropped += dropped

    def forget(self, items: Collection[Item]) -> None:
        """Throw away what is followed no more."""
        for item in items:
            self._quotes.pop(item, None)
        for channel, events in self._events.items():
            left = (entry for entry in events if entry.item not in items)
            self._events[channel] = deque(left)

    def clear(self) -> None:
        """Throw everything away."""
        self._quotes.clear()
        self._events.clear()
        self._untold.clear()

    def take(self, most: int) -> list[str]:
        """Take so many messages out: first what was left out, then events, then quotes."""
        taken = [protocol.dropped(channel, count) for channel, count in self._untold.items()]
        self._untold.clear()
        for events in self._events.values():
            while events and len(taken) < most:
                taken.append(events.popleft().text)
        while self._quotes and len(taken) < most:
            taken.append(self._quotes.popitem(last=False)[1])
        return taken

    def _replace(self, entry: Entry) -> None:
        if self._quotes.pop(entry.item, None) is not None:
            self.count(entry.item[0], 1)
        # At the end: what leaves first has waited longest.
        self._quotes[entry.item] = entry.text

    def _append(self, entry: Entry) -> None:
        channel = entry.item[0]
        events = self._events.setdefault(channel, deque())
        if len(events) >= self._max_events:
            events.popleft()
            self.count(channel, 1)
        events.append(entry)
