"""How the API's documents describe market data."""

from collections.abc import Mapping

from marketdata.quotes import DEFAULT_FEED, FEEDS
from opitios.core.openapi import (
    COUNT,
    NUMBER,
    TEXT,
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

read_stock_quote = operation(
    "readStockQuote",
    "Market data",
    "Read the last quote of a stock, with its source and age.",
    parameters=[query("feed", {**word(*FEEDS), "default": DEFAULT_FEED}, "Where it is from.")],
    answers=answers(200, ref("StockQuote"), "The quote: Alpaca's short keys, then ours.")
    | problems(400, 401, 403, 404, 422, 503),
)

COMPONENTS: Mapping[str, Schema] = {
    "StockQuote": record(
        {
            "symbol": TEXT,
            "t": {**TEXT, "description": "When it was quoted: RFC 3339, up to nanoseconds."},
            "bp": {**NUMBER, "description": "Bid price."},
            "bs": {**NUMBER, "description": "Bid size in shares."},
            "ap": {**NUMBER, "description": "Ask price."},
            "as": {**NUMBER, "description": "Ask size in shares."},
            "bx": {**nullable(TEXT), "description": "Bid exchange."},
            "ax": {**nullable(TEXT), "description": "Ask exchange."},
            "c": {**listed(TEXT), "description": "Conditions."},
            "z": {**nullable(TEXT), "description": "Tape."},
            "feed": word(*FEEDS),
            "source": {
                **word("broker", "cache", "stream", "stale"),
                "description": "`stale`: the broker is away, this is the last one it told.",
            },
            "age_ms": {**COUNT, "description": "Since the broker's answer."},
        }
    )
}
