"""How far the database's clock is from this process's (G23): told, alarmed, and judged."""

from functools import lru_cache

import structlog

from accounts import journal
from opitios.core import clock
from opitios.core.clock import Drift

logger = structlog.get_logger("app")

# An alarm that lasts is told again after so long.
REPEAT_SECONDS = 60.0


class Timekeeping:
    """The last comparison of the two clocks."""

    def __init__(self) -> None:
        self._last = Drift(0.0, 0.0)
        self._tell_at: float | None = None

    @property
    def agrees(self) -> bool:
        """Whether this process may serve: its clock is less than a second off."""
        return not self._last.is_more_than(clock.LIMIT_MS)

    def note(self, drift: Drift) -> None:
        """Keep a comparison for the entries to come, and tell of one that is an alarm."""
        self._last = drift
        journal.note_clock_offset(drift.ms)
        if not drift.is_more_than(clock.ALARM_MS):
            if self._tell_at is not None:
                logger.info("the clock agrees again", offset_ms=drift.ms)
            self._tell_at = None
        elif self._tell_at is None or clock.monotonic() >= self._tell_at:
            self._tell_at = clock.monotonic() + REPEAT_SECONDS
            logger.warning("the clock is off", offset_ms=drift.ms, allowed_ms=clock.ALARM_MS)


@lru_cache(maxsize=1)
def get_timekeeping() -> Timekeeping:
    """The comparison of this process."""
    return Timekeeping()
