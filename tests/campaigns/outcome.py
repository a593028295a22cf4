"""What the kill campaign was to do, what it did, and whether it held."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from opitios.core.failpoints import NAMES
from opitios.management.startup import OTHER_ACCOUNTS
from tests.campaigns.oracle import Findings
from tests.campaigns.outages import Outage
from tests.campaigns.traffic import WAITS, Told

# Everything must have an end so long after the last fault (issue: 60 s after healing).
HEAL_SECONDS = 60.0
# A failpoint that has ended so many processes is disarmed: the rest of its round goes on.
STRIKES = 4
# A crowded machine starts Postgres, the sandbox and five Pythons within this.
READY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How much a campaign does.

    `waits`: how long orders may wait to be sent, in seconds. `strikes`: how many processes a
    failpoint ends before it is disarmed.
    """

    orders: int
    kills: int
    accounts: int
    seed: int
    failpoints: tuple[str, ...] = NAMES
    waits: tuple[int | None, ...] = WAITS
    strikes: int = STRIKES


@dataclass(slots=True)
class Healing:
    """How long it took after the last fault until the gateway was ready, and until all was over."""

    ready_seconds: float | None
    settled_seconds: float | None


@dataclass(slots=True)
class Outcome:
    """What a campaign did and found."""

    plan: Plan
    findings: Findings
    told: Told
    healing: Healing
    verified: dict[str, Any]
    kills: dict[str, int]
    arming: dict[str, int]
    reached: dict[str, int]
    armed: dict[str, int]
    faults: dict[str, int]
    outages: list[Outage]
    restarts: int
    seconds: float = 0.0

    @property
    def disagreements(self) -> list[str]:
        """What did not hold, in words; with nothing here the campaign holds."""
        return [*self.findings.disagreements, *self._of_the_run()]

    def _of_the_run(self) -> Iterator[str]:
        if self.healing.ready_seconds is None:
            yield f"not ready {READY_SECONDS:.0f} s after the last fault"
        if self.healing.settled_seconds is None:
            yield f"not settled {HEAL_SECONDS:.0f} s after healing"
        if not self.verified["ok"]:
            yield f"the journals do not verify: {self.verified}"
        elif self.verified["journals"] < self.plan.accounts + OTHER_ACCOUNTS:
            yield f"only {self.verified['journals']} journals were verified"
        if sum(self.kills.values()) < self.plan.kills:
            yield f"{sum(self.kills.values())} kills instead of {self.plan.kills}"
        yield from self._of_what_was_answered()
        for name in (name for name, times in self.reached.items() if times == 0):
            yield f"nobody reached the failpoint {name}: nothing was shown of it"

    def _of_what_was_answered(self) -> Iterator[str]:
        for status, times in self.told.statuses.items():
            if status.startswith("5") and status != "503":
                yield f"{status} was answered {times} times (I12)"

    @property
    def holds(self) -> bool:
        """Whether nothing was lost, doubled or left without an end, and every chain verifies."""
        return not self.disagreements
