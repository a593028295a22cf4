"""Whose turn it is at a desk: accounts of higher priority first, and none for ever behind them.

Senders take what is to be done from here. Which orders of an account may go, and in which order, is
`books.py`; this decides between accounts when there is more to do than there are senders.
"""

import threading
from collections import deque
from collections.abc import Callable, Mapping
from itertools import cycle

Job = Callable[[], None]

# While all of them wait, four turns in seven are high's, two normal's and one low's: low is slower
# under load and never stands still. A turn that nobody of its word wants goes to the highest.
_ROUND = ("high", "normal", "high", "low", "high", "normal", "high")

# Cancels reduce what is at risk, whoever's they are.
FIRST = "high"


class Turns:
    """What is to be done, first in first out for each priority. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lanes: Mapping[str, deque[tuple[str | None, Job]]] = {
            word: deque() for word in ("high", "normal", "low")
        }
        self._named: set[str] = set()
        self._round = cycle(_ROUND)
        self._there = threading.Condition()
        self._is_closed = False

    def put(self, job: Job, priority: str, name: str | None = None) -> None:
        """Add something to do for an account of this priority (`high`, `normal`, `low`).

        name: one of the same name that waits already makes it unnecessary. A desk that is short of
        processor time would else be given more to do with each poll than it can do until the next.
        """
        with self._there:
            if self._is_closed or name in self._named:
                return
            if name is not None:
                self._named.add(name)
            self._lanes[priority].append((name, job))
            self._there.notify()

    def get(self) -> Job | None:
        """Wait for a turn; None once `close` was called and what was there before it is done."""
        with self._there:
            self._there.wait_for(lambda: self._is_closed or any(self._lanes.values()))
            lane = self._lanes[next(self._round)] or self._highest()
            if not lane:
                return None
            name, job = lane.popleft()
            self._named.discard(name or "")
            return job

    def close(self) -> None:
        """Take nothing more."""
        with self._there:
            self._is_closed = True
            self._there.notify_all()

    def _highest(self) -> deque[tuple[str | None, Job]] | None:
        return next((lane for lane in self._lanes.values() if lane), None)
