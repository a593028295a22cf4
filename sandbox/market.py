"""Seeded prices: the quote and trade of any symbol at an instant, the same in every run.

A price swings by at most 3 % around its base and changes at most five times a second, so that a
resting limit order far away stays where a test put it. A pinned symbol stands still.
"""

import math
from decimal import Decimal
from hashlib import blake2b
from typing import NamedTuple

from sandbox.instants import MILLISECOND, SECOND
from sandbox.sessions import previous_closing
from sandbox.universe import LISTED, Listing, is_ticker, unlisted

# Five price changes a second, the sandbox's default quote rate.
TICK = 200 * MILLISECOND
# Swing as a share of the price, and its period in seconds: season, fortnight, day, hour, minute.
SWINGS = (
    (0.006, 7_776_000.0),
    (0.008, 1_166_400.0),
    (0.009, 86_400.0),
    (0.004, 3_600.0),
    (0.001, 61.0),
)
# Tapes of the consolidated feed: A is NYSE, C is Nasdaq, B everything else.
TAPES = {"NYSE": "A", "NASDAQ": "C"}
VENUES = {"A": ("N", "P"), "B": ("P", "Z"), "C": ("Q", "V")}


class Quote(NamedTuple):
    """The best bid and offer (USD a share; sizes in shares) since the instant `at`."""

    symbol: str
    at: int
    bid: Decimal
    ask: Decimal
    bid_size: int
    ask_size: int
    bid_exchange: str
    ask_exchange: str
    tape: str


class Trade(NamedTuple):
    """The last trade (USD a share; size in shares)."""

    symbol: str
    at: int
    trade_id: int
    price: Decimal
    size: int
    exchange: str
    tape: str


class _Stock(NamedTuple):
    listing: Listing
    phases: tuple[float, ...]
    salt: int


