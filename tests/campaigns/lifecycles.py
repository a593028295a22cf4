"""The long form of the lifecycles: as many as fit in, by the very test that `make test` runs."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opitios.core import clock
from tests.campaigns.evidence import ROOT, origin

TEST = "tests/trading/test_lifecycles_against_a_model.py"
# So few show little: a machine on which no more fit in is too slow for this.
FEWEST = 200
LOOK_SECONDS = 0.5
# A test session makes settings of its own, and refuses others.
_NOT_TOLD = frozenset({"DJANGO_SETTINGS_MODULE", "OPITIOS_ENV_FILE"})


@dataclass(frozen=True, slots=True)
class Plan:
    """How many lives at most, for how long at most, and which."""

    lives: int
    seconds: float
    seed: int


def campaign(plan: Plan, advance: Callable[[int], None]) -> dict[str, Any]:
    """Run the lives; the evidence: what was met, and whether all of them held."""
    began = clock.monotonic()
    with tempfile.TemporaryDirectory(prefix="opitios-lifecycles-") as name:
        folder = Path(name)
        with (folder / "output").open("wb") as output:
            running = _started(plan, folder, output)
            while not _ended(running):
                advance(_met(folder).get("lives", 0))
        met, said = _met(folder), (folder / "output").read_text(errors="replace")
    holds = running.returncode == 0 and met.get("lives", 0) >= min(plan.lives, FEWEST)
    return {
        "campaign": "lifecycles",
        "holds": holds,
        "seed": plan.seed,
        **origin(),
        "lives_at_most": plan.lives,
        "met": met,
        "seconds": round(clock.monotonic() - began, 1),
        "disagreements": [] if holds else said.splitlines(),
    }


def _started(plan: Plan, folder: Path, output: Any) -> "subprocess.Popen[bytes]":
    told = {name: value for name, value in os.environ.items() if name not in _NOT_TOLD}
    told["OPITIOS_LIFECYCLES"] = str(plan.lives)
    told["OPITIOS_LIFECYCLES_SECONDS"] = str(plan.seconds)
    told["OPITIOS_EVIDENCE"] = str(folder)
    argv = (sys.executable, "-m", "pytest", TEST, "-q", f"--hypothesis-seed={plan.seed}")
    return subprocess.Popen(  # noqa: S603 - our own words
        argv, cwd=ROOT, env=told, stdout=output, stderr=subprocess.STDOUT
    )


def _ended(running: "subprocess.Popen[bytes]") -> bool:
    try:
        running.wait(LOOK_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return True


def _met(folder: Path) -> dict[str, int]:
    kept = folder / "met.json"
    found: dict[str, int] = json.loads(kept.read_text()) if kept.exists() else {}
    return found
