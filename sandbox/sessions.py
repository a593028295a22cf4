"""The New York Stock Exchange's trading days by rule (no list of past special closures)."""

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from sandbox.instants import as_datetime, from_datetime

NEW_YORK = ZoneInfo("America/New_York")
OPENING = time(9, 30)
CLOSING = time(16, 0)
EARLY_CLOSING = time(13, 0)
# Alpaca's calendar answers these bounds where the caller names none.
FIRST_DAY = date(1970, 1, 1)
LAST_DAY = date(2029, 12, 31)

# The years in which the exchange first kept these holidays.
FIRST_KING_DAY, FIRST_JUNETEENTH = 1998, 2022

MONDAY, THURSDAY, FRIDAY, SATURDAY, SUNDAY = 0, 3, 4, 5, 6


class Session(NamedTuple):
    """One trading day; `opens` and `closes` are New York wall-clock times."""

    day: date
    opens: time
    closes: time

    @property
    def opens_at(self) -> datetime:
        """The opening bell as an aware New York datetime."""
        return datetime.combine(self.day, self.opens, NEW_YORK)

    @property
    def closes_at(self) -> datetime:
        """The closing bell as an aware New York datetime."""
        return datetime.combine(self.day, self.closes, NEW_YORK)


def _nth_weekday(year: int, month: int, weekday: int, nth: int) -> date:
    first = date(year, month, 1)
    return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (nth - 1))


def _last_monday_of_may(year: int) -> date:
    last = date(year, 5, 31)
    return last - timedelta(days=last.weekday())


def _easter(year: int) -> date:
    """Easter Sunday by the anonymous Gregorian algorithm."""
    a, b, c = year % 19, year // 100, year % 100
    h = (19 * a + b - b // 4 - (b - (b + 8) // 25 + 1) // 3 + 15) % 30
    i = (32 + 2 * (b % 4) + 2 * (c // 4) - h - c % 4) % 7
    m = (a + 11 * h + 22 * i) // 451
    month, day = divmod(h + i - 7 * m + 114, 31)
    return date(year, month, day + 1)


def _observed(day: date) -> date:
    """A holiday on Saturday is kept on Friday, one on Sunday on Monday."""
    shift = {SATURDAY: -1, SUNDAY: 1}.get(day.weekday(), 0)
    return day + timedelta(days=shift)


@lru_cache(maxsize=256)
def holidays(year: int) -> frozenset[date]:
    """The weekdays of a year on which the exchange stays shut (NYSE Rule 7.2)."""
    days = {
        _nth_weekday(year, 2, MONDAY, 3),
        _easter(year) - timedelta(days=2),
        _last_monday_of_may(year),
        _observed(date(year, 7, 4)),
        _nth_weekday(year, 9, MONDAY, 1),
        _nth_weekday(year, 11, THURSDAY, 4),
        _observed(date(year, 12, 25)),
    }
    # The last trading day of the year is kept: a New Year's Day on Saturday is lost.
    if date(year, 1, 1).weekday() != SATURDAY:
        days.add(_observed(date(year, 1, 1)))
    if year >= FIRST_KING_DAY:
        days.add(_nth_weekday(year, 1, MONDAY, 3))
    if year >= FIRST_JUNETEENTH:
        days.add(_observed(date(year, 6, 19)))
    return frozenset(days)


def _closes_early(day: date) -> bool:
    if day == _nth_weekday(day.year, 11, THURSDAY, 4) + timedelta(days=1):
        return True
    return (day.month, day.day) in {(7, 3), (12, 24)} and day.weekday() <= THURSDAY


@lru_cache(maxsize=32_768)
def session_on(day: date) -> Session | None:
    """The session of a day, or None where the exchange is shut."""
    if day.weekday() >= SATURDAY or day in holidays(day.year):
        return None
    return Session(day, OPENING, EARLY_CLOSING if _closes_early(day) else CLOSING)


def sessions_between(first: date, last: date) -> Iterator[Session]:
    """The sessions of the days `first` to `last`, both included."""
    day = first
    while day <= last:
        session = session_on(day)
        if session is not None:
            yield session
        day += timedelta(days=1)


def session_after(day: date) -> Session:
    """The first session on a later day."""
    # No closure of the exchange by rule lasts longer than four days.
    return next(sessions_between(day + timedelta(days=1), day + timedelta(days=10)))


def new_york(at: int) -> datetime:
    """The instant on New York's wall clock."""
    return as_datetime(at).astimezone(NEW_YORK)


def is_session_open(at: int) -> bool:
    """Whether the regular session runs at the instant."""
    moment = new_york(at)
    session = session_on(moment.date())
    return session is not None and session.opens_at <= moment < session.closes_at


def next_opening(at: int) -> datetime:
    """The first opening bell after the instant, in New York time."""
    moment = new_york(at)
    session = session_on(moment.date())
    if session is None or moment >= session.opens_at:
        session = session_after(moment.date())
    return session.opens_at


def next_closing(at: int) -> datetime:
    """The first closing bell after the instant, in New York time."""
    moment = new_york(at)
    session = session_on(moment.date())
    if session is None or moment >= session.closes_at:
        session = session_after(moment.date())
    return session.closes_at


def previous_closing(at: int) -> int:
    """The last closing bell on an earlier New York day than the instant's."""
    return _closing_before(new_york(at).date())


@lru_cache(maxsize=4096)
def _closing_before(day: date) -> int:
    earlier = list(sessions_between(day - timedelta(days=10), day - timedelta(days=1)))
    return from_datetime(earlier[-1].closes_at)
