"""`python -m tests.campaigns`: run the campaigns and write their counts and seeds to a folder."""

import argparse
import json
import secrets
import sys
from pathlib import Path

from rich.console import Console

from tests.campaigns import kill

EVIDENCE = Path(__file__).resolve().parents[2] / "docs" / "evidence"


def main() -> int:
    """Run, write, and answer 0 only where everything held."""
    parser = argparse.ArgumentParser(prog="campaigns", description=__doc__)
    parser.add_argument("--orders", type=int, default=2400)
    parser.add_argument("--kills", type=int, default=72)
    parser.add_argument("--accounts", type=int, default=60)
    parser.add_argument("--seed", type=int, default=None, help="repeat a run's decisions")
    parser.add_argument("--evidence", type=Path, default=EVIDENCE)
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")
    asked = parser.parse_args()
    console = Console(stderr=True)
    plan = kill.Plan(
        orders=asked.orders,
        kills=asked.kills,
        accounts=asked.accounts,
        seed=secrets.randbelow(1_000_000) if asked.seed is None else asked.seed,
    )
    outcome = kill.campaign(plan, lambda name, what: console.print(f"[dim]{name}[/] {what}"))
    text = json.dumps(outcome.as_json(), indent=2)
    asked.evidence.mkdir(parents=True, exist_ok=True)
    (asked.evidence / "kill-campaign.json").write_text(text + "\n")
    if asked.json:
        sys.stdout.write(text + "\n")
    console.print("[green]holds[/]" if outcome.holds else "[red]does not hold[/]")
    for disagreement in outcome.findings.disagreements[:20]:
        console.print(disagreement)
    return 0 if outcome.holds else 1


if __name__ == "__main__":
    sys.exit(main())
