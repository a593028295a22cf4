"""What the market last said of a symbol: quotes, trades, snapshots of stocks and of options.

Everybody who asks within a second is answered by one call: kept in the process, shared by Redis
between processes, and the symbols that are asked for all the time are refreshed along with it.
"""

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
from opitios.core.coalesce import Coalesced, Kept, Shelf
from opitios.core.combine import Combined
from opitios.core.errors import Problem

# Seconds an answer is fresh: hundreds of programs asking together make one call in that time.
FRESH_OPEN, FRESH_CLOSED = 1.0, 15.0
# With the broker away an answer is shown, as `stale` and with its age, for so many seconds.
STALE_SECONDS = 60.0
# Symbols kept: about 12,000 stocks are listed, each in up to three feeds.
KEPT_SYMBOLS = 20_000
# A symbol asked for within so many seconds is refreshed along with others from half its time on; so
# many of them at the most.
HOT_SECONDS = 3.0
MOST_AHEAD = 200
# Symbols in one call: their names make its URL.
MOST_A_CALL = 400
# Questions answered by one call, and calls of one feed under way at once.
MOST_TOGETHER, AT_ONCE = 50, 2
# Somebody else's call has a head start; its whole time is enough for everybody who waits for it.
WAIT_SECONDS = LONGEST_SECONDS

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
        # By feed: the keys that were asked for lately.
        self._hot: Mapping[str, Shelf[None]] = {
            feed: Shelf(size=KEPT_SYMBOLS, keep_seconds=HOT_SECONDS) for feed in kind.feeds
        }
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
        self._note([key], feed)
        try:
            kept = self._fresh.kept(key) or self._load([symbol], feed)[key]
        except (BrokerError, NoDataAccount, TimeoutError) as error:
            return self._stale(symbol, feed, error)
        source = _source(kept, asked_at)
        ANSWERS.add((self.kind.name, source))
        return _shown(symbol, feed, kept, source)

    def known(self, symbol: str, feed: str, *, within_seconds: float) -> bytes | None:
        """The answer as it was last read here, if that is not longer ago; nothing is asked."""
        streamed = self._streamed(symbol, feed)
        if streamed is not None and streamed.age_ms <= within_seconds * 1000:
            return _shown(symbol, feed, streamed, "stream")
        last = self._last.find(self._key(symbol, feed))
        if last is None or last.age_ms > within_seconds * 1000:
            return None
        return _shown(symbol, feed, last, "cache")

    def many(self, symbols: Sequence[str], feed: str) -> tuple[dict[str, bytes], dict[str, Any]]:
        """Answer several symbols: what is there of each, and of the others why it is not.

        Raises Problem where there is nothing of any of them.
        """
        asked_at = clock.monotonic()
        told = ((symbol, self._streamed(symbol, feed)) for symbol in symbols)
        streamed = {symbol: kept for symbol, kept in told if kept is not None}
        found = {symbol: _shown(symbol, feed, kept, "stream") for symbol, kept in streamed.items()}
        others = [symbol for symbol in symbols if symbol not in streamed]
        self._note([self._key(symbol, feed) for symbol in others], feed)
        failed: Exception | None = None
        kept: Mapping[str, Kept[bytes]] = {}
        try:
            kept = self._load(others, feed)
        except (BrokerError, NoDataAccount, TimeoutError) as error:
            failed = error
        problems = {}
        for symbol in others:
            try:
                found[symbol] = self._one_of_many(symbol, feed, kept, asked_at, failed)
            except Problem as problem:
                problems[symbol] = problem
        if not found:
            raise next(iter(problems.values()))
        return found, {symbol: _error_json(each) for symbol, each in problems.items()}

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
            return _shown(symbol, feed, mine, _source(mine, asked_at))
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
        return self._fresh.get_many(
            [self._key(symbol, feed) for symbol in symbols],
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
        loaded = self._shared.load(
            wanted,
            lambda mine: self._ask(feed, mine),
            keep_seconds=self._keep_seconds,
            wait_seconds=WAIT_SECONDS,
        )
        self._last.put({key: kept for key, kept in loaded.items() if kept.value != NOTHING})
        # What was refreshed along the way goes to the cache with the first one's answer.
        more = {key: kept for key, kept in loaded.items() if key not in wanted}
        answers = [{key: loaded[key] for key in keys} for keys in questions]
        answers[0] |= more
        return list(answers)

    def _ask(self, feed: str, mine: Sequence[str]) -> dict[str, bytes]:
        """Ask the broker for these keys, and for what is hot besides."""
        keys = list(dict.fromkeys([*mine, *self._ahead(feed, room=MOST_A_CALL - len(mine))]))
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

    def _note(self, keys: Sequence[str], feed: str) -> None:
        asked = Kept(None, clock.monotonic())
        self._hot[feed].put(dict.fromkeys(keys, asked))

    def _ahead(self, feed: str, *, room: int) -> list[str]:
        """The keys of a feed that are asked for all the time, and are old or soon will be."""
        old = clock.monotonic() - self._keep_seconds / 2
        kept = ((key, self._fresh.kept(key)) for key in self._hot[feed].held())
        due = (key for key, answer in kept if answer is None or answer.at < old)
        return list(islice(due, max(0, min(room, MOST_AHEAD))))


def _symbol(key: str) -> str:
    return key.partition(" ")[0]


def _source(kept: Kept[bytes], asked_at: float) -> str:
    return "broker" if kept.at >= asked_at else "cache"


def _shown(symbol: str, feed: str, kept: Kept[bytes], source: str) -> bytes:
    if kept.value == NOTHING:
        raise unknown(symbol)
    # By hand: this is the answer of the hottest path, and all of it is plain ASCII words.
    ours = f',"feed":"{feed}","source":"{source}","age_ms":{kept.age_ms}}}'
    return b'{"symbol":"' + symbol.encode() + b'",' + kept.value[1:-1] + ours.encode()


def _error_json(problem: Problem) -> dict[str, str]:
    return {"reason": problem.reason.slug, "message": problem.detail}


def _is_blamed(symbol: str, error: Refused) -> bool:
    return error.message.endswith(f"invalid symbol: {symbol}")
