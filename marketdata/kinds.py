"""The kinds of last answers: what Alpaca must answer of one symbol (alpaca-wire.md §2)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from opitios.broker.port import Answer, DataPort

# The feeds a stock may be asked from.
STOCK_FEEDS = ("iex", "sip", "delayed_sip")
OPTION_FEEDS = ("indicative", "opra")
# Every plan holds these, also the free one of paper accounts.
DEFAULT_STOCK_FEED, DEFAULT_OPTION_FEED = STOCK_FEEDS[0], OPTION_FEEDS[0]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of answer by symbol.

    `shape` is what Alpaca must answer of a symbol; `wrapper` is the key of the map in its answer,
    None where the answer is the map.
    """

    name: str
    shape: type
    wrapper: str | None
    feeds: Sequence[str]
    read: Callable[[DataPort, Sequence[str], str], Answer]
    # The channel of the live feed that tells the same; None: there is none.
    channel: str | None = None

    def key(self, symbol: str, feed: str) -> str:
        """The answer as the caches know it. Of its kind too: kinds share one Redis."""
        return f"{symbol} {feed} {self.name}"


def symbol_of(key: str) -> str:
    """Whom a key is about."""
    return key.partition(" ")[0]


# JSON readers and writers on the way hold no larger integer.
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_Price = _Count | float


class StockQuote(msgspec.Struct, frozen=True, rename={"as_": "as"}):
    """A quote in Alpaca's short keys; sizes in shares, prices in USD."""

    t: str
    bp: _Price
    bs: _Price
    ap: _Price
    as_: _Price
    bx: str | None = None
    ax: str | None = None
    c: list[str] = []
    z: str | None = None


class StockTrade(msgspec.Struct, frozen=True):
    """A trade in Alpaca's short keys; `i` is its id on the tape."""

    t: str
    p: _Price
    s: _Price
    x: str | None = None
    c: list[str] = []
    i: _Count | None = None
    z: str | None = None


class OptionQuote(msgspec.Struct, frozen=True, rename={"as_": "as"}):
    """A quote of a contract: its condition is one text; sizes in contracts."""

    t: str
    bp: _Price
    bs: _Price
    ap: _Price
    as_: _Price
    bx: str | None = None
    ax: str | None = None
    c: str | None = None


class Snapshot(msgspec.Struct, frozen=True, rename="camel"):
    """The last trade and quote of a stock, its minute and its last two days, as Alpaca told."""

    latest_trade: dict[str, Any] | None = None
    latest_quote: dict[str, Any] | None = None
    minute_bar: dict[str, Any] | None = None
    daily_bar: dict[str, Any] | None = None
    prev_daily_bar: dict[str, Any] | None = None


def _quotes(port: DataPort, symbols: Sequence[str], feed: str) -> Answer:
    return port.latest_quotes(symbols, feed)


def _trades(port: DataPort, symbols: Sequence[str], feed: str) -> Answer:
    return port.latest_trades(symbols, feed)


def _snapshots(port: DataPort, symbols: Sequence[str], feed: str) -> Answer:
    return port.snapshots(symbols, feed)


def _option_quotes(port: DataPort, symbols: Sequence[str], feed: str) -> Answer:
    return port.option_quotes(symbols, feed)


QUOTES = Kind("quote", StockQuote, "quotes", STOCK_FEEDS, _quotes, "quotes")
TRADES = Kind("trade", StockTrade, "trades", STOCK_FEEDS, _trades, "trades")
SNAPSHOTS = Kind("snapshot", Snapshot, None, STOCK_FEEDS, _snapshots)
OPTION_QUOTES = Kind(
    "option quote", OptionQuote, "quotes", OPTION_FEEDS, _option_quotes, "option_quotes"
)
ALL = (QUOTES, TRADES, SNAPSHOTS, OPTION_QUOTES)
