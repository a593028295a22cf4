"""Does an answer's time tell what the answer does not?

Measured by tests/campaigns/timed_answers.py, in its own process and on servers of its own.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.campaigns.evidence import ROOT, origin

MEASURED = "tests/campaigns/timed_answers.py"
# reliability.md H179: p above this for each pair of what must look the same, of so many samples.
LEAST_P = 0.01
SAMPLES = 5000
PAIRS = 4
# One pair in a hundred falls below by chance: it is measured again, afresh, and judged by that.
# What really differs differs again.
TRIES = 3
LOOK_SECONDS = 0.5
# A test session makes settings of its own, and refuses others.
_NOT_TOLD = frozenset({"DJANGO_SETTINGS_MODULE", "OPITIOS_ENV_FILE"})


@dataclass(frozen=True, slots=True)
class Plan:
    """Samples of each side of a pair, and the seed of their order."""

    samples: int
    seed: int


def campaign(plan: Plan, advance: Callable[[int], None]) -> dict[str, Any]:
    """Measure; the evidence: each pair's p and medians, and whether all of them hold."""
    with tempfile.TemporaryDirectory(prefix="opitios-timing-") as name:
        folder = Path(name)
        with (folder / "output").open("wb") as output:
            running = _started(plan, folder, output)
            while not _ended(running):
                advance(_met(folder).get("pairs_done", 0))
        met, said = _met(folder), (folder / "output").read_text(errors="replace")
    pairs: dict[str, dict[str, Any]] = met.get("pairs", {})
    failed = [f"{pair}: p = {told['p']:.2g}" for pair, told in pairs.items()
              if told["p"] <= LEAST_P]  # fmt: skip
    broken = [] if running.returncode == 0 and pairs else said.splitlines()
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


def _started(plan: Plan, folder: Path, output: Any) -> "subprocess.Popen[bytes]":
    told = {name: value for name, value in os.environ.items() if name not in _NOT_TOLD}
    told["OPITIOS_TIMING"] = json.dumps({"samples": plan.samples, "seed": plan.seed})
    told["OPITIOS_EVIDENCE"] = str(folder)
    argv = (sys.executable, "-m", "pytest", MEASURED, "-q", "--timeout=3600")
    return subprocess.Popen(  # noqa: S603 - our own words
        argv, cwd=ROOT, env=told, stdout=output, stderr=subprocess.STDOUT
    )


def _ended(running: "subprocess.Popen[bytes]") -> bool:
    try:
        running.wait(LOOK_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return True


def _met(folder: Path) -> dict[str, Any]:
    kept = folder / "met.json"
    found: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}
    return found
