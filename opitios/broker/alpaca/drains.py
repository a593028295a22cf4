"""Bounded queues between the socket loop and the threads that do the work.

One account always meets the same worker, so its messages stay in order.
"""

import queue
import threading
import zlib
from collections import Counter
from collections.abc import Callable

import structlog

log = structlog.get_logger(__name__)

Handler = Callable[[str, bytes, float], None]
_Item = tuple[str, bytes, float]

# A burst of a whole fleet's fills; about 2 MiB a worker.
CAPACITY = 1024


class Overflow(Exception):
    """The account's worker is too far behind; the message was not taken."""


class Drains:
    """Worker threads that call `handle(account_id, raw, received_at)` for each message.

    A handler that raises costs its one message: it is logged and counted, and the reconciliation
    finds what is missing.
    """

    def __init__(self, *, workers: int, handle: Handler, capacity: int = CAPACITY) -> None:
        self.counts: Counter[str] = Counter(handled=0, failed=0, overflows=0)
        self._handle = handle
        self._queues: list[queue.Queue[_Item | None]] = [
            queue.Queue(capacity) for _ in range(workers)
        ]
        self._threads = [
            threading.Thread(target=self._work, args=(own,), name=f"drain-{number}", daemon=True)
            for number, own in enumerate(self._queues)
        ]

    def start(self) -> None:
        """Start the workers, once."""
        for thread in self._threads:
            thread.start()

    def deliver(self, account_id: str, raw: bytes, received_at: float) -> None:
        """Queue one message; never blocks. Raises Overflow if the account's worker is behind."""
        number = zlib.crc32(account_id.encode()) % len(self._queues)
        try:
            self._queues[number].put_nowait((account_id, raw, received_at))
        except queue.Full:
            self.counts["overflows"] += 1
            raise Overflow(account_id) from None

    def stop(self, timeout_seconds: float = 10.0) -> None:
        """Let the workers finish what is queued, each within the time given."""
        for thread, own in zip(self._threads, self._queues, strict=True):
            own.put(None, timeout=timeout_seconds)
            thread.join(timeout_seconds)

    def _work(self, own: queue.Queue[_Item | None]) -> None:
        while (item := own.get()) is not None:
            self._handle_one(item)

    def _handle_one(self, item: _Item) -> None:
        account_id, raw, received_at = item
        try:
            self._handle(account_id, raw, received_at)
            self.counts["handled"] += 1
        except Exception:  # a process loop: one bad message must not stop an account's stream
            self.counts["failed"] += 1
            log.exception("stream message not handled", account=account_id)
