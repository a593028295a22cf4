"""The market data API of options: latest, snapshots, the chain and bars. Its errors have no code.

Both feeds tell the same prices.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import date
from itertools import islice

from aiohttp import web

from sandbox.answers import json_answer
from sandbox.bars import Bar, Window, bars
from sandbox.contract_filter import read_filter
from sandbox.contracts import Contract, chain, find_contract
from sandbox.data_query import (
    OPTION_FEEDS,
    Place,
    check_feed,
    check_symbol,
    history_of,
    limit_of,
    page,
    place_of,
    read,
    symbols_of,
    timeframe_of,
    token_of,
)
from sandbox.instants import SECOND, parse_instant, rfc3339
from sandbox.papers import option_paper
from sandbox.pricing import (
    OptionQuote,
    expires_at,
    greeks,
    implied_volatility,
    option_quote,
)
from sandbox.sessions import new_york
from sandbox.timeframes import DAILY, MINUTELY, Timeframe
from sandbox.venue import Venue

DEFAULT_SNAPSHOTS, MAX_SNAPSHOTS = 100, 1000
# How far back the last bar of a contract lies at the most, in nanoseconds.
LOOK_BACK = 12 * 86_400 * SECOND
EXCHANGES = "ABCNPX"

_OCC_SHAPE = re.compile(r"[A-Z]{1,6}\d{6}[CP]\d{8}", re.ASCII)


class OptionDataApi:
    """The handlers; the gate has checked the key."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue

    def routes(self) -> list[web.RouteDef]:
        """Every route of the data API's options."""
        return [
            web.get("/v1beta1/options/{what:quotes|trades}/latest", self.latest),
            web.get("/v1beta1/options/snapshots", self.snapshots),
            web.get("/v1beta1/options/snapshots/{underlying}", self.chain),
            web.get("/v1beta1/options/bars", self.history),
        ]

    async def latest(self, request: web.Request) -> web.Response:
        """GET /v1beta1/options/{quotes,trades}/latest: an unknown contract is absent."""
        render = self._quote if request.match_info["what"] == "quotes" else self._trade
        found = {each.symbol: render(each) for each in self._live(self._contracts(request))}
        return json_answer({request.match_info["what"]: found})

    async def snapshots(self, request: web.Request) -> web.Response:
        """GET /v1beta1/options/snapshots."""
        contracts = sorted(self._live(self._contracts(request)), key=_symbol)
        return self._snapshot_page(request, iter(contracts))

    async def chain(self, request: web.Request) -> web.Response:
        """GET /v1beta1/options/snapshots/{underlying}: an unknown one has an empty chain."""
        check_feed(request.query, OPTION_FEEDS)
        underlying = request.match_info["underlying"]
        check_symbol(underlying)
        wanted = read_filter(request.query)
        listing = self._venue.market.listing(underlying)
        everything = chain(listing, self._today) if listing else iter(())
        return self._snapshot_page(request, filter(wanted.wants, self._live(everything)))

    async def history(self, request: web.Request) -> web.Response:
        """GET /v1beta1/options/bars."""
        frame = timeframe_of(request.query)
        contracts = {each.symbol: each for each in self._contracts(request)}
        query = history_of(request.query, list(contracts), self._now)
        found, token = page(
            query, lambda symbol, window: self._bars(contracts[symbol], window, frame)
        )
        rendered = {symbol: [row.render() for row in rows] for symbol, rows in found.items()}
        return json_answer({"bars": rendered, "next_page_token": token})

    def _snapshot_page(self, request: web.Request, rows: Iterator[Contract]) -> web.Response:
        limit = limit_of(request.query, DEFAULT_SNAPSHOTS, MAX_SNAPSHOTS)
        place = place_of(request.query)
        # Every price changes five times a second: all of them were updated since.
        read(request.query, "updated_since", parse_instant)
        rest = (each for each in rows if place is None or each.symbol >= place.symbol)
        found = list(islice(rest, limit + 1))
        token = token_of(Place(found[limit].symbol, 0)) if len(found) > limit else None
        shown = {each.symbol: self._snapshot(each) for each in found[:limit]}
        return json_answer({"snapshots": shown, "next_page_token": token})

    def _snapshot(self, contract: Contract) -> dict[str, object]:
        market, now = self._venue.market, self._now
        rows = [*islice(self._lately(contract, MINUTELY), 1)]
        rows += islice(self._lately(contract, DAILY), 2)
        names = ("minuteBar", "dailyBar", "prevDailyBar")
        return {
            "latestQuote": self._quote(contract),
            "latestTrade": self._trade(contract),
            "greeks": greeks(market, contract, now)._asdict(),
            "impliedVolatility": implied_volatility(market, contract, now),
            **{name: bar.render() for name, bar in zip(names, rows, strict=True)},
        }

    def _quote(self, contract: Contract) -> dict[str, object]:
        return render_option_quote(option_quote(self._venue.market, contract, self._now))

    def _trade(self, contract: Contract) -> dict[str, object]:
        return render_option_trade(option_quote(self._venue.market, contract, self._now))

    def _lately(self, contract: Contract, frame: Timeframe) -> Iterator[Bar]:
        window = Window(self._now - LOOK_BACK, self._now, newest_first=True)
        return self._bars(contract, window, frame)

    def _bars(self, contract: Contract, window: Window, frame: Timeframe) -> Iterator[Bar]:
        paper = option_paper(self._venue.market, contract)
        over = window._replace(end=min(window.end, expires_at(contract)))
        return bars(paper, frame, over, days=self._venue.trading_days(), now=self._now)

    def _contracts(self, request: web.Request) -> Iterator[Contract]:
        """The contracts asked for that exist or existed."""
        check_feed(request.query, OPTION_FEEDS)
        found = (find_contract(each, self._today) for each in _symbols(request.query))
        return (contract for contract in found if contract is not None)

    def _live(self, contracts: Iterator[Contract]) -> Iterator[Contract]:
        return (each for each in contracts if expires_at(each) > self._now)

    @property
    def _now(self) -> int:
        return self._venue.clock.now()

    @property
    def _today(self) -> date:
        return new_york(self._now).date()


def render_option_quote(quote: OptionQuote) -> dict[str, object]:
    """A quote in the data API's short keys: its condition is one text."""
    return {
        "t": rfc3339(quote.at),
        "ax": EXCHANGES[quote.ask_size % len(EXCHANGES)],
        "ap": quote.ask,
        "as": quote.ask_size,
        "bx": EXCHANGES[quote.bid_size % len(EXCHANGES)],
        "bp": quote.bid,
        "bs": quote.bid_size,
        "c": " ",
    }


def render_option_trade(quote: OptionQuote) -> dict[str, object]:
    """The last trade, at the ask: its condition is one text, and it has no id."""
    return {
        "t": rfc3339(quote.at),
        "x": EXCHANGES[quote.ask_size % len(EXCHANGES)],
        "p": quote.ask,
        "s": 1 + quote.bid_size % 10,
        "c": "I",
    }


def _symbols(query: Mapping[str, str]) -> list[str]:
    return symbols_of(query, _OCC_SHAPE)


def _symbol(contract: Contract) -> str:
    return contract.symbol
