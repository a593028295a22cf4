"""What the data API is asked for: symbols, feed, window, timeframe, limit and page.

Its refusals are 400 with a message and no code (the other dialect; sandbox/query.py has the one).
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime, time
from typing import NamedTuple, Protocol, TypeVar

from sandbox.bars import Window
from sandbox.instants import from_datetime, parse_instant
from sandbox.refusals import RefusedError
from sandbox.sessions import NEW_YORK, new_york
from sandbox.timeframes import Timeframe, read_timeframe

Value = TypeVar("Value")

DEFAULT_LIMIT, MAX_LIMIT = 1000, 10_000
STOCK_FEEDS = frozenset({"sip", "iex", "delayed_sip", "otc", "boats", "overnight"})
OPTION_FEEDS = frozenset({"opra", "indicative"})
ADJUSTMENTS = frozenset({"raw", "split", "dividend", "spin-off", "all"})

# What the data API takes for a stock symbol at all, known or not.
_SHAPE = re.compile(r"[A-Z]{1,8}(?:\.[A-Z]{1,3})?", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


class Place(NamedTuple):
    """Where a page begins: at this symbol, with what is stamped `at` or later in its order."""

    symbol: str
    at: int


class HistoryQuery(NamedTuple):
    """What a route of history is asked for."""

    symbols: Sequence[str]
    window: Window
    limit: int
    place: Place | None


def wrong(message: str) -> RefusedError:
    """The data API's refusal of a parameter."""
    return RefusedError(400, None, message)


def symbols_of(query: Mapping[str, str], shape: re.Pattern[str] = _SHAPE) -> list[str]:
    """The symbols asked for, each once, in the caller's order.

    Raises:
        RefusedError: none, or one that cannot be a symbol.
    """
    symbols = list(dict.fromkeys(word for word in query.get("symbols", "").split(",") if word))
    if not symbols:
        raise wrong("Invalid format for parameter symbols: query parameter 'symbols' is required")
    for symbol in symbols:
        check_symbol(symbol, shape)
    return symbols


def has_stock_shape(text: str) -> bool:
    """Whether it can be a stock's symbol at all, known or not."""
    return _SHAPE.fullmatch(text) is not None


def check_symbol(symbol: str, shape: re.Pattern[str] = _SHAPE) -> None:
    """Let a symbol pass, known or not.

    Raises:
        RefusedError: it cannot be a symbol.
    """
    if shape.fullmatch(symbol) is None:
        raise wrong(f"code=400, message=invalid symbol: {symbol}")


def check_feed(query: Mapping[str, str], feeds: frozenset[str]) -> None:
    """Let a feed pass, and none given.

    Raises:
        RefusedError: there is no such feed.
    """
    check_word(query, "feed", feeds)


def check_word(query: Mapping[str, str], name: str, allowed: frozenset[str]) -> None:
    """Let one of the words pass, and none given.

    Raises:
        RefusedError: the parameter is none of the words.
    """
    word = query.get(name)
    if word and word not in allowed:
        raise wrong(f"code=400, message=invalid {name}: {word}")


def timeframe_of(query: Mapping[str, str]) -> Timeframe:
    """The timeframe asked for.

    Raises:
        RefusedError: none, or one that has no bars.
    """
    text = query.get("timeframe", "")
    if not text:
        raise wrong(
            "Invalid format for parameter timeframe: query parameter 'timeframe' is required"
        )
    try:
        return read_timeframe(text)
    except ValueError as error:
        raise wrong(f"code=400, message=invalid timeframe: {text}") from error


def limit_of(query: Mapping[str, str], otherwise: int, most: int) -> int:
    """How many rows a page holds.

    Raises:
        RefusedError: not a whole number within the bounds.
    """
    text = query.get("limit", "")
    if not text:
        return otherwise
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= most):
        raise wrong(f"code=400, message=invalid limit: must be between 1 and {most}")
    return int(text)


def history_of(query: Mapping[str, str], symbols: Sequence[str], now: int) -> HistoryQuery:
    """Window, direction, limit and place; the window begins with today unless told.

    Raises:
        RefusedError: a parameter is wrong, or the end lies before the start.
    """
    start = read(query, "start", parse_instant)
    end = read(query, "end", _end)
    if start is None:
        start = from_datetime(datetime.combine(new_york(now).date(), time(0), NEW_YORK))
    if end is not None and end < start:
        raise wrong("end should not be before start")
    sort = query.get("sort") or "asc"
    if sort not in {"asc", "desc"}:
        raise wrong(f"code=400, message=invalid sort: {sort}")
    window = Window(start, now if end is None else min(end, now), newest_first=sort == "desc")
    limit = limit_of(query, DEFAULT_LIMIT, MAX_LIMIT)
    return HistoryQuery(sorted(symbols), window, limit, place_of(query))


def place_of(query: Mapping[str, str]) -> Place | None:
    """The place a page token names.

    Raises:
        RefusedError: the token is none of ours.
    """
    return read(query, "page_token", read_place)


def token_of(place: Place) -> str:
    """The page token that names a place."""
    return base64.b64encode(f"{place.symbol}|{place.at}".encode()).decode()


def read_place(token: str) -> Place:
    """The place a page token names.

    Raises:
        ValueError: the token is none of ours.
    """
    try:
        symbol, _, at = base64.b64decode(token, validate=True).decode("ascii").partition("|")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ValueError(token) from error
    return Place(symbol, int(at))


def day_of(query: Mapping[str, str], name: str) -> date | None:
    """A calendar day.

    Raises:
        RefusedError: it is none.
    """
    return read(query, name, date.fromisoformat)


def read(query: Mapping[str, str], name: str, reader: Callable[[str], Value]) -> Value | None:
    """What the reader makes of a parameter; its ValueError is the caller's 400."""
    text = query.get(name)
    if not text:
        return None
    try:
        return reader(text)
    except ValueError as error:
        raise wrong(f"Invalid format for parameter {name}: {text}") from error


def _end(text: str) -> int:
    """An end without a time means the whole of that day in New York."""
    if _DATE.fullmatch(text) is None:
        return parse_instant(text)
    day = date.fromisoformat(text)
    return from_datetime(datetime.combine(day, time(23, 59, 59), NEW_YORK))


class Stamped(Protocol):
    """A row of history."""

    @property
    def at(self) -> int: ...


Row = TypeVar("Row", bound=Stamped)


def page(
    query: HistoryQuery, rows_of: Callable[[str, Window], Iterator[Row]]
) -> tuple[dict[str, list[Row]], str | None]:
    """The rows of one page by symbol, and the token of the next page."""
    found: dict[str, list[Row]] = {}
    left = query.limit
    for symbol in query.symbols:
        if query.place is not None and symbol < query.place.symbol:
            continue
        for row in rows_of(symbol, _rest_of(query, symbol)):
            if left == 0:
                return found, token_of(Place(symbol, row.at))
            found.setdefault(symbol, []).append(row)
            left -= 1
    return found, None


def _rest_of(query: HistoryQuery, symbol: str) -> Window:
    """The window, without what earlier pages held of this symbol."""
    if query.place is None or query.place.symbol != symbol:
        return query.window
    if query.window.newest_first:
        return query.window._replace(end=query.place.at)
    return query.window._replace(start=query.place.at)
