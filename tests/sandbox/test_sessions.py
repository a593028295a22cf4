"""New York's trading days."""

from datetime import UTC, date, datetime

import pytest

from sandbox.instants import from_datetime
from sandbox.sessions import (
    holidays,
    is_session_open,
    next_closing,
    next_opening,
    previous_closing,
    session_on,
    sessions_between,
)

# The exchange's published holidays.
PUBLISHED = {
    2022: "01-17 02-21 04-15 05-30 06-20 07-04 09-05 11-24 12-26",
    2025: "01-01 01-20 02-17 04-18 05-26 06-19 07-04 09-01 11-27 12-25",
    2026: "01-01 01-19 02-16 04-03 05-25 06-19 07-03 09-07 11-26 12-25",
    2027: "01-01 01-18 02-15 03-26 05-31 06-18 07-05 09-06 11-25 12-24",
}
EARLY = {
    2025: {"07-03", "11-28", "12-24"},
    2026: {"11-27", "12-24"},
    2027: {"11-26"},
}


def utc(text: str) -> int:
    return from_datetime(datetime.fromisoformat(text).replace(tzinfo=UTC))


@pytest.mark.parametrize("year", PUBLISHED)
def test_holidays_are_the_published_ones(year: int) -> None:
    found = {f"{day:%m-%d}" for day in holidays(year) if day.year == year and day.weekday() < 5}

    assert found == set(PUBLISHED[year].split())


@pytest.mark.parametrize("year", EARLY)
def test_early_closings_are_the_published_ones(year: int) -> None:
    sessions = sessions_between(date(year, 1, 1), date(year, 12, 31))

    assert {f"{each.day:%m-%d}" for each in sessions if each.closes.hour == 13} == EARLY[year]


@pytest.mark.parametrize(
    ("at", "is_open"),
    [
        ("2026-11-20T14:29:59", False),
        ("2026-11-20T14:30:00", True),
        ("2026-11-20T20:59:59", True),
        ("2026-11-20T21:00:00", False),
        ("2026-07-01T13:30:00", True),  # daylight saving: an hour earlier in UTC
        ("2026-11-27T18:00:00", False),  # early closing
        ("2026-11-26T16:00:00", False),  # Thanksgiving
        ("2026-11-21T16:00:00", False),  # Saturday
    ],
)
def test_when_the_session_runs(at: str, is_open: bool) -> None:
    assert is_session_open(utc(at)) is is_open


def test_the_next_bells_skip_the_weekend_and_carry_new_yorks_offset() -> None:
    friday_evening = utc("2026-11-20T22:00:00")

    assert next_opening(friday_evening).isoformat() == "2026-11-23T09:30:00-05:00"
    assert next_closing(friday_evening).isoformat() == "2026-11-23T16:00:00-05:00"
    assert previous_closing(friday_evening) == utc("2026-11-19T21:00:00")


def test_the_next_bells_of_a_running_session() -> None:
    friday_noon = utc("2026-11-20T17:00:00")

    assert next_opening(friday_noon).isoformat() == "2026-11-23T09:30:00-05:00"
    assert next_closing(friday_noon).isoformat() == "2026-11-20T16:00:00-05:00"


def test_a_weekend_has_no_session() -> None:
    assert session_on(date(2026, 11, 21)) is None
