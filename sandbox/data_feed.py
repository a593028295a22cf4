"""What a data stream tells of a symbol: the prices of stocks and of contracts, as ticks."""

from collections.abc import Iterable, Iterator
from typing import Protocol

from sandbox.bars import Window, bars
from sandbox.contracts import Contract, find_contract, has_occ_shape
from sandbox.data_query import has_stock_shape
from sandbox.data_rest import render_quote, render_trade
from sandbox.instants import SECOND
from sandbox.option_data import render_option_quote, render_option_trade
from sandbox.papers import stock_paper
from sandbox.pricing import expires_at, option_quote
from sandbox.sessions import new_york
from sandbox.ticks import Tick, tick
from sandbox.timeframes import DAILY, MINUTELY
from sandbox.universe import LISTED
from sandbox.venue import Venue

DAY = 86_400 * SECOND


class Prices(Protocol):
    """The symbols of one kind, and what is told of them."""

    # Channels that may be subscribed, and those that only appear in the answer.
    channels: tuple[str, ...]
    echoed: tuple[str, ...]
    takes_json: bool
    # Channels in which "*" means everything.
    starred: frozenset[str]

    def is_symbol(self, text: str) -> bool:
        """Whether it may be subscribed at all, known or not."""
        ...

    def everything(self) -> Iterable[str]:
        """The symbols that "*" stands for."""
        ...

    def tell(self, channel: str, symbol: str, at: int) -> Tick | None:
        """The channel's message about a symbol now; None for one nobody knows."""
        ...


class StockPrices:
    """Stocks: quotes, trades and bars."""

    channels: tuple[str, ...] = (
        "trades", "quotes", "bars", "updatedBars", "dailyBars", "statuses", "lulds", "imbalances",
    )  # fmt: skip
    # They follow the trades.
    echoed: tuple[str, ...] = ("corrections", "cancelErrors")
    takes_json = True
    starred = frozenset(channels)

    def __init__(self, venue: Venue) -> None:
        self._venue = venue

    def is_symbol(self, text: str) -> bool:
        """See Prices."""
        return has_stock_shape(text)

    def everything(self) -> Iterable[str]:
        """See Prices: the listed ones."""
        return LISTED

    def tell(self, channel: str, symbol: str, at: int) -> Tick | None:
        """See Prices."""
        market = self._venue.market
        listing = market.listing(symbol)
        if listing is None or listing.symbol != symbol:
            return None
        match channel:
            case "quotes":
                return tick("q", symbol, render_quote(market.quote(symbol, at)), at)
            case "trades":
                return tick("t", symbol, render_trade(market.trade(symbol, at)), at)
            case "bars" | "dailyBars":
                return self._bar(channel, symbol, at)
            case _:
                return None

    def _bar(self, channel: str, symbol: str, at: int) -> Tick | None:
        kind, frame = ("d", DAILY) if channel == "dailyBars" else ("b", MINUTELY)
        lately = bars(
            stock_paper(self._venue.market, symbol),
            frame,
            Window(at - DAY, at, newest_first=True),
            days=self._venue.trading_days(),
            now=at,
        )
        bar = next(lately, None)
        return None if bar is None else tick(kind, symbol, bar.render(), bar.at)


class OptionPrices:
    """Contracts: quotes and trades; msgpack only, and no quotes of everything."""

    channels: tuple[str, ...] = ("trades", "quotes")
    echoed: tuple[str, ...] = ()
    takes_json = False
    starred = frozenset({"trades"})

    def __init__(self, venue: Venue) -> None:
        self._venue = venue

    def is_symbol(self, text: str) -> bool:
        """See Prices."""
        return has_occ_shape(text)

    def everything(self) -> Iterator[str]:
        """See Prices: nobody trades but what somebody subscribed."""
        return iter(())

    def tell(self, channel: str, symbol: str, at: int) -> Tick | None:
        """See Prices."""
        contract = self._live(symbol, at)
        if contract is None:
            return None
        quote = option_quote(self._venue.market, contract, at)
        if channel == "quotes":
            return tick("q", symbol, render_option_quote(quote), at)
        return tick("t", symbol, render_option_trade(quote), at)

    def _live(self, symbol: str, at: int) -> Contract | None:
        contract = find_contract(symbol, new_york(at).date())
        return contract if contract and expires_at(contract) > at else None
