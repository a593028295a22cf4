"""The price a market order is judged by: a quote of the last seconds, else one quick call."""

from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotInTime
from decimal import Decimal
from functools import lru_cache
from typing import Any

import orjson

from marketdata.kinds import DEFAULT_STOCK_FEED, QUOTES
from marketdata.latest import Latest
from marketdata.sources import get_sources
from opitios.core import database
from opitios.core.errors import Problem

# design.md §4: at most so old, else one call that an order waits for at most so long. Seconds.
FRESH_SECONDS = 5.0
WAIT_SECONDS = 0.3

# Calls under way at once; many who ask for one symbol share one (loads.py).
CALLS_AT_ONCE = 8


def reference_price(symbol: str) -> Decimal | None:
    """The middle of the stock's quote in USD; None where none is to be had in time.

    The caller holds no database connection: this may wait for the broker, WAIT_SECONDS at most.
    """
    known = _quotes().known(symbol, DEFAULT_STOCK_FEED, within_seconds=FRESH_SECONDS)
    if known is not None:
        return middle(orjson.loads(known))
    try:
        told = _calls().submit(_latest, symbol).result(WAIT_SECONDS)
    except (Problem, NotInTime):
        # Its answer is kept when it comes: the next order finds it.
        return None
    # With the broker away a quote is shown for longer than it may be judged by.
    return middle(told) if told["age_ms"] <= FRESH_SECONDS * 1000 else None


def _latest(symbol: str) -> dict[str, Any]:
    try:
        told: dict[str, Any] = orjson.loads(_quotes().one(symbol, DEFAULT_STOCK_FEED))
        return told
    finally:
        database.release()


def _quotes() -> Latest:
    return get_sources().latest(QUOTES)


def middle(quote: dict[str, Any]) -> Decimal | None:
    """Between bid and ask, or the one there is; None where the market shows neither."""
    told = [Decimal(str(quote[side])) for side in ("bp", "ap") if quote[side] > 0]
    return sum(told, Decimal(0)) / len(told) if told else None


@lru_cache(maxsize=1)
def _calls() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(CALLS_AT_ONCE, thread_name_prefix="reference")
