"""How last answers come from the broker: one call for everybody who asks, hot symbols along.

Threads that miss the same symbol wait for one load, those that miss different ones share a call,
processes share what came by Redis, and what is asked for all the time is loaded along with it.
"""

import threading
from collections.abc import Mapping, Sequence

from marketdata.calls import MOST_A_CALL, call
from marketdata.kinds import Kind, symbol_of
from marketdata.routing import LONGEST_SECONDS, Router
from marketdata.rows import AGAIN_SHARE, KEPT_SYMBOLS, NOTHING, Rows
from marketdata.shared import Shared
from opitios.broker.errors import Refused
from opitios.core import clock
from opitios.core.coalesce import Coalesced, Kept, Shelf, loads_apart
from opitios.core.combine import Combined

# With the broker away an answer is shown, as `stale` and with its age, for so many seconds.
STALE_SECONDS = 60.0
# Symbols that a call takes along, at the most.
MOST_AHEAD = 200
# Questions answered by one call, and calls of one feed under way at once.
MOST_TOGETHER, AT_ONCE = 50, 2
# Somebody else's call has a head start; its whole time is enough for everybody who waits for it.
WAIT_SECONDS = LONGEST_SECONDS
# Who misses what a call under way takes along waits so long for it.
COMING_SECONDS = 1.0
# Who has an older answer to show waits so long for a new one.
PATIENCE_SECONDS = 0.5


class Loads:
    """The answers of one kind that one process has loaded. Safe to use from any thread.

    Answers are JSON objects in Alpaca's keys, or NOTHING.
    """

    def __init__(self, kind: Kind, router: Router, shared: Shared, rows: Rows) -> None:
        """`rows`: where what came is written out."""
        self._kind = kind
        self._router = router
        self._shared = shared
        self._rows = rows
        self._fresh: Coalesced[bytes] = Coalesced(
            size=KEPT_SYMBOLS, keep_seconds=lambda _key: rows.fresh_seconds
        )
        # For when the broker is away.
        self._last: Shelf[bytes] = Shelf(size=KEPT_SYMBOLS, keep_seconds=STALE_SECONDS)
        # What calls under way take along, and when they are done.
        self._coming: dict[str, threading.Event] = {}
        self._refreshing = {feed: threading.Lock() for feed in kind.feeds}
        self._together = {feed: self._combined(feed) for feed in kind.feeds}

    def fresh(self, key: str) -> Kept[bytes] | None:
        """The answer of a key while it is fresh."""
        return self._fresh.kept(key)

    def last(self, key: str) -> Kept[bytes] | None:
        """The last answer of a key that was one, while it may be shown as stale."""
        return self._last.find(key)

    def get(self, keys: Sequence[str], feed: str) -> dict[str, Kept[bytes]]:
        """Return an answer for each key; what is not fresh is loaded.

        Raises BrokerError, NoDataAccount, TimeoutError, and Problem 503 as Coalesced does.
        """
        return self._fresh.get_many(keys, self._together[feed], wait_seconds=WAIT_SECONDS)

    def get_soon(self, keys: Sequence[str], feed: str) -> dict[str, Kept[bytes]]:
        """As `get`, for who has older answers to show: waits PATIENCE_SECONDS at most."""
        return self._fresh.get_soon(keys, self._together[feed], patience=PATIENCE_SECONDS)

    def refresh(self, symbol: str, feed: str) -> None:
        """Load it, and what else is due, on a thread apart; one such load a feed at a time."""
        if self._refreshing[feed].acquire(blocking=False):
            loads_apart().submit(self._refresh_now, feed, self._kind.key(symbol, feed))

    def keep(self, feed: str, answers: Mapping[str, Kept[bytes]]) -> None:
        """Keep what came of a feed, by key, for everybody here who asks."""
        self._fresh.keep(answers)
        there = {key: kept for key, kept in answers.items() if kept.value != NOTHING}
        self._last.put(there)
        self._rows.put(feed, there)

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
            loaded |= self._load(feed, left)
        return [{key: loaded[key] for key in keys} for keys in questions]

    def _refresh_now(self, feed: str, key: str) -> None:
        try:
            self._load(feed, [key])
        finally:
            # Where it failed the router has said so, and who asks when it is old hears why.
            self._refreshing[feed].release()

    def _brought(self, wanted: Sequence[str]) -> dict[str, Kept[bytes]]:
        """Wait a moment for what calls under way take along; what they, or the last, brought."""
        calls = {done for key in wanted if (done := self._coming.get(key)) is not None}
        until = clock.monotonic() + COMING_SECONDS
        for done in calls:
            done.wait(max(0.0, until - clock.monotonic()))
        fresh_since = clock.monotonic() - self._rows.fresh_seconds
        brought = ((key, self._last.find(key)) for key in wanted)
        return {key: kept for key, kept in brought if kept is not None and kept.at > fresh_since}

    def _load(self, feed: str, keys: Sequence[str]) -> dict[str, Kept[bytes]]:
        """Take these from Redis or the broker, and keep them with what came along."""
        done = threading.Event()
        try:
            loaded = self._shared.load(
                keys,
                lambda mine: self._ask(feed, mine, done),
                # Other processes refresh it when we do: one of them asks.
                keep_seconds=self._rows.fresh_seconds * AGAIN_SHARE,
                wait_seconds=WAIT_SECONDS,
            )
            self.keep(feed, loaded)
        finally:
            for key in [key for key, call in self._coming.copy().items() if call is done]:
                self._coming.pop(key, None)
            done.set()
        return loaded

    def _ask(self, feed: str, mine: Sequence[str], done: threading.Event) -> dict[str, bytes]:
        """Ask the broker for these keys, and for what is hot besides; `done` is when it is here."""
        room = MOST_A_CALL - len(mine)
        ahead = self._rows.growing_old(feed, most=min(room, MOST_AHEAD))
        self._coming.update(dict.fromkeys(ahead, done))
        keys = list(dict.fromkeys([*mine, *ahead]))
        answers: dict[str, bytes] = {}
        for start in range(0, len(keys), MOST_A_CALL):
            part = keys[start : start + MOST_A_CALL]
            found = call(self._router, self._kind, [symbol_of(key) for key in part], feed)
            answers |= {key: found.get(symbol_of(key), NOTHING) for key in part}
        return answers
