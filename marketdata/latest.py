"""What the market last said of a symbol: quotes, trades, snapshots of stocks and of options.

Answered by the live feed where that can be believed, else from what is kept (rows.py), else by the
broker (loads.py): everybody who asks within a second by one call.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from marketdata.counters import ANSWERS
from marketdata.hours import Hours
from marketdata.kinds import Kind
from marketdata.live import Live
from marketdata.loads import STALE_SECONDS, Loads
from marketdata.refusals import refusal_of
from marketdata.routing import NoDataAccount, Router
from marketdata.rows import Rows, in_a_map, shown
from marketdata.shared import Shared
from opitios.broker.errors import BrokerError, Refused
from opitios.core import clock
from opitios.core.coalesce import Kept
from opitios.core.errors import Problem


class Latest:
    """The last answers of one kind in one process. Safe to use from any thread."""

    def __init__(
        self,
        kind: Kind,
        router: Router,
        shared: Shared,
        hours: Hours,
        live: Live | None = None,
    ) -> None:
        """`live`: where a price of the feed may be found instead; None: nowhere."""
        self.kind = kind
        self.rows = Rows(kind, hours)
        self.loads = Loads(kind, router, shared, self.rows)
        self._live = live if kind.channel is not None else None
        self._channel = kind.channel or ""

    def one(self, symbol: str, feed: str) -> bytes:
        """Answer one symbol: Alpaca's keys, then feed, source and age (api.md §6), as JSON.

        `source`: `stream` where the live feed told it, `broker` where the call was made for this
        question, `cache`, or `stale`; `age_ms` runs from the broker's word. The caller holds no
        database connection: this may wait.
        Raises Problem: 404 unknown-symbol, 503 broker-unavailable, the broker's own refusal.
        """
        streamed = self._streamed(symbol, feed)
        if streamed is not None:
            ANSWERS.add((self.kind.name, "stream"))
            return shown(symbol, feed, streamed, "stream")
        asked_at = clock.monotonic()
        row = self.rows.ask(symbol, feed, asked_at)
        if row is not None:
            if row.again_at < asked_at:
                self.loads.refresh(symbol, feed)
            ANSWERS.add((self.kind.name, "cache"))
            return row.alone(asked_at)
        key = self.kind.key(symbol, feed)
        try:
            kept = self.loads.fresh(key) or self._load([symbol], feed)[key]
        except (BrokerError, NoDataAccount, TimeoutError) as error:
            return self._stale(symbol, feed, error)
        return self._answered(symbol, feed, kept, asked_at)

    def at_hand(self, symbol: str, feed: str) -> tuple[bytes, str] | None:
        """What `one` would answer without asking anybody, and its source; None where it must ask.

        Nothing is noted: whether it may be answered may still be judged.
        """
        if self._live is not None:
            streamed = self._live.present(self._channel, symbol, feed)
            if streamed is not None:
                return shown(symbol, feed, streamed, "stream"), "stream"
        now = clock.monotonic()
        row = self.rows.find(symbol, feed, now)
        return None if row is None else (row.alone(now), "cache")

    def note_answer(self, symbol: str, feed: str, source: str) -> None:
        """Note what was at hand and is answered, as `one` does."""
        if self._live is not None:
            self._live.want(self._channel, symbol, feed)
        if source == "cache":
            self.rows.note_asked(symbol, feed, clock.monotonic())
        ANSWERS.add((self.kind.name, source))

    def known(self, symbol: str, feed: str, *, within_seconds: float) -> bytes | None:
        """The answer as it was last read here, if that is not longer ago; nothing is asked."""
        streamed = self._streamed(symbol, feed)
        if streamed is not None and streamed.age_ms <= within_seconds * 1000:
            return shown(symbol, feed, streamed, "stream")
        last = self.loads.last(self.kind.key(symbol, feed))
        if last is None or last.age_ms > within_seconds * 1000:
            return None
        return shown(symbol, feed, last, "cache")

    def many(self, symbols: Sequence[str], feed: str) -> tuple[bytes, dict[str, Any]]:
        """Answer several symbols: what is there of each, and of the others why it is not.

        The first is the inside of a JSON object by symbol. Raises Problem where there is nothing of
        any of them.
        """
        asked_at = clock.monotonic()
        rows = self._all_at_hand(symbols, feed, asked_at)
        missing = [symbol for symbol in symbols if symbol not in rows]
        if not missing:
            return b",".join(rows.values()), {}
        found, problems = self._some_of_many(missing, feed, asked_at)
        if not (found or rows):
            raise next(iter(problems.values()))
        rows |= {symbol: b'"%s":%s' % (symbol.encode(), row) for symbol, row in found.items()}
        told = b",".join([rows[symbol] for symbol in symbols if symbol in rows])
        return told, {symbol: _error_json(each) for symbol, each in problems.items()}

    def _all_at_hand(self, symbols: Sequence[str], feed: str, asked_at: float) -> dict[str, bytes]:
        """What the live feed tells of them, and what is kept and fresh, as rows of a map."""
        streamed = self._all_streamed(symbols, feed)
        rows = {symbol: in_a_map(symbol, feed, kept, "stream") for symbol, kept in streamed.items()}
        ANSWERS.add((self.kind.name, "stream"), by=len(rows))
        others = [symbol for symbol in symbols if symbol not in rows] if rows else symbols
        kept_rows, due = self.rows.ask_all(others, feed, asked_at)
        if due is not None:
            self.loads.refresh(due, feed)
        ANSWERS.add((self.kind.name, "cache"), by=len(kept_rows))
        return rows | kept_rows

    def _some_of_many(
        self, symbols: Sequence[str], feed: str, asked_at: float
    ) -> tuple[dict[str, bytes], dict[str, Problem]]:
        failed: Exception | None = None
        kept: Mapping[str, Kept[bytes]] = {}
        try:
            kept = self._load(symbols, feed)
        except (BrokerError, NoDataAccount, TimeoutError) as error:
            failed = error
        found, problems = {}, {}
        for symbol in symbols:
            try:
                found[symbol] = self._one_of_many(symbol, feed, kept, asked_at, failed)
            except Problem as problem:
                problems[symbol] = problem
        return found, problems

    def _one_of_many(
        self,
        symbol: str,
        feed: str,
        kept: Mapping[str, Kept[bytes]],
        asked_at: float,
        failed: Exception | None,
    ) -> bytes:
        key = self.kind.key(symbol, feed)
        mine = kept.get(key) or self.loads.fresh(key)
        if mine is not None:
            return self._answered(symbol, feed, mine, asked_at)
        return self._stale(symbol, feed, failed or TimeoutError())

    def _answered(self, symbol: str, feed: str, kept: Kept[bytes], asked_at: float) -> bytes:
        source = "broker" if kept.at >= asked_at else "cache"
        ANSWERS.add((self.kind.name, source))
        return shown(symbol, feed, kept, source)

    def _stale(self, symbol: str, feed: str, error: Exception) -> bytes:
        stale = self._last_known(symbol, feed)
        if stale is None or isinstance(error, Refused):
            raise refusal_of(error, symbol, self.kind.name) from error
        ANSWERS.add((self.kind.name, "stale"))
        return shown(symbol, feed, stale, "stale")

    def _load(self, symbols: Sequence[str], feed: str) -> Mapping[str, Kept[bytes]]:
        keys = [self.kind.key(symbol, feed) for symbol in symbols]
        if all(self._last_known(symbol, feed) is not None for symbol in symbols):
            # Shown as stale rather than waited for: a broker that hangs holds nobody up.
            return self.loads.get_soon(keys, feed)
        return self.loads.get(keys, feed)

    def _last_known(self, symbol: str, feed: str) -> Kept[bytes] | None:
        """The newest word of a symbol that is not too old to be shown."""
        read = self.loads.last(self.kind.key(symbol, feed))
        heard = self._live.last(self._channel, symbol, feed) if self._live is not None else None
        if heard is None or heard.age_ms > STALE_SECONDS * 1000:
            return read
        return heard if read is None or heard.at > read.at else read

    def _streamed(self, symbol: str, feed: str) -> Kept[bytes] | None:
        """The present price as the live feed told it; None where it cannot be known."""
        return None if self._live is None else self._live.find(self._channel, symbol, feed)

    def _all_streamed(self, symbols: Sequence[str], feed: str) -> dict[str, Kept[bytes]]:
        if self._live is None:
            return {}
        told = ((symbol, self._streamed(symbol, feed)) for symbol in symbols)
        return {symbol: kept for symbol, kept in told if kept is not None}


def _error_json(problem: Problem) -> dict[str, str]:
    return {"reason": problem.reason.slug, "message": problem.detail}
