"""Instants as whole nanoseconds since 1970 (UTC) and their RFC 3339 text.

Alpaca's timestamps have nanoseconds, which `datetime` cannot hold.
"""

import re
import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache

SECOND = 1_000_000_000
MILLISECOND = 1_000_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Far future and far past would overflow datetime; no caller means them.
_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d:\d\d(?::\d\d)?)(?:\.(\d{1,9})\d*)?(Z|z|[+-]\d\d:?\d\d)?)?",
    re.ASCII,
)


class RisingClock:
    """The wall clock, never giving the same instant twice, so that instants can order events."""

    def __init__(self) -> None:
        self._last = 0

    def now(self) -> int:
        """Nanoseconds since 1970, above every earlier answer and every instant heard of."""
        self._last = max(time.time_ns(), self._last + 1)
        return self._last

    def hear_of(self, at: int) -> None:
        """Never answer `at` or earlier: a recovered ledger may come from a clock ahead of ours."""
        self._last = max(self._last, at)


@lru_cache(maxsize=1024)
def _second_text(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def rfc3339(at: int) -> str:
    """The instant as `2023-12-12T22:31:24.668464435Z`."""
    seconds, fraction = divmod(at, SECOND)
    return f"{_second_text(seconds)}.{fraction:09d}Z"


def rfc3339_or_none(at: int | None) -> str | None:
    """The instant's text, or None where the instant is unset."""
    return None if at is None else rfc3339(at)


def as_datetime(at: int) -> datetime:
    """The instant as an aware UTC datetime, its nanoseconds cut to microseconds."""
    return _EPOCH + timedelta(microseconds=at // 1000)


def from_datetime(moment: datetime) -> int:
    """An aware datetime as nanoseconds since 1970."""
    elapsed = moment - _EPOCH
    return (elapsed.days * 86_400 + elapsed.seconds) * SECOND + elapsed.microseconds * 1000


def parse_instant(text: str) -> int:
    """Read a date or an RFC 3339 instant (a missing offset means UTC).

    A `+` that arrived in a query as a blank is read as the sign it was.

    Raises:
        ValueError: the text is neither.
    """
    match = _RFC3339.fullmatch(re.sub(r" (\d\d:?\d\d)$", r"+\1", text.strip()))
    if match is None:
        raise ValueError(f"not a date or an instant: {text!r}")
    day, clock, fraction, offset = match.groups()
    zone = "+00:00" if offset in (None, "Z", "z") else offset
    whole = from_datetime(datetime.fromisoformat(f"{day}T{clock or '00:00:00'}{zone}"))
    return whole + int((fraction or "").ljust(9, "0"))
