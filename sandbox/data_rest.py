"""The market data API: latest quotes and trades of stocks. Its errors have no code."""

import re

from aiohttp import web

from sandbox.answers import json_answer
from sandbox.instants import rfc3339
from sandbox.market import Market, Quote, Trade
from sandbox.refusals import RefusedError
from sandbox.venue import Venue

FEEDS = frozenset({"sip", "iex", "delayed_sip", "otc", "boats", "overnight"})

# What the data API takes for a stock symbol at all, known or not.
_SHAPE = re.compile(r"[A-Z]{1,8}(?:\.[A-Z]{1,3})?", re.ASCII)


class DataApi:
    """The handlers; the gate has checked the key."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue

    def routes(self) -> list[web.RouteDef]:
        """Every route of the data API."""
        return [
            web.get("/v2/stocks/quotes/latest", self.latest_quotes),
            web.get("/v2/stocks/trades/latest", self.latest_trades),
            web.get("/v2/stocks/{symbol}/quotes/latest", self.latest_quote),
            web.get("/v2/stocks/{symbol}/trades/latest", self.latest_trade),
        ]

    async def latest_quotes(self, request: web.Request) -> web.Response:
        """GET /v2/stocks/quotes/latest: an unknown symbol is absent from the map."""
        market, now = self._venue.market, self._venue.clock.now()
        known = _known(market, _symbols(request))
        quotes = {symbol: render_quote(market.quote(symbol, now)) for symbol in known}
        return json_answer({"quotes": quotes})

    async def latest_trades(self, request: web.Request) -> web.Response:
        """GET /v2/stocks/trades/latest: an unknown symbol is absent from the map."""
        market, now = self._venue.market, self._venue.clock.now()
        known = _known(market, _symbols(request))
        trades = {symbol: render_trade(market.trade(symbol, now)) for symbol in known}
        return json_answer({"trades": trades})

    async def latest_quote(self, request: web.Request) -> web.Response:
        """GET /v2/stocks/{symbol}/quotes/latest."""
        symbol = self._symbol(request, "quote")
        quote = self._venue.market.quote(symbol, self._venue.clock.now())
        return json_answer({"symbol": symbol, "quote": render_quote(quote)})

    async def latest_trade(self, request: web.Request) -> web.Response:
        """GET /v2/stocks/{symbol}/trades/latest."""
        symbol = self._symbol(request, "trade")
        trade = self._venue.market.trade(symbol, self._venue.clock.now())
        return json_answer({"symbol": symbol, "trade": render_trade(trade)})

    def _symbol(self, request: web.Request, what: str) -> str:
        symbol = request.match_info["symbol"]
        _check_feed(request)
        _check_symbol(symbol)
        if not _known(self._venue.market, [symbol]):
            raise RefusedError(404, None, f"no {what} found for {symbol}")
        return symbol


def render_quote(quote: Quote) -> dict[str, object]:
    """A quote in the data API's short keys; numbers are JSON numbers."""
    return {
        "t": rfc3339(quote.at),
        "ax": quote.ask_exchange,
        "ap": float(quote.ask),
        "as": quote.ask_size,
        "bx": quote.bid_exchange,
        "bp": float(quote.bid),
        "bs": quote.bid_size,
        "c": ["R"],
        "z": quote.tape,
    }


def render_trade(trade: Trade) -> dict[str, object]:
    """A trade in the data API's short keys; numbers are JSON numbers."""
    return {
        "t": rfc3339(trade.at),
        "x": trade.exchange,
        "p": float(trade.price),
        "s": trade.size,
        "c": ["@"],
        "i": trade.trade_id,
        "z": trade.tape,
    }


def _symbols(request: web.Request) -> list[str]:
    _check_feed(request)
    symbols = [word for word in request.query.get("symbols", "").split(",") if word]
    if not symbols:
        raise RefusedError(
            400,
            None,
            "Invalid format for parameter symbols: query parameter 'symbols' is required",
        )
    for symbol in symbols:
        _check_symbol(symbol)
    return symbols


def _check_feed(request: web.Request) -> None:
    feed = request.query.get("feed", "sip")
    if feed not in FEEDS:
        raise RefusedError(400, None, f"code=400, message=invalid feed: {feed}")


def _check_symbol(symbol: str) -> None:
    if _SHAPE.fullmatch(symbol) is None:
        raise RefusedError(400, None, f"code=400, message=invalid symbol: {symbol}")


def _known(market: Market, symbols: list[str]) -> list[str]:
    """The symbols (not asset ids) of stocks that exist."""
    return [
        symbol
        for symbol in symbols
        if (listing := market.listing(symbol)) is not None and listing.symbol == symbol
    ]
