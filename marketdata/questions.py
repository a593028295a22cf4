"""What may be asked of history, chains, contracts, assets and the calendar, and how it is asked.

Names, words and limits are Alpaca's (alpaca-wire.md §1, §2); all that is wrong is told at once.
"""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any

import msgspec

from accounts.pool import PooledAccount
from marketdata.kinds import DEFAULT_OPTION_FEED, DEFAULT_STOCK_FEED, OPTION_FEEDS, STOCK_FEEDS
from marketdata.reads import Keep, Question
from marketdata.symbols import MOST_SYMBOLS, several, stock_symbol
from opitios.broker.port import Answer
from opitios.core.errors import FieldError
from opitios.core.parameters import (
    Check,
    Query,
    amount,
    count_to,
    day,
    day_or_time,
    instant_of,
    judge,
    like,
    one_of,
    unspoiled,
)

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0

# R19: one query spans a year at the most (and a day of grace: a leap year's).
MOST_DAYS = 366
DEFAULT_BARS, MOST_BARS = 1000, 10_000
DEFAULT_ROWS, MOST_ROWS = 100, 1000
DEFAULT_TIMEFRAME = "1Day"
# Alpaca's units, how many of each a bar may span, and how many days are told where no start is.
_UNITS = {
    "Min": (range(1, 60), 1),
    "Hour": (range(1, 24), 7),
    "Day": (range(1, 2), 365),
    "Week": (range(1, 2), 365),
    "Month": ((1, 2, 3, 4, 6, 12), 365),
}
_SHORT = {"T": "Min", "H": "Hour", "D": "Day", "W": "Week", "M": "Month"}
_TIMEFRAME = re.compile(r"([1-9][0-9]?)(Min|Hour|Day|Week|Month|[THDWM])")
_TIMEFRAMES = "1Min–59Min, 1Hour–23Hour, 1Day, 1Week, and 1, 2, 3, 4, 6 or 12Month"

_TOKEN = like(
    re.compile(r"[A-Za-z0-9+/=_:.|-]{1,200}"),
    "unknown-token",
    "page_token is the next_page_token of the page before.",
)
_ROOT = like(re.compile(r"[A-Z]{1,6}[0-9]?"), "not-a-symbol", "root_symbol is such as AAPL.")
_FLAG = one_of("true", "false")


def _timeframe(name: str, value: str) -> FieldError | None:
    if split_timeframe(value) is not None:
        return None
    return FieldError(name, "not-a-timeframe", f"{name} is one of {_TIMEFRAMES}.")


def _underlyings(name: str, value: str) -> FieldError | None:
    if value and len(value) <= MOST_SYMBOLS * 11:
        return None
    return FieldError(name, "too-many", f"{name} names 1 to {MOST_SYMBOLS} stocks.")


_CONTRACT: Mapping[str, Check] = {
    "type": one_of("call", "put"),
    "strike_price_gte": amount,
    "strike_price_lte": amount,
    "expiration_date": day,
    "expiration_date_gte": day,
    "expiration_date_lte": day,
    "root_symbol": _ROOT,
    "limit": count_to(MOST_ROWS),
    "page_token": _TOKEN,
}
BARS: Mapping[str, Check] = {
    "timeframe": _timeframe,
    "start": day_or_time,
    "end": day_or_time,
    "limit": count_to(MOST_BARS),
    "adjustment": one_of("raw", "split", "dividend", "spin-off", "all"),
    "feed": one_of(*STOCK_FEEDS),
    "sort": one_of("asc", "desc"),
    "page_token": _TOKEN,
}
CHAIN: Mapping[str, Check] = {
    **_CONTRACT,
    "feed": one_of(*OPTION_FEEDS),
    "updated_since": day_or_time,
}
CONTRACTS: Mapping[str, Check] = {
    **_CONTRACT,
    "underlying_symbols": _underlyings,
    "status": one_of("active", "inactive"),
    "style": one_of("american", "european"),
    "show_deliverables": _FLAG,
    "ppind": _FLAG,
}
ASSETS: Mapping[str, Check] = {
    "status": one_of("active", "inactive"),
    "asset_class": one_of("us_equity", "us_option", "crypto"),
    "exchange": one_of("AMEX", "ARCA", "BATS", "NYSE", "NASDAQ", "NYSEARCA", "OTC", "CRYPTO"),
    "attributes": like(
        re.compile(r"[a-z_]{1,40}(,[a-z_]{1,40}){0,9}"),
        "not-allowed",
        "attributes is a list of Alpaca's words, such as fractional_eh_enabled,has_options.",
    ),
}
CALENDAR: Mapping[str, Check] = {
    "start": day,
    "end": day,
    "date_type": one_of("TRADING", "SETTLEMENT"),
}


