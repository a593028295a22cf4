"""What GET /v2/account/portfolio/history is asked for: its span, its step, its hours."""

import re
from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

from sandbox.hours import DAY, Mode
from sandbox.instants import SECOND, from_datetime, parse_instant
from sandbox.query import choice, read, words
from sandbox.refusals import RefusedError, invalid
from sandbox.sessions import is_session_open, new_york, session_on, sessions_between

Reporting = Literal["market_hours", "extended_hours", "continuous"]

MINUTE = 60 * SECOND
STEPS = {
    "1Min": MINUTE,
    "5Min": 5 * MINUTE,
    "15Min": 15 * MINUTE,
    "1H": 60 * MINUTE,
    "1D": DAY,
}
# Days of each unit: a month and a year are reckoned as 30 and 365.
UNITS = {"D": 1, "W": 7, "M": 30, "A": 365}
DEFAULT_PERIOD = 30 * DAY
# Up to these spans the steps are finer unless one is named; beyond the second they must be days.
BY_THE_MINUTE, BY_THE_QUARTER = 7 * DAY, 30 * DAY
# The extended session in New York; a day is told as of its end ([SPEC] examples).
SESSION_STARTS, SESSION_ENDS = 4, 20


class Span(NamedTuple):
    """Instants in nanoseconds; `now` may lie after the end. `cashflows`: types, or ALL."""

    start: int
    end: int
    now: int
    timeframe: str
    reporting: Reporting
    resets_daily: bool
    cashflows: frozenset[str]

    @property
    def is_daily(self) -> bool:
        """Whether a point is a day."""
        return self.timeframe == "1D"


def read_span(query: Mapping[str, str], now: int) -> Span:
    """Read the query.

    Raises:
        RefusedError: 422, a value is not one Alpaca knows, or they contradict each other.
    """
    start, end = _ends(query, now)
    timeframe = _timeframe(query.get("timeframe"), end - start)
    longer = query.get("extended_hours", "").lower() == "true"
    hours: tuple[Reporting, ...] = ("market_hours", "extended_hours", "continuous")
    return Span(
        start=start,
        end=end,
        now=now,
        timeframe=timeframe,
        reporting=choice(query, "intraday_reporting", (hours[longer], *hours)),
        resets_daily=choice(query, "pnl_reset", ("per_day", "no_reset")) == "per_day",
        cashflows=words(query.get("cashflow_types")) - {"NONE"},
    )


def _ends(query: Mapping[str, str], now: int) -> tuple[int, int]:
    start, end = (read(query, name, _point) for name in ("start", "end"))
    if query.get("period") and start is not None and end is not None:
        raise invalid("only two of start, end and period can be specified at the same time")
    period = read(query, "period", _period) or DEFAULT_PERIOD
    if end is None:
        end = now if start is None else start + period
    end = min(end, now)
    start = end - period if start is None else start
    if start > end:
        raise invalid("end must be after start")
    return start, end


def _period(text: str) -> int:
    found = re.fullmatch(r"([1-9][0-9]{0,3})([DWMA])", text, re.ASCII)
    if found is None:
        raise ValueError(text)
    return int(found[1]) * UNITS[found[2]] * DAY


def _point(text: str) -> int:
    if re.fullmatch(r"[0-9]{5,11}", text, re.ASCII):
        return int(text) * SECOND
    return parse_instant(text)


def _timeframe(named: str | None, span: int) -> str:
    if not named:
        return "1Min" if span < BY_THE_MINUTE else "15Min" if span < BY_THE_QUARTER else "1D"
    if named not in STEPS:
        raise invalid("invalid timeframe")
    if named != "1D" and span > BY_THE_QUARTER:
        raise _too_fine()
    return named


def _too_fine() -> RefusedError:
    return invalid("invalid timeframe: only 1D is accepted for periods longer than 30 days")


def windows(span: Span, opened_at: int, mode: Mode) -> list[tuple[int, int]]:
    """Each point's label and the instant it is told as of, from the account's opening on."""
    since = max(span.start, opened_at)
    return list(_days(span, since) if span.is_daily else _steps(span, since, mode))


def _steps(span: Span, since: int, mode: Mode) -> Iterator[tuple[int, int]]:
    """Left-labeled: a window is told as of its end, the last as of the span's."""
    step = STEPS[span.timeframe]
    for label in range(since - since % step, span.end, step):
        if _is_reported(label, span.reporting, mode):
            yield label, min(label + step, span.end)


def _days(span: Span, since: int) -> Iterator[tuple[int, int]]:
    first, last = new_york(since).date(), new_york(span.end).date()
    for session in sessions_between(first, last):
        ends_at = from_datetime(session.opens_at.replace(hour=SESSION_ENDS, minute=0))
        if since < ends_at <= span.end:
            yield ends_at, ends_at
    if span.end == span.now:
        # The running day, as of now.
        yield span.end, span.end


def _is_reported(at: int, reporting: Reporting, mode: Mode) -> bool:
    if reporting == "continuous" or mode == "always-open":
        return True
    if reporting == "market_hours":
        return is_session_open(at)
    moment = new_york(at)
    has_session = session_on(moment.date()) is not None
    return has_session and SESSION_STARTS <= moment.hour < SESSION_ENDS
