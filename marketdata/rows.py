"""The fresh last answers of one kind, written out as JSON, and which of them are asked for.

This is the hottest path: what is fresh is found without a lock, and lacks its age alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from marketdata.hours import Hours
from marketdata.kinds import Kind, symbol_of
from marketdata.refusals import unknown
from opitios.core import clock
from opitios.core.coalesce import Kept

# Seconds an answer is fresh: hundreds of programs asking together make one call in that time.
FRESH_OPEN, FRESH_CLOSED = 1.0, 15.0
# Symbols kept: about 12,000 stocks are listed, each in up to three feeds.
KEPT_SYMBOLS = 20_000
# A symbol asked for within so many seconds is refreshed along with others once this share of its
# time is over, so that all of them soon need one call together.
HOT_SECONDS, OLD_SHARE = 3.0, 0.25
# From this share of its time on whoever asks for a symbol has it refreshed, and does not wait.
AGAIN_SHARE = 0.75

# The broker knows no such symbol: this is kept as well.
NOTHING = b""


@dataclass(frozen=True, slots=True)
class Row:
    """A fresh answer, written out but for its source and age; with its symbol as key before it.

    `begin` is where the answer itself begins. `at`, `again_at` and `until` are when it came, from
    when on it is refreshed by whoever asks, and until when it is fresh, in monotonic seconds.
    """

    text: bytes
    begin: int
    at: float
    again_at: float
    until: float

    def alone(self, now: float) -> bytes:
        """Show it by itself."""
        return self.text[self.begin :] + _from_cache(now - self.at)


class Rows:
    """The fresh answers of one process. Safe to use from any thread."""

    def __init__(self, kind: Kind, hours: Hours) -> None:
        self._hours = hours
        # By key. A key is its symbol and, by feed, this.
        self._rows: dict[str, Row] = {}
        self._rest_of_key = {feed: kind.key("", feed) for feed in kind.feeds}
        # By feed: when a known key was asked for last. Written without a lock, a key at a time.
        self._asked: Mapping[str, dict[str, float]] = {feed: {} for feed in kind.feeds}

    @property
    def fresh_seconds(self) -> float:
        """How long an answer is fresh."""
        return self._hours.keep(FRESH_OPEN, FRESH_CLOSED)

    def put(self, feed: str, answers: Mapping[str, Kept[bytes]]) -> None:
        """Write out what came of a feed, by key."""
        fresh = self.fresh_seconds
        rows = {
            key: Row(
                _text(symbol := symbol_of(key), feed, kept),
                _begin(symbol),
                kept.at,
                kept.at + fresh * AGAIN_SHARE,
                kept.at + fresh,
            )
            for key, kept in answers.items()
        }
        if len(self._rows) > KEPT_SYMBOLS:
            # Those that are still fresh are written out when they are loaded again.
            self._rows = {}
        self._rows.update(rows)

    def find(self, symbol: str, feed: str, now: float) -> Row | None:
        """The row of a symbol while it is fresh."""
        row = self._rows.get(symbol + self._rest_of_key[feed])
        return row if row is not None and row.until > now else None

    def note_asked(self, symbol: str, feed: str, now: float) -> None:
        """Note that a symbol is asked for: it is loaded along with others."""
        self._asked[feed][symbol + self._rest_of_key[feed]] = now

    def ask(self, symbol: str, feed: str, now: float) -> Row | None:
        """As `find`; and that it is asked for is noted, if it is known."""
        row = self._rows.get(key := symbol + self._rest_of_key[feed])
        if row is None:
            return None
        self._asked[feed][key] = now
        return row if row.until > now else None

    def ask_all(
        self, symbols: Sequence[str], feed: str, now: float
    ) -> tuple[dict[str, bytes], str | None]:
        """As `ask`: the fresh rows as those of a map, and a symbol that is to be refreshed."""
        # One pass, a hundred times, with hardly a call: most came together, and are as old.
        asked, known, rest_of_key = self._asked[feed], self._rows, self._rest_of_key[feed]
        rows: dict[str, bytes] = {}
        at, end, due = -1.0, b"", None
        for symbol in symbols:
            row = known.get(key := symbol + rest_of_key)
            if row is None:
                continue
            asked[key] = now
            if row.until > now:
                if row.at != at:
                    at, end = row.at, _from_cache(now - row.at)
                    due = symbol if row.again_at < now else due
                rows[symbol] = row.text + end
        return rows, due

    def asked_lately(self, feed: str) -> list[str]:
        """The keys of a feed that were asked for in the last seconds; the others are forgotten."""
        since = clock.monotonic() - HOT_SECONDS
        asked = self._asked[feed]
        for key, at in asked.copy().items():
            if at < since:
                asked.pop(key, None)
        return list(asked.copy())

    def growing_old(self, feed: str, *, most: int) -> list[str]:
        """The keys of a feed that are asked for all the time, and are old or soon will be."""
        old = clock.monotonic() - self.fresh_seconds * OLD_SHARE
        known = ((key, self._rows.get(key)) for key in self.asked_lately(feed))
        due = (key for key, row in known if row is None or row.at < old)
        return list(islice(due, max(0, most)))


def shown(symbol: str, feed: str, kept: Kept[bytes], source: str) -> bytes:
    """Write an answer: Alpaca's keys, then feed, source and age (api.md §6). Raises Problem 404."""
    if kept.value == NOTHING:
        raise unknown(symbol)
    return in_a_map(symbol, feed, kept, source)[_begin(symbol) :]


def in_a_map(symbol: str, feed: str, kept: Kept[bytes], source: str) -> bytes:
    """Write an answer with its symbol as key before it."""
    return b'%s%s","age_ms":%d}' % (_text(symbol, feed, kept), source.encode(), kept.age_ms)


def _text(symbol: str, feed: str, kept: Kept[bytes]) -> bytes:
    """Write a row as far as its source. By hand: all of it is plain ASCII words."""
    name = symbol.encode()
    ours = b',"feed":"%s","source":"' % feed.encode()
    return b'"%s":{"symbol":"%s",%s%s' % (name, name, kept.value[1:-1], ours)


def _begin(symbol: str) -> int:
    """Where in a row the answer begins: after the symbol, its quotes and a colon."""
    return len(symbol) + 3


def _from_cache(age_seconds: float) -> bytes:
    """Write the rest of a row."""
    return b'cache","age_ms":%d}' % (age_seconds * 1000)
