"""Does an answer's time tell what the answer does not?

Measured by tests/campaigns/timed_answers.py, in its own process and on servers of its own.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.campaigns import apart
from tests.campaigns.evidence import origin

MEASURED = "tests/campaigns/timed_answers.py"
# reliability.md H179: p above this for each pair of what must look the same, of so many samples.
LEAST_P = 0.01
SAMPLES = 5000
PAIRS = 4
# One pair in a hundred falls below by chance: it is measured again, afresh, and judged by that.
# What really differs differs again.
TRIES = 3


@dataclass(frozen=True, slots=True)
class Plan:
    """Samples of each side of a pair, and the seed of their order."""

    samples: int
    seed: int


def campaign(plan: Plan, advance: Callable[[int], None]) -> dict[str, Any]:
    """Measure; the evidence: each pair's p and medians, and whether all of them hold."""
    told = {"OPITIOS_TIMING": json.dumps({"samples": plan.samples, "seed": plan.seed})}
    argv = (MEASURED, "--timeout=3600")
    met = apart.run(argv, told, lambda now: advance(now.get("pairs_done", 0)))
    pairs: dict[str, dict[str, Any]] = met.evidence.get("pairs", {})
    failed = [f"{pair}: p = {found['p']:.2g}" for pair, found in pairs.items()
              if found["p"] <= LEAST_P]  # fmt: skip
    broken = [] if met.passed and pairs else met.said
    return {
        "campaign": "timing",
        "holds": not failed and not broken,
        "seed": plan.seed,
        **origin(),
        "samples_of_each": plan.samples,
        "least_p": LEAST_P,
        "pairs": pairs,
        "disagreements": failed + broken,
    }
