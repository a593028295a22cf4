"""The clock, read at the edge and passed inwards."""

import time
from datetime import UTC, datetime
from typing import NamedTuple

monotonic = time.monotonic

# G23 (FINRA 4590): an alarm from here on, and beyond the second nothing is served. Milliseconds.
ALARM_MS = 50.0
LIMIT_MS = 1000.0


class Drift(NamedTuple):
    """How far another clock is ahead of ours, and how far that may be wrong. Milliseconds."""

    ms: float
    doubt_ms: float

    def is_more_than(self, limit_ms: float) -> bool:
        """Whether the clocks certainly differ by more."""
        return abs(self.ms) - self.doubt_ms > limit_ms


def now() -> datetime:
    """Read the wall clock: an aware instant in UTC, microseconds."""
    return datetime.fromtimestamp(time.time(), tz=UTC)


def rfc3339(instant: datetime) -> str:
    """Write an aware instant as RFC 3339 UTC with microseconds and `Z`."""
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def milliseconds(start: datetime, end: datetime) -> float:
    """Milliseconds from start to end, to a microsecond."""
    return round((end - start).total_seconds() * 1000, 3)


def drift(before: datetime, theirs: datetime, after: datetime) -> Drift:
    """Compare a clock that was read over a network, between two readings of ours."""
    half = (after - before) / 2
    return Drift(milliseconds(before + half, theirs), abs(milliseconds(before, after)) / 2)
