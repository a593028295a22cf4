"""What a query asks of accounts and of the broker's reads, judged before the broker is asked.

Names, words and limits are Alpaca's (alpaca-wire.md §1); values travel as the caller wrote them.
All that is wrong is told at once.
"""

import re
from collections.abc import Mapping
from uuid import UUID

from accounts.models import Account, AccountState
from opitios.core.errors import FieldError
from opitios.core.parameters import (
    Check,
    Query,
    count_to,
    day_or_time,
    instant_of,
    judge,
    like,
    one_of,
    point,
    unspoiled,
)

ACTIVITY_TYPES = (
    *("FILL", "TRANS", "MISC", "ACATC", "ACATS", "CFEE", "CGD", "CIL", "CSD", "CSW", "DIV"),
    *("DIVCGL", "DIVCGS", "DIVFEE", "DIVFT", "DIVNRA", "DIVROC", "DIVTW", "DIVTXEX", "DIVWH"),
    *("EXTRD", "FEE", "FOPT", "FXTRD", "INT", "INTNRA", "INTPNL", "INTTW", "JNL", "JNLC", "JNLS"),
    *("MA", "MEM", "NC", "OCT", "OPASN", "OPCA", "OPCSH", "OPEXC", "OPEXP", "OPTRD", "PTC", "PTR"),
    *("REO", "REORG", "SPIN", "SPLIT", "SWP", "VOF", "WH"),
)
CATEGORIES = ("trade_activity", "non_trade_activity")
DIRECTIONS = ("desc", "asc")
MAX_ACTIVITIES = 100
DEFAULT_ACTIVITIES = 50

DAILY = "1D"
TIMEFRAMES = ("1Min", "5Min", "15Min", "1H", DAILY)
REPORTINGS = ("market_hours", "extended_hours", "continuous")
PNL_RESETS = ("per_day", "no_reset")
# The most of each unit that surely is no longer than 30 days; beyond, Alpaca has days only.
_FINE_UNTIL = {"D": 30, "W": 4, "M": 1, "A": 0}

# The symbol of a stock, a pair or an option (OCC): nothing in it that means something in a path.
SYMBOL = re.compile(r"[A-Z0-9]{1,22}([./][A-Z0-9]{1,6})?")
_PERIOD = re.compile(r"([1-9][0-9]{0,3})([DWMA])")
# An activity's id: a time, two colons, a UUID.
_ACTIVITY_ID = re.compile(r"[0-9A-Za-z:_-]{1,100}")


def _types(*also: str) -> Check:
    def check(name: str, value: str) -> FieldError | None:
        if value in also or all(each in ACTIVITY_TYPES for each in value.split(",")):
            return None
        message = f"{name} is a list of activity types such as FILL,DIV."
        return FieldError(name, "not-allowed", message, (*also, *ACTIVITY_TYPES))

    return check


def _uuid(name: str, value: str) -> FieldError | None:
    try:
        UUID(value)
    except ValueError:
        return FieldError(name, "not-an-id", f"{name} is the broker's id of an order, a UUID.")
    return None


LISTING: Mapping[str, Check] = {
    "state": one_of(*AccountState.State.values),
    "environment": one_of(*Account.Environment.values),
}
HISTORY: Mapping[str, Check] = {
    "period": like(
        _PERIOD, "not-a-period", "period is a number and D, W, M or A, such as 7D or 1M."
    ),
    "timeframe": one_of(*TIMEFRAMES),
    "intraday_reporting": one_of(*REPORTINGS),
    "start": point,
    "end": point,
    "pnl_reset": one_of(*PNL_RESETS),
    "extended_hours": one_of("true", "false"),
    "cashflow_types": _types("ALL", "NONE"),
}
ACTIVITIES: Mapping[str, Check] = {
    "activity_types": _types(),
    "category": one_of(*CATEGORIES),
    "order_id": _uuid,
    "date": day_or_time,
    "after": day_or_time,
    "until": day_or_time,
    "direction": one_of(*DIRECTIONS),
    "page_size": count_to(MAX_ACTIVITIES),
    "limit": count_to(MAX_ACTIVITIES),
    "page_token": like(
        _ACTIVITY_ID, "unknown-token", "page_token is the id of the last activity read."
    ),
}


def read_listing(query: Query) -> dict[str, str]:
    """Judge the filters of `GET accounts`. Raises Problem 422."""
    given = {name: value for name, value in query.items() if name in LISTING}
    judge(given, LISTING)
    return given


def read_history(query: Query) -> dict[str, str]:
    """Judge what is asked of the portfolio's history. Raises Problem 422."""
    given = unspoiled(query)
    judge(given, HISTORY, (_at_most_two, _in_order, _not_too_fine))
    return given


def read_activities(query: Query) -> dict[str, str]:
    """Judge what is asked of the activities: `page_size` is always there. Raises Problem 422."""
    given = unspoiled(query)
    judge(given, ACTIVITIES, (_one_filter, _one_size))
    size = given.pop("limit", str(DEFAULT_ACTIVITIES))
    return {"page_size": size} | given


def _at_most_two(given: Query) -> FieldError | None:
    if {"period", "start", "end"} <= given.keys():
        message = "Give at most two of period, start and end."
        return FieldError("period", "not-together", message)
    return None


def _in_order(given: Query) -> FieldError | None:
    start, end = (instant_of(given.get(name, "")) for name in ("start", "end"))
    if start is not None and end is not None and start >= end:
        return FieldError("end", "before-start", "end is after start.")
    return None


def _not_too_fine(given: Query) -> FieldError | None:
    found = _PERIOD.fullmatch(given.get("period", ""))
    fine = given.get("timeframe", DAILY) != DAILY
    if found is None or not fine or int(found[1]) <= _FINE_UNTIL[found[2]]:
        return None
    message = "A period of more than 30 days has the timeframe 1D only."
    return FieldError("timeframe", "too-fine", message, (DAILY,))


def _one_filter(given: Query) -> FieldError | None:
    if {"activity_types", "category"} <= given.keys():
        message = "Give activity_types or category, not both."
        return FieldError("category", "not-together", message)
    return None


def _one_size(given: Query) -> FieldError | None:
    if {"limit", "page_size"} <= given.keys():
        return FieldError("limit", "not-together", "Give limit or page_size: they are the same.")
    return None
