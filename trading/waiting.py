"""`Prefer: wait=N`: hold a request until its order has a verdict, without holding a connection.

Pushed by the bus, checked by a poll: a lost hint costs a tenth of a second, not the verdict.
"""

import threading
from collections import defaultdict
from functools import lru_cache
from typing import Any
from uuid import UUID

from opitios.core import clock, database
from opitios.core.bus import Bus, Topic, get_bus
from opitios.core.config import get_config
from trading import lifecycle, queries

# api.md §1: the longest wait a caller may ask for, in seconds.
LONGEST = 10


class Waits:
    """The requests of this process that wait. At most a quarter of its threads do."""

    def __init__(self, bus: Bus, *, slots: int, poll_seconds: float) -> None:
        self._slots = threading.BoundedSemaphore(slots)
        self._poll_seconds = poll_seconds
        self._events: dict[str, set[threading.Event]] = defaultdict(set)
        self._lock = threading.Lock()
        self.listener = bus.listen(Topic.ORDERS, self._on_message)

    def verdict(self, order_id: UUID, seconds: float) -> dict[str, Any] | None:
        """Wait for an order's verdict; its row, or None when time or slots ran out."""
        if not self._slots.acquire(blocking=False):
            return None
        event = threading.Event()
        with self._lock:
            self._events[str(order_id)].add(event)
        try:
            return self._wait(order_id, event, clock.monotonic() + seconds)
        finally:
            self._slots.release()
            with self._lock:
                self._events[str(order_id)].discard(event)
                if not self._events[str(order_id)]:
                    del self._events[str(order_id)]

    def _wait(self, order_id: UUID, event: threading.Event, until: float) -> dict[str, Any] | None:
        while True:
            row = queries.verdict_of(order_id)
            left = until - clock.monotonic()
            if row is not None or left <= 0:
                return row
            database.release()
            event.wait(min(left, self._poll_seconds))
            event.clear()

    def _on_message(self, message: dict[str, Any]) -> None:
        order = message["order"]
        if order["id"] not in self._events or not lifecycle.is_verdict(order["status"]):
            return
        with self._lock:
            for event in self._events.get(order["id"], ()):
                event.set()


@lru_cache(maxsize=1)
def get_waits() -> Waits:
    """The waits of this process."""
    config = get_config()
    return Waits(
        get_bus(), slots=max(1, config.web_threads // 4), poll_seconds=config.timers.queue_poll
    )
