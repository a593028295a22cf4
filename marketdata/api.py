"""The REST face of market data."""

import re
from collections.abc import Mapping

from django.http import HttpResponse
from rest_framework.request import Request

from accounts.access import Permission, TokenView
from marketdata import schema
from marketdata.quotes import DEFAULT_FEED, FEEDS, get_quotes
from opitios.core import database
from opitios.core.http import answer, bad_parameter, query_of

# Alpaca's stock symbols: letters, and a class, unit or warrant after a dot.
_STOCK = re.compile(r"[A-Z]{1,6}(\.[A-Z]{1,3})?")
_STOCK_RULE = (
    "A stock symbol is 1–6 capital letters, with 1–3 more after a dot where it has them, "
    "such as AAPL or BRK.B."
)


class StockQuoteView(TokenView):
    """The last quote of one stock."""

    endpoint = "quotes"
    permission = Permission.MARKET_DATA

    @schema.read_stock_quote
    def get(self, request: Request, symbol: str) -> HttpResponse:
        """Answer the quote with its source and age (api.md §6)."""
        feed = feed_of(query_of(request, ("feed",)))
        checked = stock_symbol(symbol)
        # What follows may wait for the broker (law 5).
        database.release()
        return answer(get_quotes().latest(symbol=checked, feed=feed))


def stock_symbol(text: str) -> str:
    """Read a stock's symbol from a path. Raises Problem 400 saying what one looks like."""
    if not _STOCK.fullmatch(text):
        raise bad_parameter("symbol", "not-a-symbol", _STOCK_RULE)
    return text


def feed_of(query: Mapping[str, str]) -> str:
    """Read `feed`. Raises Problem 400 naming the feeds there are."""
    feed = query.get("feed", DEFAULT_FEED)
    if feed not in FEEDS:
        raise bad_parameter("feed", "not-a-feed", "There is no such feed.", FEEDS)
    return feed
