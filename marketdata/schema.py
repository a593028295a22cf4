"""How the API's documents describe market data."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from marketdata import kinds, questions
from marketdata.symbols import MOST_SYMBOLS
from opitios.core.openapi import (
    ANYTHING,
    COUNT,
    FLAG,
    NUMBER,
    TEXT,
    WHOLE,
    Handler,
    Schema,
    answers,
    listed,
    nullable,
    operation,
    problems,
    query,
    record,
    ref,
    word,
)

TAG = "Market data"
_REFUSALS = problems(400, 401, 403, 404, 422, 503)

_DAY: Schema = {"type": "string", "format": "date"}
_POINT: Schema = {**TEXT, "description": "A day or an instant (RFC 3339)."}
_AMOUNT: Schema = {"type": "number", "minimum": 0}
_STOCK_FEED = {**word(*kinds.STOCK_FEEDS), "default": kinds.DEFAULT_STOCK_FEED}
_OPTION_FEED = {**word(*kinds.OPTION_FEEDS), "default": kinds.DEFAULT_OPTION_FEED}


def _limit(otherwise: int, most: int) -> Schema:
    return {"type": "integer", "minimum": 1, "maximum": most, "default": otherwise}


_FEED = query("feed", _STOCK_FEED, "Where it is from.")
_FEED_OF_OPTIONS = query("feed", _OPTION_FEED, "Where it is from.")
_TOKEN = query("page_token", TEXT, "`next_page_token` of the page before.")
_SYMBOLS = query(
    "symbols", TEXT, f"Up to {MOST_SYMBOLS} symbols with commas between them.", required=True
)
_OF_A_CONTRACT = (
    query("type", word("call", "put"), "Only calls, or only puts."),
    query("strike_price_gte", _AMOUNT, "The lowest strike, in USD."),
    query("strike_price_lte", _AMOUNT, "The highest strike, in USD."),
    query("expiration_date", _DAY, "Only what expires on that day."),
    query("expiration_date_gte", _DAY, "The first day of expiry."),
    query("expiration_date_lte", _DAY, "The last day of expiry."),
    query("root_symbol", TEXT, "Only contracts of this root."),
    query("limit", _limit(questions.DEFAULT_ROWS, questions.MOST_ROWS), "How many at most."),
    _TOKEN,
)


def _reads(
    name: str, about: str, component: str, parameters: Sequence[Any] = ()
) -> Callable[[Handler], Handler]:
    return operation(
        name,
        TAG,
        about,
        parameters=parameters,
        answers=answers(200, ref(component), "As Alpaca answers, then ours.") | _REFUSALS,
    )


read_stock_quote = _reads(
    "readStockQuote",
    "Read the last quote of a stock, with its source and age.",
    "StockQuote",
    [_FEED],
)
read_stock_quotes = _reads(
    "readStockQuotes", "Read the last quotes of several stocks.", "StockQuotes", [_SYMBOLS, _FEED]
)
read_stock_trade = _reads(
    "readStockTrade", "Read the last trade of a stock.", "StockTrade", [_FEED]
)
read_stock_snapshot = _reads(
    "readStockSnapshot",
    "Read a stock's last trade and quote, its minute and its last two days.",
    "StockSnapshot",
    [_FEED],
)
read_stock_snapshots = _reads(
    "readStockSnapshots", "Read snapshots of several stocks.", "StockSnapshots", [_SYMBOLS, _FEED]
)
read_option_quote = _reads(
    "readOptionQuote", "Read the last quote of an option.", "OptionQuote", [_FEED_OF_OPTIONS]
)
read_option_quotes = _reads(
    "readOptionQuotes",
    "Read the last quotes of several options.",
    "OptionQuotes",
    [_SYMBOLS, _FEED_OF_OPTIONS],
)
read_stock_bars = _reads(
    "readStockBars",
    "Read one page of a stock's bars: a year at most.",
    "StockBars",
    [
        query(
            "timeframe",
            {**TEXT, "default": questions.DEFAULT_TIMEFRAME},
            "1Min–59Min, 1Hour–23Hour, 1Day, 1Week, or 1, 2, 3, 4, 6 or 12Month.",
        ),
        query("start", _POINT, "From when on; a day, a week or a year before `end` unless told."),
        query("end", _POINT, "Until when; now unless told."),
        query("limit", _limit(questions.DEFAULT_BARS, questions.MOST_BARS), "How many at most."),
        query(
            "adjustment",
            {**word("raw", "split", "dividend", "spin-off", "all"), "default": "raw"},
            "For which corporate actions prices are adjusted.",
        ),
        _FEED,
        query("sort", {**word("asc", "desc"), "default": "asc"}, "By time."),
        _TOKEN,
    ],
)
read_option_chain = _reads(
    "readOptionChain",
    "Read one page of a stock's option chain, with greeks and implied volatility.",
    "OptionChain",
    [
        _FEED_OF_OPTIONS,
        query("updated_since", _POINT, "Only what changed since."),
        *_OF_A_CONTRACT,
    ],
)
list_option_contracts = _reads(
    "listOptionContracts",
    "List option contracts; those that expire before next weekend unless told.",
    "OptionContracts",
    [
        query("underlying_symbols", TEXT, "The stocks, with commas between them."),
        query("status", {**word("active", "inactive"), "default": "active"}, "Their status."),
        query("style", word("american", "european"), "Their style."),
        query("show_deliverables", word("true", "false"), "Whether to tell what is delivered."),
        query("ppind", word("true", "false"), "Whether they are in the penny programme."),
        *_OF_A_CONTRACT,
    ],
)
list_assets = _reads(
    "listAssets",
    "List assets: about 33,000 stocks unless filtered.",
    "Assets",
    [
        query("status", word("active", "inactive"), "Their status."),
        query("asset_class", word("us_equity", "us_option", "crypto"), "Their class."),
        query(
            "exchange",
            word("AMEX", "ARCA", "BATS", "NYSE", "NASDAQ", "NYSEARCA", "OTC", "CRYPTO"),
            "Where they are listed.",
        ),
        query("attributes", TEXT, "Alpaca's attributes, with commas between them."),
    ],
)
read_asset = _reads("readAsset", "Read one asset by symbol, id or CUSIP.", "Asset")
read_clock = _reads("readClock", "Read whether the market is open, and when that changes.", "Clock")
list_calendar = _reads(
    "listCalendar",
    "List trading days with their hours.",
    "Calendar",
    [
        query("start", _DAY, "The first day."),
        query("end", _DAY, "The last day."),
        query("date_type", word("TRADING", "SETTLEMENT"), "What the days are."),
    ],
)

_AGE: Mapping[str, Schema] = {
    "source": {
        **word("broker", "cache", "stream", "stale"),
        "description": "`stale`: the broker is away, this is the last one it told.",
    },
    "age_ms": {**COUNT, "description": "Since the broker's answer."},
}
_TIME: Schema = {**TEXT, "description": "RFC 3339, up to nanoseconds."}
_SIDES: Mapping[str, Schema] = {
    "t": _TIME,
    "bp": {**NUMBER, "description": "Bid price."},
    "bs": {**NUMBER, "description": "Bid size: shares, or contracts."},
    "ap": {**NUMBER, "description": "Ask price."},
    "as": {**NUMBER, "description": "Ask size."},
    "bx": {**nullable(TEXT), "description": "Bid exchange."},
    "ax": {**nullable(TEXT), "description": "Ask exchange."},
}
_BAR = {
    **record(dict.fromkeys("ohlcv", NUMBER) | {"t": TEXT}),
    "additionalProperties": True,
}


def _of_symbol(properties: Mapping[str, Schema], feeds: Sequence[str]) -> Schema:
    return record({"symbol": TEXT, **properties, "feed": word(*feeds), **_AGE})


def _map_of(name: str, component: str) -> Schema:
    return record(
        {
            name: {"type": "object", "additionalProperties": ref(component)},
            "errors": {"type": "object", "additionalProperties": ref("SymbolError")},
        }
    )


def _page_of(name: str, rows: Schema, **more: Schema) -> Schema:
    return record({**more, name: rows, "next_page_token": nullable(TEXT), **_AGE})


COMPONENTS: Mapping[str, Schema] = {
    "StockQuote": _of_symbol(
        {
            **_SIDES,
            "c": {**listed(TEXT), "description": "Conditions."},
            "z": {**nullable(TEXT), "description": "Tape."},
        },
        kinds.STOCK_FEEDS,
    ),
    "StockTrade": _of_symbol(
        {
            "t": _TIME,
            "p": {**NUMBER, "description": "Price."},
            "s": {**NUMBER, "description": "Size in shares."},
            "x": {**nullable(TEXT), "description": "Exchange."},
            "c": {**listed(TEXT), "description": "Conditions."},
            "i": {**nullable(WHOLE), "description": "Its id on the tape."},
            "z": {**nullable(TEXT), "description": "Tape."},
        },
        kinds.STOCK_FEEDS,
    ),
    "OptionQuote": _of_symbol(
        {**_SIDES, "c": {**nullable(TEXT), "description": "Condition."}}, kinds.OPTION_FEEDS
    ),
    "StockSnapshot": _of_symbol(
        {
            name: nullable(ANYTHING)
            for name in ("latestTrade", "latestQuote", "minuteBar", "dailyBar", "prevDailyBar")
        },
        kinds.STOCK_FEEDS,
    ),
    "SymbolError": record({"reason": TEXT, "message": TEXT}),
    "StockQuotes": _map_of("quotes", "StockQuote"),
    "OptionQuotes": _map_of("quotes", "OptionQuote"),
    "StockSnapshots": _map_of("snapshots", "StockSnapshot"),
    "StockBars": _page_of(
        "bars", listed(_BAR), symbol=TEXT, timeframe=TEXT, feed=word(*kinds.STOCK_FEEDS)
    ),
    "OptionChain": _page_of(
        "snapshots",
        {"type": "object", "additionalProperties": ANYTHING},
        symbol=TEXT,
        feed=word(*kinds.OPTION_FEEDS),
    ),
    "OptionContracts": _page_of("option_contracts", listed(ANYTHING)),
    "Assets": record({"assets": listed(ANYTHING), **_AGE}),
    "Asset": {**record({"symbol": TEXT, **_AGE}), "additionalProperties": True},
    "Clock": {
        **record(
            {"timestamp": TEXT, "is_open": FLAG, "next_open": TEXT, "next_close": TEXT, **_AGE}
        ),
        "additionalProperties": True,
    },
    "Calendar": record({"calendar": listed(ANYTHING), **_AGE}),
}
