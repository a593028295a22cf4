"""When a run is ready, judged by the answer of `GET /api/v1/pool` (api.md §7)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

POOL = "/api/v1/pool?limit=500"


@dataclass(frozen=True, slots=True)
class Expected:
    """What must be there: every account warm, and every trading account's socket listening."""

    accounts: int
    trading: frozenset[str]
    web_workers: int


@dataclass(frozen=True, slots=True)
class Readiness:
    """What the pool says, counted. `warm_web` counts web workers that hold every client."""

    ready: int
    listening: int
    warm_web: int
    expected: Expected

    @property
    def is_ready(self) -> bool:
        """Whether the run may be used."""
        return (
            self.ready >= self.expected.accounts
            and self.listening >= len(self.expected.trading)
            and self.warm_web >= self.expected.web_workers
        )

    def __str__(self) -> str:
        return (
            f"{self.ready} of {self.expected.accounts} accounts warm, "
            f"{self.listening} of {len(self.expected.trading)} trade sockets listening, "
            f"{self.warm_web} of {self.expected.web_workers} web workers warm"
        )


def judge(pool: Mapping[str, Any], expected: Expected) -> Readiness:
    """Count what is ready in the pool's answer. Accounts of an earlier, larger run do not count."""
    accounts = [row for row in pool["accounts"] if row["state"] != "disabled"]
    return Readiness(
        ready=sum(row["state"] == "ready" for row in accounts),
        listening=len(expected.trading & set(_listening(accounts))),
        warm_web=sum(
            row["name"].startswith("web") and row["warm"] >= expected.accounts
            for row in pool["processes"]
        ),
        expected=expected,
    )


def _listening(accounts: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    for row in accounts:
        if (row.get("stream") or {}).get("state") == "listening":
            yield row["account_id"]
