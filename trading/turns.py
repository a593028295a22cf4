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
        self._lanes: Mapping[str, deque[Job]] = {
            word: deque() for word in ("high", "normal", "low")
        }
        self._round = cycle(_ROUND)
        self._there = threading.Condition()
        self._is_closed = False

    def put(self, job: Job, priority: str) -> None:
        """Add something to do for an account of this priority (`high`, `normal`, `low`)."""
        with self._there:
            if not self._is_closed:
                self._lanes[priority].append(job)
                self._there.notify()

    def get(self) -> Job | None:
        """Wait for a turn; None once `close` was called and what was there before it is done."""
        with self._there:
            self._there.wait_for(lambda: self._is_closed or any(self._lanes.values()))
            lane = self._lanes[next(self._round)] or self._highest()
            return lane.popleft() if lane else None

    def close(self) -> None:
        """Take nothing more."""
        with self._there:
            self._is_closed = True
            self._there.notify_all()

    def _highest(self) -> deque[Job] | None:
        return next((lane for lane in self._lanes.values() if lane), None)
