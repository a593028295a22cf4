"""The long form of the lifecycles: as many as fit in, by the very test that `make test` runs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from opitios.core import clock
from tests.campaigns import apart
from tests.campaigns.evidence import origin

TEST = "tests/trading/test_lifecycles_against_a_model.py"
# So few show little: a machine on which no more fit in is too slow for this.
FEWEST = 200


@dataclass(frozen=True, slots=True)
class Plan:
    """How many lives at most, for how long at most, and which."""

    lives: int
    seconds: float
    seed: int


def campaign(plan: Plan, advance: Callable[[int], None]) -> dict[str, Any]:
    """Run the lives; the evidence: what was met, and whether all of them held."""
    began = clock.monotonic()
    told = {
        "OPITIOS_LIFECYCLES": str(plan.lives),
        "OPITIOS_LIFECYCLES_SECONDS": str(plan.seconds),
    }
    argv = (TEST, f"--hypothesis-seed={plan.seed}")
    met = apart.run(argv, told, lambda now: advance(now.get("lives", 0)))
    holds = met.passed and met.evidence.get("lives", 0) >= min(plan.lives, FEWEST)
    return {
        "campaign": "lifecycles",
        "holds": holds,
        "seed": plan.seed,
        **origin(),
        "lives_at_most": plan.lives,
        "met": met.evidence,
        "seconds": round(clock.monotonic() - began, 1),
        "disagreements": [] if holds else met.said,
    }
