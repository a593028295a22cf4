"""When a run is ready, judged by the answer of `GET /api/v1/pool` (api.md §7)."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from opitios.management import paper
from opitios.management.gateway import Answer, Gateway

# Accounts in as few answers as can be; and their number by state, which costs little.
POOL = "/api/v1/pool?limit=500"
SUMMARY = "/api/v1/pool?limit=1"


def read_pool(gateway: Gateway) -> Answer:
    """Ask for all accounts of the pool, page after page. Raises NoAnswerError."""
    answer = whole = gateway.get(POOL)
    while token := answer.body.get("next_page_token"):
        answer = gateway.get(f"{POOL}&page_token={token}")
        if "accounts" not in answer.body:
            return answer
        accounts = [*whole.body["accounts"], *answer.body["accounts"]]
        whole = Answer(whole.status, whole.body | {"accounts": accounts})
    return whole


@dataclass(frozen=True, slots=True)
class Expected:
    """What must be there: every account warm, and every trading account's socket listening.

    desks: so many share the accounts evenly.
    """

    accounts: int
    trading: frozenset[str]
    web_workers: int
    desks: int = 1


@dataclass(frozen=True, slots=True)
class Readiness:
    """What the pool says, counted. `warm_web` counts web workers that hold every client.

    shares: how many accounts each desk owns.
    """

    ready: int
    listening: int
    warm_web: int
    shares: tuple[int, ...]
    expected: Expected

    @property
    def is_ready(self) -> bool:
        """Whether the run may be used."""
        return (
            self.ready >= self.expected.accounts
            and self.listening >= len(self.expected.trading)
            and self.warm_web >= self.expected.web_workers
            and self.is_shared
        )

    @property
    def is_shared(self) -> bool:
        """Whether every account has a desk, all desks have some, and none more than its share."""
        expected = self.expected
        # Those that do not count (the operator's own) have a desk like the others.
        share = -(-max(expected.accounts, sum(self.shares)) // expected.desks)
        are_owned = sum(self.shares) >= expected.accounts
        return are_owned and len(self.shares) >= expected.desks and max(self.shares) <= share

    def __str__(self) -> str:
        desks = f"{len(self.shares)} of {self.expected.desks} desks at work, "
        return (
            f"{desks if self.expected.desks > 1 else ''}"
            f"{self.ready} of {self.expected.accounts} accounts warm, "
            f"{self.listening} of {len(self.expected.trading)} trade sockets listening, "
            f"{self.warm_web} of {self.expected.web_workers} web workers warm"
        )


def feed_in_words(pool: Mapping[str, Any]) -> str:
    """What the live feed carries, to be added to a sentence; empty where nobody listens."""
    feeds = [row["feed"] for row in pool["processes"] if row.get("feed", {}).get("sockets")]
    if not feeds:
        return ""
    sockets, symbols = (sum(each[name] for each in feeds) for name in ("sockets", "symbols"))
    ages = [each["last_tick_age_ms"] for each in feeds if each["last_tick_age_ms"] is not None]
    last = f", last tick {min(ages) / 1000:.1f} s ago" if ages and symbols else ""
    return f", {sockets} data sockets with {symbols} symbols{last}"


@dataclass(frozen=True, slots=True)
class Glance:
    """The pool's sums: how many accounts are warm, and the sums in words."""

    ready: int
    said: str

    @classmethod
    def of(cls, pool: Mapping[str, Any]) -> "Glance":
        """Read them out of the pool's answer. Processes tell of their sockets each 5 s."""
        summary = pool["summary"]
        streams = sum(row.get("streams", 0) for row in pool["processes"])
        said = f"{summary['ready']} of {summary['accounts']} accounts warm, {streams} trade sockets"
        return cls(summary["ready"], said + feed_in_words(pool))

    def __str__(self) -> str:
        return self.said


def judge(pool: Mapping[str, Any], expected: Expected) -> Readiness:
    """Count what is ready in the pool's answer. Accounts of an earlier, larger run do not count."""
    accounts = [row for row in pool["accounts"] if row["state"] != "disabled"]
    return Readiness(
        # Nobody knows whether Alpaca can be reached from here: the operator's own does not count.
        ready=sum(
            row["state"] == "ready" for row in accounts if row["account_id"] != paper.ACCOUNT
        ),
        listening=len(expected.trading & set(_listening(accounts))),
        warm_web=sum(
            row["name"].startswith("web") and row["warm"] >= expected.accounts
            for row in pool["processes"]
        ),
        shares=tuple(Counter(_owners(accounts)).values()),
        expected=expected,
    )


def _listening(accounts: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    for row in accounts:
        if (row.get("stream") or {}).get("state") == "listening":
            yield row["account_id"]


def _owners(accounts: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    for row in accounts:
        owner = (row.get("stream") or {}).get("owner")
        if owner is not None:
            yield owner
