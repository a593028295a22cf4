"""What the market last said of a symbol: quotes, trades, snapshots of stocks and of options.

Everybody who asks within a second is answered by one call: kept in the process, shared by Redis
between processes, and the symbols that are asked for all the time are refreshed along with it.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import msgspec

from marketdata.counters import ANSWERS
from marketdata.hours import Hours
from marketdata.live import Live
from marketdata.refusals import no_answer, refusal_of, unknown
from marketdata.routing import LONGEST_SECONDS, NoDataAccount, Router
from marketdata.shared import Shared
from opitios.broker.errors import BrokerError, Refused
from opitios.broker.port import Answer, DataPort
from opitios.core import clock
from opitios.core.coalesce import Coalesced, Kept, Shelf, loads_apart
from opitios.core.combine import Combined
from opitios.core.errors import Problem

# Seconds an answer is fresh: hundreds of programs asking together make one call in that time.
FRESH_OPEN, FRESH_CLOSED = 1.0, 15.0
# With the broker away an answer is shown, as `stale` and with its age, for so many seconds.
STALE_SECONDS = 60.0
# Symbols kept: about 12,000 stocks are listed, each in up to three feeds.
KEPT_SYMBOLS = 20_000
# A symbol asked for within so many seconds is refreshed along with others once this share of its
# time is over, so that all of them soon need one call together; so many of them at the most.
HOT_SECONDS, OLD_SHARE = 3.0, 0.25
MOST_AHEAD = 200
# From this share of its time on whoever asks for a symbol has it refreshed, and does not wait.
AGAIN_SHARE = 0.75
# Symbols in one call: their names make its URL.
MOST_A_CALL = 400
# Questions answered by one call, and calls of one feed under way at once.
MOST_TOGETHER, AT_ONCE = 50, 2
# Somebody else's call has a head start; its whole time is enough for everybody who waits for it.
WAIT_SECONDS = LONGEST_SECONDS

# Who misses what a call under way takes along waits so long for it.
COMING_SECONDS = 1.0
# Who has an older answer to show waits so long for a new one.
PATIENCE_SECONDS = 0.5

# The broker knows no such symbol: this is kept as well.
NOTHING = b""


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


@dataclass(frozen=True, slots=True)
class _Row:
    """A fresh answer, written out but for its source and age; with its symbol as key before it.

    `at`, `again_at` and `until` are when it came, from when on it is refreshed by whoever asks, and
    until when it is fresh, in monotonic seconds.
    """

    symbol: str
    text: bytes
    at: float
    again_at: float
    until: float

    def alone(self, now: float) -> bytes:
        """Show it by itself."""
        return self.text[len(self.symbol) + 3 :] + _from_cache(now - self.at)


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
        self._live = live
        self._router = router
        self._shared = shared
        self._hours = hours
        self._fresh: Coalesced[bytes] = Coalesced(
            size=KEPT_SYMBOLS, keep_seconds=lambda _key: self._keep_seconds
        )
        # For when the broker is away.
        self._last: Shelf[bytes] = Shelf(size=KEPT_SYMBOLS, keep_seconds=STALE_SECONDS)
        # The fresh ones once more, ready to be shown: this is the hottest path, and takes no lock.
        self._ready: dict[str, _Row] = {}
        # What calls under way take along, and when they are done.
        self._coming: dict[str, threading.Event] = {}
        self._refreshing = {feed: threading.Lock() for feed in kind.feeds}
        # By feed: when a known key was asked for last. Written without a lock, a key at a time.
        self._hot: Mapping[str, dict[str, float]] = {feed: {} for feed in kind.feeds}
        self._together = {feed: self._combined(feed) for feed in kind.feeds}

    @property
    def _keep_seconds(self) -> float:
        return self._hours.keep(FRESH_OPEN, FRESH_CLOSED)

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
            return _shown(symbol, feed, streamed, "stream")
        asked_at = clock.monotonic()
        key = self._key(symbol, feed)
        row = self._ready.get(key)
        if row is not None:
            # Not the first to ask for it.
            self._hot[feed][key] = asked_at
            if row.until > asked_at:
                if row.again_at < asked_at:
                    self._refresh(feed, key)
                ANSWERS.add((self.kind.name, "cache"))
                return row.alone(asked_at)
        try:
            kept = self._fresh.kept(key) or self._load([symbol], feed)[key]
        except (BrokerError, NoDataAccount, TimeoutError) as error:
            return self._stale(symbol, feed, error)
        source = _source(kept, asked_at)
        ANSWERS.add((self.kind.name, source))
        return _shown(symbol, feed, kept, source)

    def at_hand(self, symbol: str, feed: str) -> tuple[bytes, str] | None:
        """What `one` would answer without asking anybody, and its source; None where it must ask.

        Nothing is noted: whether it may be answered may still be judged.
        """
        if self._live is not None and self.kind.channel is not None:
            streamed = self._live.present(self.kind.channel, symbol, feed)
            if streamed is not None:
                return _shown(symbol, feed, streamed, "stream"), "stream"
        row, now = self._ready.get(self._key(symbol, feed)), clock.monotonic()
        return (row.alone(now), "cache") if row is not None and row.until > now else None

    def note_answer(self, symbol: str, feed: str, source: str) -> None:
        """Note what was at hand and is answered, as `one` does."""
        if self._live is not None and self.kind.channel is not None:
            self._live.want(self.kind.channel, symbol, feed)
        if source == "cache":
            self._hot[feed][self._key(symbol, feed)] = clock.monotonic()
        ANSWERS.add((self.kind.name, source))

    def known(self, symbol: str, feed: str, *, within_seconds: float) -> bytes | None:
        """The answer as it was last read here, if that is not longer ago; nothing is asked."""
        streamed = self._streamed(symbol, feed)
        if streamed is not None and streamed.age_ms <= within_seconds * 1000:
            return _shown(symbol, feed, streamed, "stream")
        last = self._last.find(self._key(symbol, feed))
        if last is None or last.age_ms > within_seconds * 1000:
            return None
        return _shown(symbol, feed, last, "cache")

    def many(self, symbols: Sequence[str], feed: str) -> tuple[bytes, dict[str, Any]]:
        """Answer several symbols: what is there of each, and of the others why it is not.

        The first is the inside of a JSON object by symbol. Raises Problem where there is nothing of
        any of them.
        """
        asked_at = clock.monotonic()
        rows = self._at_hand(symbols, feed, asked_at)
        missing = [symbol for symbol in symbols if symbol not in rows]
        if not missing:
            return b",".join(rows.values()), {}
        found, problems = self._some_of_many(missing, feed, asked_at)
        if not (found or rows):
            raise next(iter(problems.values()))
        rows |= {symbol: b'"%s":%s' % (symbol.encode(), row) for symbol, row in found.items()}
        told = b",".join([rows[symbol] for symbol in symbols if symbol in rows])
        return told, {symbol: _error_json(each) for symbol, each in problems.items()}

    def _at_hand(self, symbols: Sequence[str], feed: str, asked_at: float) -> dict[str, bytes]:
        """What the live feed tells of them, and what is kept and fresh, as rows of a map."""
        streamed = self._all_streamed(symbols, feed)
        rows = {
            symbol: _in_a_map(symbol, feed, kept, "stream") for symbol, kept in streamed.items()
        }
        ANSWERS.add((self.kind.name, "stream"), by=len(rows))
        others = [symbol for symbol in symbols if symbol not in rows] if rows else symbols
        return rows | self._kept_rows(others, feed, asked_at)

    def _kept_rows(self, symbols: Sequence[str], feed: str, asked_at: float) -> dict[str, bytes]:
        # One pass, a hundred times, with hardly a call: most came together, and are as old.
        hot, ready, of_kind = self._hot[feed], self._ready, f" {feed} {self.kind.name}"
        rows: dict[str, bytes] = {}
        at, end, due = -1.0, b"", None
        for symbol in symbols:
            row = ready.get(key := symbol + of_kind)
            if row is None:
                continue
            hot[key] = asked_at
            if row.until > asked_at:
                if row.at != at:
                    at, end = row.at, _from_cache(asked_at - row.at)
                    due = key if row.again_at < asked_at else due
                rows[symbol] = row.text + end
        if due is not None:
            self._refresh(feed, due)
        ANSWERS.add((self.kind.name, "cache"), by=len(rows))
        return rows

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
        mine = kept.get(self._key(symbol, feed)) or self._fresh.kept(self._key(symbol, feed))
        if mine is not None:
            source = _source(mine, asked_at)
            ANSWERS.add((self.kind.name, source))
            return _shown(symbol, feed, mine, source)
        return self._stale(symbol, feed, failed or TimeoutError())

    def _stale(self, symbol: str, feed: str, error: Exception) -> bytes:
        stale = self._last_known(symbol, feed)
        if stale is None or isinstance(error, Refused):
            raise refusal_of(error, symbol, self.kind.name) from error
        ANSWERS.add((self.kind.name, "stale"))
        return _shown(symbol, feed, stale, "stale")

    def _streamed(self, symbol: str, feed: str) -> Kept[bytes] | None:
        """The present price as the live feed told it; None where it cannot be known."""
        if self._live is None or self.kind.channel is None:
            return None
        return self._live.find(self.kind.channel, symbol, feed)

    def _all_streamed(self, symbols: Sequence[str], feed: str) -> dict[str, Kept[bytes]]:
        if self._live is None or self.kind.channel is None:
            return {}
        told = ((symbol, self._streamed(symbol, feed)) for symbol in symbols)
        return {symbol: kept for symbol, kept in told if kept is not None}

    def _last_known(self, symbol: str, feed: str) -> Kept[bytes] | None:
        """The newest word of a symbol that is not too old to be shown."""
        read = self._last.find(self._key(symbol, feed))
        if self._live is None or self.kind.channel is None:
            return read
        heard = self._live.last(self.kind.channel, symbol, feed)
        if heard is None or heard.age_ms > STALE_SECONDS * 1000:
            return read
        return heard if read is None or heard.at > read.at else read

    def _load(self, symbols: Sequence[str], feed: str) -> dict[str, Kept[bytes]]:
        keys = [self._key(symbol, feed) for symbol in symbols]
        if all(self._last_known(symbol, feed) is not None for symbol in symbols):
            # Shown as stale rather than waited for: a broker that hangs holds nobody up.
            return self._fresh.get_soon(keys, self._together[feed], patience=PATIENCE_SECONDS)
        return self._fresh.get_many(
            keys,
            self._together[feed],
            wait_seconds=WAIT_SECONDS,
        )

    def _combined(self, feed: str) -> "Combined[Sequence[str], Mapping[str, Kept[bytes]]]":
        return Combined(
            lambda questions: self._load_together(feed, questions),
            most=MOST_TOGETHER,
            at_once=AT_ONCE,
            divides=lambda error: isinstance(error, Refused),
        )

    def _load_together(
        self, feed: str, questions: Sequence[Sequence[str]]
    ) -> list[Mapping[str, Kept[bytes]]]:
        """Answer what several threads miss by one look at Redis and one call."""
        wanted = list(dict.fromkeys(key for keys in questions for key in keys))
        loaded = self._brought(wanted)
        left = [key for key in wanted if key not in loaded]
        if left:
            loaded |= self._load_left(feed, left)
        # What was refreshed along the way goes to the cache with the first one's answer.
        more = {key: kept for key, kept in loaded.items() if key not in wanted}
        answers = [{key: loaded[key] for key in keys} for keys in questions]
        answers[0] |= more
        return list(answers)

    def _load_left(self, feed: str, left: Sequence[str]) -> dict[str, Kept[bytes]]:
        done = threading.Event()
        try:
            loaded = self._shared.load(
                left,
                lambda mine: self._ask(feed, mine, done),
                # Other processes refresh it when we do: one of them asks.
                keep_seconds=self._keep_seconds * AGAIN_SHARE,
                wait_seconds=WAIT_SECONDS,
            )
            there = {key: kept for key, kept in loaded.items() if kept.value != NOTHING}
            self._last.put(there)
            self._make_ready(feed, there)
        finally:
            for key in [key for key, call in self._coming.copy().items() if call is done]:
                self._coming.pop(key, None)
            done.set()
        return loaded

    def _refresh(self, feed: str, key: str) -> None:
        """Load it, and what else is due, on a thread apart; one such load a feed at a time."""
        if self._refreshing[feed].acquire(blocking=False):
            loads_apart().submit(self._refresh_now, feed, key)

    def _refresh_now(self, feed: str, key: str) -> None:
        try:
            self._fresh.keep(self._load_left(feed, [key]))
        finally:
            # Where it failed the router has said so, and who asks when it is old hears why.
            self._refreshing[feed].release()

    def _brought(self, wanted: Sequence[str]) -> dict[str, Kept[bytes]]:
        """Wait a moment for what calls under way take along; what they, or the last, brought."""
        calls = {call for key in wanted if (call := self._coming.get(key)) is not None}
        until = clock.monotonic() + COMING_SECONDS
        for call in calls:
            call.wait(max(0.0, until - clock.monotonic()))
        fresh_since = clock.monotonic() - self._keep_seconds
        brought = ((key, self._last.find(key)) for key in wanted)
        return {key: kept for key, kept in brought if kept is not None and kept.at > fresh_since}

    def _ask(self, feed: str, mine: Sequence[str], done: threading.Event) -> dict[str, bytes]:
        """Ask the broker for these keys, and for what is hot besides; `done` is when it is here."""
        ahead = self._ahead(feed, room=MOST_A_CALL - len(mine))
        self._coming.update(dict.fromkeys(ahead, done))
        keys = list(dict.fromkeys([*mine, *ahead]))
        answers: dict[str, bytes] = {}
        for start in range(0, len(keys), MOST_A_CALL):
            symbols = [_symbol(key) for key in keys[start : start + MOST_A_CALL]]
            found = self._call(symbols, feed)
            answers |= {self._key(symbol, feed): found.get(symbol, NOTHING) for symbol in symbols}
        return answers

    def _call(self, symbols: Sequence[str], feed: str) -> dict[str, bytes]:
        """Make one call; a symbol that the broker calls invalid is unknown, the others are not."""
        left = list(symbols)
        while left:
            try:
                return self._router.ask(lambda account: self._read(account.data, left, feed))
            except Refused as error:
                bad = next((each for each in left if _is_blamed(each, error)), None)
                if bad is None:
                    raise
                left.remove(bad)
        return {}

    def _read(self, port: DataPort, symbols: Sequence[str], feed: str) -> dict[str, bytes]:
        """Ask one account. Raises BrokerError, also where its answer is none of this kind."""
        answer = self.kind.read(port, symbols, feed)
        try:
            return {
                symbol: msgspec.json.encode(msgspec.convert(told, self.kind.shape))
                for symbol, told in self._told(answer).items()
                if symbol in symbols
            }
        except msgspec.ValidationError as error:
            raise no_answer(answer, error) from error

    def _told(self, answer: Answer) -> Mapping[str, Any]:
        body = answer.body if self.kind.wrapper is None else answer.body.get(self.kind.wrapper)
        return {} if body is None else msgspec.convert(body, dict[str, Any])

    def _key(self, symbol: str, feed: str) -> str:
        # Of its kind too: kinds share one Redis.
        return f"{symbol} {feed} {self.kind.name}"

    def _make_ready(self, feed: str, loaded: Mapping[str, Kept[bytes]]) -> None:
        keep = self._keep_seconds
        rows = {
            key: _Row(
                _symbol(key),
                _text(_symbol(key), feed, kept),
                kept.at,
                kept.at + keep * AGAIN_SHARE,
                kept.at + keep,
            )
            for key, kept in loaded.items()
        }
        if len(self._ready) > KEPT_SYMBOLS:
            # What is still fresh stands in the cache as well.
            self._ready = {}
        self._ready.update(rows)

    def _lately(self, feed: str) -> list[str]:
        """The keys of a feed that were asked for in the last seconds; the others are forgotten."""
        since = clock.monotonic() - HOT_SECONDS
        asked = self._hot[feed]
        for key, at in asked.copy().items():
            if at < since:
                asked.pop(key, None)
        return list(asked.copy())

    def _ahead(self, feed: str, *, room: int) -> list[str]:
        """The keys of a feed that are asked for all the time, and are old or soon will be."""
        old = clock.monotonic() - self._keep_seconds * OLD_SHARE
        kept = ((key, self._ready.get(key)) for key in self._lately(feed))
        due = (key for key, row in kept if row is None or row.at < old)
        return list(islice(due, max(0, min(room, MOST_AHEAD))))


def _symbol(key: str) -> str:
    return key.partition(" ")[0]


def _source(kept: Kept[bytes], asked_at: float) -> str:
    return "broker" if kept.at >= asked_at else "cache"


def _shown(symbol: str, feed: str, kept: Kept[bytes], source: str) -> bytes:
    if kept.value == NOTHING:
        raise unknown(symbol)
    return _in_a_map(symbol, feed, kept, source)[len(symbol) + 3 :]


def _from_cache(age_seconds: float) -> bytes:
    return b'cache","age_ms":%d}' % (age_seconds * 1000)


def _in_a_map(symbol: str, feed: str, kept: Kept[bytes], source: str) -> bytes:
    return b'%s%s","age_ms":%d}' % (_text(symbol, feed, kept), source.encode(), kept.age_ms)


def _text(symbol: str, feed: str, kept: Kept[bytes]) -> bytes:
    """Write an answer as far as its source. By hand: all of it is plain ASCII words."""
    name = symbol.encode()
    ours = b',"feed":"%s","source":"' % feed.encode()
    return b'"%s":{"symbol":"%s",%s%s' % (name, name, kept.value[1:-1], ours)


def _error_json(problem: Problem) -> dict[str, str]:
    return {"reason": problem.reason.slug, "message": problem.detail}


def _is_blamed(symbol: str, error: Refused) -> bool:
    return error.message.endswith(f"invalid symbol: {symbol}")
