"""The clock, read at the edge and passed inwards."""

import time
from datetime import UTC, datetime

monotonic = time.monotonic


def now() -> datetime:
    """Read the wall clock: an aware instant in UTC, microseconds."""
    return datetime.fromtimestamp(time.time(), tz=UTC)


def rfc3339(instant: datetime) -> str:
    """Write an aware instant as RFC 3339 UTC with microseconds and `Z`."""
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def milliseconds(start: datetime, end: datetime) -> float:
    """Milliseconds from start to end, to a microsecond."""
    return round((end - start).total_seconds() * 1000, 3)
