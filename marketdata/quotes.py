"""The last quote of a stock: asked once for everybody, kept a second, shown stale for a minute."""

import threading
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any

import msgspec
from cachetools import TTLCache

from marketdata.routing import LONGEST_SECONDS, NoDataAccount, Router, pool_accounts
from opitios.broker.errors import BrokerError, NotFound, OutcomeUnknown, Refused
from opitios.broker.port import Answer, DataPort
from opitios.core import clock
from opitios.core.coalesce import Coalesced, Kept
from opitios.core.errors import BrokerRefusal, Problem, Reason

# The feeds of alpaca-wire.md §2 that a stock quote may be asked from.
FEEDS = ("iex", "sip", "delayed_sip")
# Every plan holds this one, also the free one of paper accounts.
DEFAULT_FEED = "iex"

# A quote is `cache` for this long: hundreds of programs asking together make one call a second.
KEEP_SECONDS = 1.0
# With the broker away a quote is shown, as `stale` and with its age, for this long.
STALE_SECONDS = 60.0
# Symbols kept: about 12,000 stocks are listed, each in up to three feeds.
KEPT_SYMBOLS = 20_000
# Somebody else's call has a head start; its whole time is enough for everybody who waits for it.
WAIT_SECONDS = LONGEST_SECONDS

# JSON readers and writers on the way hold no larger integer.
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_Price = _Count | float


class WireQuote(msgspec.Struct, frozen=True):
    """A quote in Alpaca's short keys (alpaca-wire.md §2); sizes in shares, prices in USD."""

    t: str
    bp: _Price
    bs: _Price
    ap: _Price
    as_: _Price = msgspec.field(name="as")
    bx: str | None = None
    ax: str | None = None
    c: list[str] = []
    z: str | None = None


class Quotes:
    """The quotes of one process. Safe to use from any thread; a missing one is loaded once."""

    def __init__(self, router: Router) -> None:
        self._router = router
        # None: the broker knows no such symbol, which is kept for a second as well.
        self._fresh: Coalesced[WireQuote | None] = Coalesced(
            size=KEPT_SYMBOLS, keep_seconds=KEEP_SECONDS
        )
        self._last = _Last()

    def latest(self, *, symbol: str, feed: str) -> dict[str, Any]:
        """Answer the quote as api.md §6 shows it: Alpaca's short keys, then ours.

        `source`: `broker` where the call was made for this question, `cache`, or `stale`; `age_ms`
        runs from the broker's answer. The caller holds no database connection: this may wait.
        Raises Problem: 404 unknown-symbol, 503 broker-unavailable, the broker's own refusal.
        """
        asked_at = clock.monotonic()
        key = f"{symbol} {feed}"
        try:
            kept = self._fresh.get(
                key, lambda: self._load(key, symbol, feed), wait_seconds=WAIT_SECONDS
            )
        except (BrokerError, NoDataAccount, TimeoutError) as error:
            stale = self._last.find(key)
            if stale is None or isinstance(error, Refused):
                raise _translated(error, symbol) from error
            return _shown(stale, symbol, feed, "stale")
        source = "broker" if kept.at >= asked_at else "cache"
        return _shown(kept, symbol, feed, source)

    def kept(self, *, symbol: str, feed: str, within_seconds: float) -> dict[str, Any] | None:
        """The quote as it was last read here, if that is not longer ago; nothing is asked."""
        last = self._last.find(f"{symbol} {feed}")
        if last is None or last.age_ms > within_seconds * 1000:
            return None
        return _shown(last, symbol, feed, "cache")

    def _load(self, key: str, symbol: str, feed: str) -> WireQuote | None:
        quote = self._router.ask(lambda port: _read(port, symbol, feed))
        if quote is not None:
            self._last.put(key, Kept(quote, clock.monotonic()))
        return quote


class _Last:
    """The last quote of each symbol, for when the broker is away."""

    def __init__(self) -> None:
        self._kept: TTLCache[str, Kept[WireQuote]] = TTLCache(
            KEPT_SYMBOLS, STALE_SECONDS, timer=clock.monotonic
        )
        self._lock = threading.Lock()

    def put(self, key: str, kept: Kept[WireQuote]) -> None:
        with self._lock:
            self._kept[key] = kept

    def find(self, key: str) -> Kept[WireQuote] | None:
        with self._lock:
            return self._kept.get(key)


def _read(port: DataPort, symbol: str, feed: str) -> WireQuote | None:
    """Ask one account. Raises BrokerError, also where its answer is no quote."""
    answer = port.latest_quotes([symbol], feed)
    try:
        return _parsed(answer.body, symbol)
    except msgspec.ValidationError as error:
        raise _unreadable(answer, error) from error


class _Quotes(msgspec.Struct, frozen=True):
    quotes: dict[str, Any] | None = None


def _parsed(body: Any, symbol: str) -> WireQuote | None:
    """Take the symbol's quote out of `{"quotes": {…}}`, without it where it is not known."""
    quote = (msgspec.convert(body, _Quotes).quotes or {}).get(symbol)
    return None if quote is None else msgspec.convert(quote, WireQuote)


def _unreadable(answer: Answer, error: Exception) -> OutcomeUnknown:
    return OutcomeUnknown(
        message=f"the broker's answer is no quote: {error}",
        reason="unparsable",
        http_status=answer.http_status,
        request_id=answer.request_id,
        raw_sha256=answer.raw_sha256,
        ms=answer.ms,
        rate=answer.rate,
    )


def _shown(
    kept: Kept[WireQuote] | Kept[WireQuote | None], symbol: str, feed: str, source: str
) -> dict[str, Any]:
    if kept.value is None:
        raise _unknown(symbol)
    quote: Mapping[str, Any] = msgspec.to_builtins(kept.value)
    ours = {"feed": feed, "source": source, "age_ms": kept.age_ms}
    return {"symbol": symbol, **quote, **ours}


def _translated(error: Exception, symbol: str) -> Problem:
    match error:
        case Refused() if isinstance(error, NotFound) or "invalid symbol" in error.message:
            return _unknown(symbol)
        case Refused():
            return _refusal(error)
        case BrokerError():
            detail = f"No data account got a quote from the broker: {error.outcome}."
        case NoDataAccount():
            detail = "No account may read market data: add one of type data, master or backup."
        case _:
            detail = "The broker does not answer in time."
    return Problem(Reason.BROKER_UNAVAILABLE, detail, retry_after_seconds=1)


def _unknown(symbol: str) -> Problem:
    return Problem(Reason.UNKNOWN_SYMBOL, f"The broker knows no stock {symbol}.")


def _refusal(error: Refused) -> Problem:
    broker = BrokerRefusal(
        http_status=error.http_status or Reason.REJECTED.value.status,
        code=error.code,
        message=error.message,
        request_id=error.request_id,
        extra={},
    )
    return Problem(Reason.REJECTED, f"The broker refused: {error.message}", broker=broker)


@lru_cache(maxsize=1)
def get_quotes() -> Quotes:
    """The quotes of this process."""
    return Quotes(Router(pool_accounts))