Instant = Annotated[datetime, msgspec.Meta(tz=True)]


class Clock(msgspec.Struct):
    """What every process counts on in the broker's clock; there may be more."""

    is_open: bool
    next_open: Instant
    next_close: Instant


def bars(symbol: str, query: Query, now: datetime) -> Question:
    """Ask for one page of a stock's bars. Raises Problem 422."""
    given = unspoiled(query)
    asked = {"timeframe": DEFAULT_TIMEFRAME, "feed": DEFAULT_STOCK_FEED} | given
    judge(asked, BARS, [lambda _: _span_fault(asked, now)])
    amount_, unit = split_timeframe(asked["timeframe"]) or ("1", "Day")
    asked |= {"timeframe": f"{amount_}{unit}", "limit": asked.get("limit", str(DEFAULT_BARS))}
    asked.setdefault("start", _default_start(asked, unit, now))
    fine = unit in {"Min", "Hour"}

    def ask(account: PooledAccount) -> Answer:
        return account.data.bars([symbol], **asked)

    def shown(body: Any) -> Mapping[str, Any]:
        page = msgspec.convert(body, _BarsPage)
        rows = (page.bars or {}).get(symbol, [])
        about = {"symbol": symbol, "timeframe": asked["timeframe"], "feed": asked["feed"]}
        return {**about, "bars": rows, "next_page_token": page.next_page_token}

    keep = Keep(5.0 if fine else MINUTE, 5 * MINUTE, HOUR)
    about = {"symbol": symbol, **asked}
    return Question("bars", about, keep, ask, shown, symbol, _subject(symbol, asked))


def chain(underlying: str, query: Query) -> Question:
    """Ask for one page of a stock's option chain. Raises Problem 422."""
    asked = {"feed": DEFAULT_OPTION_FEED, "limit": str(DEFAULT_ROWS)} | unspoiled(query)
    judge(asked, CHAIN, _CONTRACT_RULES)

    def ask(account: PooledAccount) -> Answer:
        return account.data.option_chain(underlying, **asked)

    def shown(body: Any) -> Mapping[str, Any]:
        page = msgspec.convert(body, _SnapshotsPage)
        about = {"symbol": underlying, "feed": asked["feed"]}
        rows = page.snapshots or {}
        return {**about, "snapshots": rows, "next_page_token": page.next_page_token}

    keep = Keep(2.0, MINUTE, 10 * MINUTE)
    about = {"symbol": underlying, **asked}
    return Question("chain", about, keep, ask, shown, underlying, _subject(underlying, asked))


def contracts(query: Query) -> Question:
    """Ask for one page of option contracts. Raises Problem 400 or 422."""
    asked = {"limit": str(DEFAULT_ROWS)} | unspoiled(query)
    judge(asked, CONTRACTS, _CONTRACT_RULES)
    if "underlying_symbols" in asked:
        asked["underlying_symbols"] = ",".join(several(asked["underlying_symbols"], stock_symbol))

    def ask(account: PooledAccount) -> Answer:
        return account.trading.option_contracts(**asked)

    def shown(body: Any) -> Mapping[str, Any]:
        page = msgspec.convert(body, _ContractsPage)
        rows = page.option_contracts or []
        return {"option_contracts": rows, "next_page_token": page.next_page_token}

    return Question("option contracts", asked, Keep(5 * MINUTE, 5 * MINUTE, DAY), ask, shown)


def assets(query: Query) -> Question:
    """Ask for the list of assets. Raises Problem 422."""
    asked = unspoiled(query)
    judge(asked, ASSETS)

    def ask(account: PooledAccount) -> Answer:
        return account.trading.assets(**asked)

    def shown(body: Any) -> Mapping[str, Any]:
        return {"assets": msgspec.convert(body, list[dict[str, Any]])}

    return Question("assets", asked, Keep(HOUR, HOUR, 7 * DAY), ask, shown)