def mix(value: int) -> int:
    """A well spread 64-bit number out of another (splitmix64)."""
    value = (value + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return value ^ (value >> 31)


def _trade_chance(stock: _Stock, tick: int) -> int:
    return mix(stock.salt ^ ~tick)


def _traded_at(quote: Quote, chance: int) -> Decimal:
    return quote.ask if chance & 1 else quote.bid


class Market:
    """Assets and their prices, computed from a seed and the instant."""

    def __init__(self, seed: str = "opitios") -> None:
        self._seed = seed
        self._stocks: dict[str, _Stock] = {}
        self._pins: dict[str, tuple[Decimal, Decimal]] = {}
        self._quotes: dict[str, tuple[int, Quote]] = {}
        self._closes: dict[str, tuple[int, Decimal]] = {}
        self._by_asset_id = {each.asset_id: each for each in LISTED.values()}

    def listing(self, symbol_or_asset_id: str) -> Listing | None:
        """The stock of that symbol or asset id, or None where there is none."""
        stock = self._stock(symbol_or_asset_id)
        return stock.listing if stock else self._by_asset_id.get(symbol_or_asset_id)

    def quote(self, symbol: str, at: int) -> Quote:
        """The best bid and offer at an instant; bid is always below ask.

        Raises:
            KeyError: no such stock.
        """
        tick = at // TICK
        known = self._quotes.get(symbol)
        if known is not None and known[0] == tick:
            return known[1]
        quote = self._quote_of_tick(self._known_stock(symbol), tick)
        self._quotes[symbol] = (tick, quote)
        return quote

    def trade(self, symbol: str, at: int) -> Trade:
        """The last trade at an instant: at the bid or at the ask of that moment.

        Raises:
            KeyError: no such stock.
        """
        quote = self.quote(symbol, at)
        tick = at // TICK
        chance = _trade_chance(self._known_stock(symbol), tick)
        return Trade(
            symbol=symbol,
            at=quote.at,
            trade_id=tick,
            price=_traded_at(quote, chance),
            size=1 + chance % 300,
            exchange=quote.ask_exchange,
            tape=quote.tape,
        )

    def price(self, symbol: str, at: int) -> Decimal:
        """The last trade's price at any instant; the quotes that are remembered stay.

        Raises:
            KeyError: no such stock.
        """
        stock, tick = self._known_stock(symbol), at // TICK
        return _traded_at(self._quote_of_tick(stock, tick), _trade_chance(stock, tick))

    def mid(self, symbol: str, at: int) -> float:
        """The middle of bid and ask (USD) at any instant, whatever is pinned now: for history.

        Raises:
            KeyError: no such stock.
        """
        return self._mid_cents(self._known_stock(symbol), at // TICK) / 100

    def salt(self, symbol: str) -> int:
        """A number of the symbol's own, the same in every run of one seed.

        Raises:
            KeyError: no such stock.
        """
        return self._known_stock(symbol).salt

    def lastday_price(self, symbol: str, at: int) -> Decimal:
        """The price at the last closing bell before the instant's day."""
        bell = previous_closing(at)
        known = self._closes.get(symbol)
        if known is not None and known[0] == bell:
            return known[1]
        price = self._quote_of_tick(self._known_stock(symbol), bell // TICK).bid
        self._closes[symbol] = (bell, price)
        return price

    def pin(self, symbol: str, *, bid: Decimal, ask: Decimal) -> None:
        """Hold a symbol's quote still until it is unpinned.

        Raises:
            KeyError: no such stock.
        """
        self._known_stock(symbol)
        self._pins[symbol] = (bid, ask)
        self._quotes.pop(symbol, None)

    def unpin(self, symbol: str) -> None:
        """Let a symbol's price move again."""
        self._pins.pop(symbol, None)
        self._quotes.pop(symbol, None)

    def _known_stock(self, symbol: str) -> _Stock:
        stock = self._stock(symbol)
        if stock is None:
            raise KeyError(symbol)
        return stock

    def _stock(self, symbol: str) -> _Stock | None:
        stock = self._stocks.get(symbol)
        if stock is None and is_ticker(symbol):
            stock = self._discover(symbol)
        return stock

    def _discover(self, symbol: str) -> _Stock:
        digest = blake2b(f"{self._seed}:{symbol}".encode(), digest_size=48).digest()
        salt, *words = (int.from_bytes(digest[i : i + 8]) for i in range(0, 48, 8))
        # A stock nobody listed costs 5 to 505 dollars.
        seeded = Decimal(500 + salt % 50_000).scaleb(-2)
        listing = LISTED.get(symbol) or unlisted(symbol, seeded)
        phases = tuple(word / 2**64 * math.tau for word in words)
        stock = _Stock(listing, phases, salt)
        self._stocks[symbol] = stock
        self._by_asset_id[listing.asset_id] = listing
        return stock

    def _mid_cents(self, stock: _Stock, tick: int) -> float:
        seconds = tick * TICK / SECOND
        swing = sum(
            share * math.sin(math.tau * seconds / period + phase)
            for (share, period), phase in zip(SWINGS, stock.phases, strict=True)
        )
        return float(stock.listing.price) * 100 * (1 + swing)

    def _prices(self, stock: _Stock, tick: int, chance: int) -> tuple[Decimal, Decimal]:
        pinned = self._pins.get(stock.listing.symbol)
        if pinned is not None:
            return pinned
        mid = self._mid_cents(stock, tick)
        # A basis point of the price, at least a cent, and now and then a cent more.
        spread = max(1, round(mid / 10_000)) + chance % 2
        bid = math.floor(mid - spread / 2)
        return Decimal(bid).scaleb(-2), Decimal(bid + spread).scaleb(-2)

    def _quote_of_tick(self, stock: _Stock, tick: int) -> Quote:
        chance = mix(stock.salt ^ tick)
        bid, ask = self._prices(stock, tick, chance)
        tape = TAPES.get(stock.listing.exchange, "B")
        venues = VENUES[tape]
        return Quote(
            symbol=stock.listing.symbol,
            # Never in the future: the quote was made in the last 50 ms before its tick.
            at=tick * TICK - chance % (50 * MILLISECOND),
            bid=bid,
            ask=ask,
            bid_size=100 * (1 + (chance >> 8) % 9),
            ask_size=100 * (1 + (chance >> 16) % 9),
            bid_exchange=venues[(chance >> 24) % 2],
            ask_exchange=venues[(chance >> 25) % 2],
            tape=tape,
        )
