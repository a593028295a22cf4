"""What Opitios may ask of a broker, and the values that come back. Pure: no I/O, no library."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, Protocol
from urllib.parse import urlsplit

Environment = Literal["sandbox", "paper", "live"]

# What may stand in an HTTP header without being able to end it.
_VISIBLE = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """One account's key pair in clear. It cannot be printed or pickled by accident.

    Raises ValueError for a value that could not travel in an HTTP header.
    """

    key_id: str
    secret: str

    def __post_init__(self) -> None:
        if not (_VISIBLE.fullmatch(self.key_id) and _VISIBLE.fullmatch(self.secret)):
            raise ValueError("a broker key holds visible ASCII characters only")

    def __repr__(self) -> str:
        return "Credentials(hidden)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("credentials are never pickled")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where one environment of the broker answers.

    `trading_url` and `data_url` are origins without a path (`https://paper-api.alpaca.markets`),
    `stream_url` is the whole WebSocket address, `data_stream_url` the origin of those of market
    data. Raises ValueError for anything else.
    """

    environment: Environment
    trading_url: str
    data_url: str
    stream_url: str
    data_stream_url: str

    def __post_init__(self) -> None:
        for url in (self.trading_url, self.data_url):
            _require_origin(url)
        for url in (self.stream_url, self.data_stream_url):
            if urlsplit(url).scheme not in {"ws", "wss"}:
                raise ValueError("a stream's URL must begin with ws:// or wss://")


def _require_origin(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or url != f"{parts.scheme}://{parts.netloc}":
        raise ValueError("a broker URL is an origin: scheme, host and port, nothing after them")
    if not parts.hostname or "@" in parts.netloc:
        raise ValueError("a broker URL names a host and carries no credentials")


@dataclass(frozen=True, slots=True)
class Rate:
    """The account's allowance at the broker (headers `X-RateLimit-*`).

    `resets_at` is the broker's epoch second.
    """

    limit: int
    remaining: int
    resets_at: float


@dataclass(frozen=True, slots=True)
class Answer:
    """A definitive yes.

    `body` is the parsed JSON, None where the broker sent no bytes. In trading answers a JSON
    number with a fraction is a Decimal, exactly as written; in market data it is a float.
    `raw_sha256` is the hash of the body's bytes as received. `ms` runs from the first connect or
    send to the last byte; waiting for a free slot is not in it.
    """

    http_status: int
    body: Any
    request_id: str | None
    raw_sha256: str
    ms: float
    rate: Rate | None


class TradingPort(Protocol):
    """One account at the broker. Every method raises a `BrokerError` unless it answers."""

    def submit_order(self, order: Mapping[str, Any]) -> Answer:
        """Send one order, once. Quantities and prices are Decimal or str; a float: TypeError."""
        ...

    def cancel_order(self, broker_order_id: str) -> Answer:
        """Ask for a cancel; the answer's body is None (HTTP 204)."""
        ...

    def order(self, broker_order_id: str) -> Answer:
        """Read one order by the broker's id."""
        ...

    def order_by_client_id(self, client_order_id: str) -> Answer:
        """Look one order up by our id; `NotFound` says that the broker does not know it."""
        ...

    def orders(self, **filters: Any) -> Answer:
        """List orders. The broker's defaults are `status=open` and `limit=50` (500 at most)."""
        ...

    def account(self) -> Answer:
        """Read balances, buying power and status."""
        ...

    def configurations(self) -> Answer:
        """Read the account's settings: shorting, margin, suspension."""
        ...

    def portfolio_history(self, **filters: Any) -> Answer:
        """Read equity and profit over time; filters by Alpaca's names (`period`, `timeframe` …)."""
        ...

    def activities(self, **filters: Any) -> Answer:
        """List fills, deposits, fees …: 100 at most; `page_token` is the last one's id."""
        ...

    def positions(self) -> Answer:
        """List the open positions."""
        ...

    def position(self, symbol: str) -> Answer:
        """Read one position; `NotFound` where there is none."""
        ...

    def clock(self) -> Answer:
        """Read whether the market is open, and its next open and close."""
        ...

    def calendar(self, **filters: Any) -> Answer:
        """List the trading days from `start` to `end`."""
        ...

    def assets(self, **filters: Any) -> Answer:
        """List assets: all of them, about 33,000 stocks."""
        ...

    def asset(self, symbol: str) -> Answer:
        """Read one asset by symbol or id; `NotFound` where there is none."""
        ...

    def option_contracts(self, **filters: Any) -> Answer:
        """List one page of option contracts."""
        ...


class DataPort(Protocol):
    """Market data of one data account. Every method raises a `BrokerError` unless it answers."""

    def latest_quotes(self, symbols: Sequence[str], feed: str | None = None) -> Answer:
        """Read `{"quotes": {symbol: quote}}`; feed None leaves the choice to the broker."""
        ...

    def latest_trades(self, symbols: Sequence[str], feed: str | None = None) -> Answer:
        """Read `{"trades": {symbol: trade}}`; feed None leaves the choice to the broker."""
        ...

    def snapshots(self, symbols: Sequence[str], feed: str | None = None) -> Answer:
        """Read `{symbol: snapshot}`, without a wrapper."""
        ...

    def bars(self, symbols: Sequence[str], **filters: Any) -> Answer:
        """Read one page: `{"bars": {symbol: [bar …]}, "next_page_token": …}`."""
        ...

    def option_quotes(self, symbols: Sequence[str], feed: str | None = None) -> Answer:
        """Read `{"quotes": {contract: quote}}`."""
        ...

    def option_chain(self, underlying: str, **filters: Any) -> Answer:
        """Read one page: `{"snapshots": {contract: snapshot}, "next_page_token": …}`."""
        ...
