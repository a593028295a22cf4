"""Whether the market is open, as the broker last said: it decides how long an answer is fresh.

Nobody waits for it: while it is not known, the market counts as open, and answers live shorter.
"""

import threading
from collections.abc import Callable
from datetime import datetime

import structlog

from opitios.core import clock
from opitios.core.errors import Problem

logger = structlog.get_logger("app")

# Seconds after which the broker's word is asked for anew: its clock may be moved, in a sandbox.
BELIEVED_SECONDS = 60.0

# The broker's clock: is_open, and when that changes.
ReadClock = Callable[[], tuple[bool, datetime]]


class Hours:
    """The market's hours for one process."""

    def __init__(self, read: ReadClock) -> None:
        self._read = read
        self._is_open = True
        self._asked_at = float("-inf")
        self._changes_at: datetime | None = None
        self._lock = threading.Lock()

    def keep(self, opened: float, closed: float) -> float:
        """Choose between the seconds an answer is fresh while the market is open, or closed."""
        return opened if self.is_open() else closed

    def is_open(self) -> bool:
        """Whether the market is open now, as far as is known."""
        now = clock.monotonic()
        if now - self._asked_at > BELIEVED_SECONDS and self._lock.acquire(blocking=False):
            self._asked_at = now
            threading.Thread(target=self._ask, name="market-hours", daemon=True).start()
        if self._changes_at is not None and clock.now() >= self._changes_at:
            return True
        return self._is_open

    def know(self, *, is_open: bool, until: datetime | None = None) -> None:
        """Believe it for a minute, and at most until then."""
        self._asked_at = clock.monotonic()
        self._is_open, self._changes_at = is_open, until

    def _ask(self) -> None:
        try:
            is_open, until = self._read()
            self.know(is_open=is_open, until=until)
        except Problem as problem:
            logger.info("the market's hours are not known", reason=problem.reason.slug)
        finally:
            self._lock.release()