def asset(name: str) -> Question:
    """Ask for one asset by symbol, id or CUSIP."""
    return Question(
        "asset",
        {"symbol": name},
        # What it may be used for changes within a day, and what is new today is found soon.
        Keep(5 * MINUTE, 5 * MINUTE, 7 * DAY),
        lambda account: account.trading.asset(name),
        _object,
        name,
    )


def clock() -> Question:
    """Ask for the market's clock."""

    def shown(body: Any) -> Mapping[str, Any]:
        msgspec.convert(body, Clock)
        return _object(body)

    keep = Keep(1.0, 1.0, 10.0)
    return Question("clock", {}, keep, lambda account: account.trading.clock(), shown)


def calendar(query: Query) -> Question:
    """Ask for the trading days. Raises Problem 422."""
    asked = unspoiled(query)
    judge(asked, CALENDAR, [_in_order])

    def ask(account: PooledAccount) -> Answer:
        return account.trading.calendar(**asked)

    def shown(body: Any) -> Mapping[str, Any]:
        return {"calendar": msgspec.convert(body, list[dict[str, Any]])}

    return Question("calendar", asked, Keep(6 * HOUR, 6 * HOUR, 30 * DAY), ask, shown)


def split_timeframe(text: str) -> tuple[str, str] | None:
    """Split `5Min`, `1D` … into amount and unit; None where Alpaca has no such bars."""
    match = _TIMEFRAME.fullmatch(text)
    if match is None:
        return None
    unit = _SHORT.get(match[2], match[2])
    return (match[1], unit) if int(match[1]) in _UNITS[unit][0] else None


class _BarsPage(msgspec.Struct):
    bars: dict[str, list[dict[str, Any]]] | None = None
    next_page_token: str | None = None


class _SnapshotsPage(msgspec.Struct):
    snapshots: dict[str, dict[str, Any]] | None = None
    next_page_token: str | None = None


class _ContractsPage(msgspec.Struct):
    option_contracts: list[dict[str, Any]] | None = None
    next_page_token: str | None = None


def _subject(symbol: str, asked: Query) -> Question | None:
    """Who says whether there is such a stock; what follows a page is of one that there is."""
    return None if "page_token" in asked else asset(symbol)


def _object(body: Any) -> Mapping[str, Any]:
    return msgspec.convert(body, dict[str, Any])


def _default_start(asked: Query, unit: str, now: datetime) -> str:
    end = instant_of(asked.get("end", "")) or now
    return (end - timedelta(days=_UNITS[unit][1])).date().isoformat()


def _span_fault(asked: Query, now: datetime) -> FieldError | None:
    out_of_order = _in_order(asked)
    start = instant_of(asked.get("start", ""))
    end = instant_of(asked.get("end", "")) or now
    if out_of_order is not None or start is None:
        return out_of_order
    if start > now:
        return FieldError("start", "in-the-future", "start is not in the future.")
    if end - start > timedelta(days=MOST_DAYS):
        return FieldError("start", "too-long", f"One query spans at most {MOST_DAYS} days.")
    return None


def _in_order(given: Query) -> FieldError | None:
    start, end = (instant_of(given.get(name, "")) for name in ("start", "end"))
    if start is not None and end is not None and end < start:
        return FieldError("end", "before-start", "end is not before start.")
    return None


def _days_in_order(given: Query) -> FieldError | None:
    low, high = (instant_of(given.get(f"expiration_date_{end}", "")) for end in ("gte", "lte"))
    if low is not None and high is not None and high < low:
        name = "expiration_date_lte"
        return FieldError(name, "before-start", f"{name} is not before expiration_date_gte.")
    return None


def _strikes_in_order(given: Query) -> FieldError | None:
    low, high = given.get("strike_price_gte"), given.get("strike_price_lte")
    if low is not None and high is not None and float(high) < float(low):
        name = "strike_price_lte"
        return FieldError(name, "out-of-range", f"{name} is not below strike_price_gte.")
    return None


_CONTRACT_RULES = (_days_in_order, _strikes_in_order)
