"""Answers to whole questions: bars, chains, contracts, assets, clock and calendar.

Kept as the JSON they are, in the process and (unless they are large) in Redis; asked once for
everybody; shown stale while the broker is away.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import orjson

from accounts.pool import PooledAccount
from marketdata.counters import ANSWERS
from marketdata.hours import Hours
from marketdata.refusals import no_answer, refusal_of, unknown
from marketdata.routing import LONGEST_SECONDS, NoDataAccount, Router
from marketdata.shared import Shared
from opitios.broker.errors import BrokerError, NotFound, Refused
from opitios.broker.port import Answer
from opitios.core import clock
from opitios.core.coalesce import Coalesced, Kept, Shelf
from opitios.core.errors import Problem, Reason

# Bytes of fresh answers one process keeps; the list of all assets alone has 15 MB.
KEPT_BYTES = 64 * 1024 * 1024
# The broker knows no such thing: this is kept as well, or who asks again and again is a call each.
NOTHING = b"null"


@dataclass(frozen=True, slots=True)
class Keep:
    """How many seconds an answer is fresh (market open, closed), and shown while none is had."""

    opened: float
    closed: float
    stale: float


@dataclass(frozen=True, slots=True)
class Question:
    """One question to the broker.

    `name` and `about` make its key: everything that decides the answer. `ask` reads from one
    account; `shown` makes one JSON object of the broker's body, and raises msgspec's
    ValidationError where it is none. `symbol` is whom a "not found" is about. The broker answers no
    rows where there are none and where there is no such thing alike: `subject` is the question
    which tells that apart, None where no rows are an answer.
    """

    name: str
    about: Mapping[str, str]
    keep: Keep
    ask: Callable[[PooledAccount], Answer]
    shown: Callable[[Any], Mapping[str, Any]]
    symbol: str | None = None
    subject: "Question | None" = None

    @property
    def key(self) -> str:
        """The question as the caches know it."""
        return f"{self.name} {orjson.dumps(dict(sorted(self.about.items()))).decode()}"


class Reads:
    """The answers of one process. Safe to use from any thread."""

    def __init__(self, router: Router, shared: Shared, hours: Hours) -> None:
        self._router = router
        self._shared = shared
        self._hours = hours
        self._keeps: dict[str, Keep] = {}
        self._fresh: Coalesced[bytes] = Coalesced(
            size=KEPT_BYTES, keep_seconds=self._keep_seconds, weigh=len
        )
        # For when the broker is away.
        self._last: Shelf[bytes] = Shelf(
            size=KEPT_BYTES, keep_seconds=lambda key: self._keeps[_name(key)].stale, weigh=len
        )

    def answer(self, question: Question) -> dict[str, Any]:
        """Answer as Alpaca does, with `source` and `age_ms`; values may be raw JSON.

        The caller holds no database connection: this may wait. Raises Problem: 404 unknown-symbol,
        503 broker-unavailable, the broker's own refusal.
        """
        self._keeps.setdefault(question.name, question.keep)
        asked_at = clock.monotonic()
        try:
            kept = self._load(question)
            source = "broker" if kept.at >= asked_at else "cache"
        except (BrokerError, NoDataAccount, TimeoutError) as error:
            kept, source = self._stale(question, error), "stale"
        if kept.value == NOTHING:
            raise unknown(question.symbol or question.name, question.name)
        parts = _parts(kept)
        if question.subject is not None and _has_no_rows(parts):
            self._find(question.subject)
        ANSWERS.add((question.name, source))
        return _shown(parts, kept, source)

    def _stale(self, question: Question, error: Exception) -> Kept[bytes]:
        stale = None if isinstance(error, Refused) else self._last.find(question.key)
        if stale is None:
            raise refusal_of(error, question.symbol, question.name) from error
        return stale

    def _find(self, subject: Question) -> None:
        """Raises Problem 404 where there is no such thing; whoever cannot tell lets it pass."""
        try:
            self.answer(subject)
        except Problem as problem:
            if problem.reason is Reason.UNKNOWN_SYMBOL:
                raise

    def _load(self, question: Question) -> Kept[bytes]:
        loaded = self._fresh.get_many(
            [question.key],
            lambda _: self._ask_together(question),
            wait_seconds=LONGEST_SECONDS,
        )
        return loaded[question.key]

    def _ask_together(self, question: Question) -> dict[str, Kept[bytes]]:
        loaded = self._shared.load(
            [question.key],
            lambda _: {question.key: self._router.ask(lambda account: _read(question, account))},
            keep_seconds=self._keep_seconds(question.key),
            wait_seconds=LONGEST_SECONDS,
        )
        self._last.put(loaded)
        return loaded

    def _keep_seconds(self, key: str) -> float:
        keep = self._keeps[_name(key)]
        return self._hours.keep(keep.opened, keep.closed)


def _name(key: str) -> str:
    return key.partition(" {")[0]


def _read(question: Question, account: PooledAccount) -> bytes:
    try:
        answer = question.ask(account)
    except NotFound:
        if question.symbol is None:
            raise
        return NOTHING
    try:
        return orjson.dumps(question.shown(answer.body), default=float)
    except (msgspec.ValidationError, TypeError) as error:
        raise no_answer(answer, error) from error


def _parts(kept: Kept[bytes]) -> dict[str, bytes]:
    """Take the answer apart without reading it: its own keys, their values as they are."""
    parts = msgspec.json.decode(kept.value, type=dict[str, msgspec.Raw])
    return {name: bytes(value) for name, value in parts.items()}


def _has_no_rows(parts: Mapping[str, bytes]) -> bool:
    return any(value in (b"[]", b"{}") for value in parts.values())


def _shown(parts: Mapping[str, bytes], kept: Kept[bytes], source: str) -> dict[str, Any]:
    raw = {name: orjson.Fragment(value) for name, value in parts.items()}
    return {**raw, "source": source, "age_ms": kept.age_ms}
