"""The market data API of stocks: latest, snapshots and bars. Its errors have no code."""

from collections.abc import Iterator

from aiohttp import web

from sandbox.answers import json_answer
from sandbox.bars import Bar, Window, bars
from sandbox.data_query import (
    ADJUSTMENTS,
    STOCK_FEEDS,
    check_feed,
    check_symbol,
    check_word,
    history_of,
    page,
    symbols_of,
    timeframe_of,
)
from sandbox.instants import SECOND, rfc3339
from sandbox.market import Quote, Trade
from sandbox.papers import stock_paper
from sandbox.refusals import RefusedError
from sandbox.timeframes import DAILY, MINUTELY, Timeframe
from sandbox.venue import Venue

# How far back the last two daily bars lie at the most, in nanoseconds: no closure is longer.
LOOK_BACK = 12 * 86_400 * SECOND
KINDS = "{what:quotes|trades|bars}"


class DataApi:
    """The handlers; the gate has checked the key."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue

    def routes(self) -> list[web.RouteDef]:
        """Every route of the data API's stocks."""
        return [
            web.get(f"/v2/stocks/{KINDS}/latest", self.latest),
            web.get(f"/v2/stocks/{{symbol}}/{KINDS}/latest", self.latest_of_one),
            web.get("/v2/stocks/snapshots", self.snapshots),
            web.get("/v2/stocks/{symbol}/snapshot", self.snapshot),
            web.get("/v2/stocks/bars", self.history),
            web.get("/v2/stocks/{symbol}/bars", self.history_of_one),
        ]

    async def latest(self, request: web.Request) -> web.Response:
        """GET /v2/stocks/{quotes,trades,bars}/latest: an unknown symbol is absent."""
        what = request.match_info["what"]
        symbols = self._symbols(request)
        return json_answer({what: {symbol: self._last(what, symbol) for symbol in symbols}})

    async def latest_of_one(self, request: web.Request) -> web.Response:
        """GET /v2/stocks/{symbol}/{quotes,trades,bars}/latest."""
        what = request.match_info["what"]
        one = what.removesuffix("s")
        symbol = self._symbol(request, one)
        return json_answer({"symbol": symbol, one: self._last(what, symbol)})

    async def snapshots(self, request: web.Request) -> web.Response:
        """GET /v2/stocks/snapshots: a map by symbol without a wrapper."""
        return json_answer({each: self._snapshot(each) for each in self._symbols(request)})

    async def snapshot(self, request: web.Request) -> web.Response:
        """GET /v2/stocks/{symbol}/snapshot."""
        symbol = self._symbol(request, "snapshot")
        return json_answer({"symbol": symbol, **self._snapshot(symbol)})

    async def history(self, request: web.Request) -> web.Response:
        """GET /v2/stocks/bars."""
        found, token = self._page(request, self._symbols(request))
        return json_answer({"bars": found, "next_page_token": token})

    async def history_of_one(self, request: web.Request) -> web.Response:
        """GET /v2/stocks/{symbol}/bars: an unknown symbol has none."""
        symbol = request.match_info["symbol"]
        check_feed(request.query, STOCK_FEEDS)
        check_symbol(symbol)
        found, token = self._page(request, self._known([symbol]))
        rows = found.get(symbol, [])
        return json_answer({"bars": rows, "symbol": symbol, "next_page_token": token})

    def _page(
        self, request: web.Request, symbols: list[str]
    ) -> tuple[dict[str, list[dict[str, object]]], str | None]:
        frame = timeframe_of(request.query)
        check_word(request.query, "adjustment", ADJUSTMENTS)
        query = history_of(request.query, symbols, self._now)
        found, token = page(query, lambda symbol, window: self._bars(symbol, window, frame))
        return {symbol: [row.render() for row in rows] for symbol, rows in found.items()}, token

    def _last(self, what: str, symbol: str) -> dict[str, object]:
        match what:
            case "quotes":
                return render_quote(self._venue.market.quote(symbol, self._now))
            case "trades":
                return render_trade(self._venue.market.trade(symbol, self._now))
            case _:
                return next(self._lately(symbol, MINUTELY)).render()

    def _snapshot(self, symbol: str) -> dict[str, object]:
        daily = self._lately(symbol, DAILY)
        return {
            "latestTrade": self._last("trades", symbol),
            "latestQuote": self._last("quotes", symbol),
            "minuteBar": self._last("bars", symbol),
            "dailyBar": next(daily).render(),
            "prevDailyBar": next(daily).render(),
        }

    def _lately(self, symbol: str, frame: Timeframe) -> Iterator[Bar]:
        window = Window(self._now - LOOK_BACK, self._now, newest_first=True)
        return self._bars(symbol, window, frame)

    def _bars(self, symbol: str, window: Window, frame: Timeframe) -> Iterator[Bar]:
        paper = stock_paper(self._venue.market, symbol)
        return bars(paper, frame, window, days=self._venue.trading_days(), now=self._now)

    @property
    def _now(self) -> int:
        return self._venue.clock.now()

    def _symbols(self, request: web.Request) -> list[str]:
        check_feed(request.query, STOCK_FEEDS)
        return self._known(symbols_of(request.query))

    def _symbol(self, request: web.Request, what: str) -> str:
        symbol = request.match_info["symbol"]
        check_feed(request.query, STOCK_FEEDS)
        check_symbol(symbol)
        if not self._known([symbol]):
            raise RefusedError(404, None, f"no {what} found for {symbol}")
        return symbol

    def _known(self, symbols: list[str]) -> list[str]:
        """The symbols (not asset ids) of stocks that exist."""
        listings = ((symbol, self._venue.market.listing(symbol)) for symbol in symbols)
        return [symbol for symbol, listing in listings if listing and listing.symbol == symbol]


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
