"""Which spans of time have a bar: Alpaca's timeframes on New York's wall clock."""

import re
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple

from sandbox.instants import from_datetime
from sandbox.sessions import NEW_YORK, Session, session_on

# Units as Alpaca writes them, short or long, and how many of each one bar may span.
UNITS = {
    "Min": range(1, 60),
    "Hour": range(1, 24),
    "Day": range(1, 2),
    "Week": range(1, 2),
    "Month": (1, 2, 3, 4, 6, 12),
}
_SHORT = {"T": "Min", "H": "Hour", "D": "Day", "W": "Week", "M": "Month"}
_WRITTEN = re.compile(r"(\d{1,2})(Min|Hour|Day|Week|Month|T|H|D|W|M)", re.ASCII)
_MINUTES = {"Min": 1, "Hour": 60}
DAY = timedelta(days=1)
WHOLE_DAY = (time(0, 0), time(23, 59, 59, 999_999))


class Timeframe(NamedTuple):
    """How long one bar is, e.g. five of Min."""

    amount: int
    unit: str


MINUTELY, DAILY = Timeframe(1, "Min"), Timeframe(1, "Day")


class Span(NamedTuple):
    """One bar's time in nanoseconds: its stamp, and the trading it covers (end excluded)."""

    stamp: int
    start: int
    end: int


def read_timeframe(text: str) -> Timeframe:
    """Read `1Min`, `15T`, `1Day` … Raises ValueError where Alpaca has no such bars."""
    match = _WRITTEN.fullmatch(text)
    if match is None:
        raise ValueError(text)
    amount, unit = int(match[1]), _SHORT.get(match[2], match[2])
    if amount not in UNITS[unit]:
        raise ValueError(text)
    return Timeframe(amount, unit)


class Days:
    """The days that have bars: sessions, and today as a whole where the market never closes."""

    def __init__(self, always_open_on: date | None = None) -> None:
        self._always_open_on = always_open_on

    def between(self, first: date, last: date, *, newest_first: bool = False) -> Iterator[Session]:
        """The days with trading from `first` to `last`, both included."""
        step = -DAY if newest_first else DAY
        day, end = (last, first) if newest_first else (first, last)
        while (day >= end) if newest_first else (day <= end):
            session = self.on(day)
            if session is not None:
                yield session
            day += step

    def on(self, day: date) -> Session | None:
        """The trading of a day, or None."""
        return Session(day, *WHOLE_DAY) if day == self._always_open_on else session_on(day)


def spans(
    frame: Timeframe, days: Days, first: date, last: date, *, newest_first: bool
) -> Iterator[Span]:
    """The spans of the bars that begin on the days `first` to `last`, in order of time."""
    if frame.unit in _MINUTES:
        minutes = frame.amount * _MINUTES[frame.unit]
        for session in days.between(first, last, newest_first=newest_first):
            within = _within(session, minutes)
            yield from reversed(within) if newest_first else within
    elif frame.unit == "Day":
        for session in days.between(first, last, newest_first=newest_first):
            yield _span(session.day, session, session)
    else:
        yield from _long(frame, days, first, last, newest_first=newest_first)


@lru_cache(maxsize=64)
def _within(session: Session, minutes: int) -> tuple[Span, ...]:
    """The spans of a day, aligned to midnight; the first and last may be cut by the bells."""
    length = timedelta(minutes=minutes)
    opens, closes = (datetime.combine(session.day, at) for at in (session.opens, session.closes))
    midnight = datetime.combine(session.day, time(0))
    stamp = midnight + (opens - midnight) // length * length
    found = []
    while stamp < closes:
        times = (stamp, max(stamp, opens), min(stamp + length, closes))
        found.append(Span(*(_instant(each) for each in times)))
        stamp += length
    return tuple(found)


def _instant(wall: datetime) -> int:
    return from_datetime(wall.replace(tzinfo=NEW_YORK))


def _span(stamp: date, first: Session, last: Session) -> Span:
    midnight = datetime.combine(stamp, time(0), NEW_YORK)
    return Span(
        from_datetime(midnight), from_datetime(first.opens_at), from_datetime(last.closes_at)
    )


def _long(
    frame: Timeframe, days: Days, first: date, last: date, *, newest_first: bool
) -> Iterator[Span]:
    """Weeks (from Monday) or months; a bar begins where its week or month does."""
    begins = list(_begins(frame, first, last))
    for begin in reversed(begins) if newest_first else begins:
        held = list(days.between(begin, _next(frame, begin) - DAY))
        if held:
            yield _span(begin, held[0], held[-1])


def _begins(frame: Timeframe, first: date, last: date) -> Iterator[date]:
    if frame.unit == "Week":
        begin = first + timedelta(days=-first.weekday() % 7)
    else:
        months = first.year * 12 + first.month - 1 + (first.day > 1)
        months += -months % frame.amount
        begin = date(months // 12, months % 12 + 1, 1)
    while begin <= last:
        yield begin
        begin = _next(frame, begin)


def _next(frame: Timeframe, begin: date) -> date:
    if frame.unit == "Week":
        return begin + timedelta(days=7)
    months = begin.year * 12 + begin.month - 1 + frame.amount
    return date(months // 12, months % 12 + 1, 1)
