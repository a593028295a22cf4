"""What a campaign leaves behind: one JSON file, from which it can be judged and repeated."""

import json
import os
import platform
import statistics
import subprocess
from pathlib import Path
from typing import Any

from tests.campaigns.outages import Outage
from tests.campaigns.outcome import Outcome

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "evidence"


def write(folder: Path, name: str, told: dict[str, Any]) -> None:
    """Write NAME.json, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    fresh = folder / f".{name}.json"
    fresh.write_text(json.dumps(told, indent=2) + "\n")
    fresh.replace(folder / f"{name}.json")


def origin() -> dict[str, Any]:
    """Of which code, and on what machine."""
    return {
        "commit": _git("rev-parse", "HEAD"),
        "changed_since": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "python": platform.python_version(),
        "cores": len(os.sched_getaffinity(0)),
    }


def _git(*arguments: str) -> str | None:
    # A release without its repository has no commit to name.
    done = subprocess.run(  # noqa: S603 - fixed words
        ("git", *arguments),  # noqa: S607 - whichever git there is
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() if done.returncode == 0 else None


def of_kills(outcome: Outcome) -> dict[str, Any]:
    """The kill campaign's evidence."""
    found, plan = outcome.findings, outcome.plan
    return {
        "campaign": "kill",
        "holds": outcome.holds,
        "seed": plan.seed,
        **origin(),
        "orders": {
            "asked": plan.orders,
            "stored": found.orders,
            "at_broker": found.at_broker,
            "accounts": plan.accounts,
            "by_status": dict(sorted(found.by_status.items())),
            "by_reason": dict(sorted(found.by_reason.items())),
            "attempts": found.attempts,
            "ambiguous": found.ambiguous,
            "duplicates_the_broker_refused": found.duplicates_refused,
            "late_arrivals": found.late_arrivals,
            "lapses": found.lapses.as_json(),
        },
        "kills": _kills(outcome),
        "faults_turned_on": dict(sorted(outcome.faults.items())),
        "submits_struck_by_faults": dict(sorted(found.struck.items())),
        "outages_of_accounts": _outages(outcome.outages),
        "answers": {
            "by_status": dict(sorted(outcome.told.statuses.items())),
            "connections_broken": dict(sorted(outcome.told.broken.items())),
            "later_than_a_second": outcome.told.late,
            "slowest_seconds": round(outcome.told.slowest_seconds, 3),
        },
        "ready_after_seconds": outcome.healing.ready_seconds,
        "settled_after_seconds": outcome.healing.settled_seconds,
        "seconds": round(outcome.seconds, 1),
        "journals": outcome.verified,
        "disagreements": outcome.disagreements,
    }


def _outages(outages: list[Outage]) -> dict[str, float]:
    seconds = [each.ended - each.began for each in outages]
    return {
        "count": len(seconds),
        "median_seconds": round(statistics.median(seconds), 1) if seconds else 0.0,
        "longest_seconds": round(max(seconds, default=0.0), 1),
    }


def _kills(outcome: Outcome) -> dict[str, Any]:
    armed, reached = outcome.armed, outcome.reached
    return {
        "at_random": sum(outcome.kills.values()),
        "by_victim": dict(sorted(outcome.kills.items())),
        "at_failpoints": sum(reached.values()),
        "by_failpoint": {
            name: {"armed_for_pass": armed[name], "reached": reached[name]} for name in armed
        },
        "to_arm": dict(sorted(outcome.arming.items())),
        "processes_restarted": outcome.restarts,
    }
