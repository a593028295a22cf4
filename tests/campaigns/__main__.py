"""`python -m tests.campaigns`: run the campaigns and write their counts and seeds to a folder."""

import argparse
import secrets
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from opitios.core.embedded.supervisor import StopAskedError
from opitios.core.failpoints import NAMES
from opitios.management.startup import StartupError
from tests.campaigns import (
    evidence,
    halting,
    hostile_sockets,
    kill,
    lifecycles,
    quotes,
    schemas,
    slow_clients,
    timing,
)
from tests.campaigns.outcome import Plan
from tests.campaigns.screen import Screen

# As many lives as fit into this, unless fewer are asked for.
LIVING_SECONDS = 300.0
# Disagreements shown; the evidence has all of them.
SHOWN = 20


def main() -> int:
    """Run, write, and answer 0 only where everything held."""
    asked = _asked()
    console = Console(stderr=True, highlight=False)
    names = asked.only or CAMPAIGNS
    held = [_held(name, asked, console) for name in CAMPAIGNS if name in names]
    return 0 if all(held) else 1


def _held(name: str, asked: argparse.Namespace, console: Console) -> bool:
    try:
        found = CAMPAIGNS[name](asked, console)
    except (StopAskedError, StartupError) as error:
        found = Found(holds=False, why=[str(error) or "stopped"])
    console.print(f"[green]{name} holds[/]" if found.holds else f"[red]{name} does not hold[/]")
    for disagreement in found.why[:SHOWN]:
        console.print(disagreement, markup=False)
    return found.holds


@dataclass(frozen=True, slots=True)
class Found:
    """Whether a campaign held, and what disagreed."""

    holds: bool
    why: list[str]


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="campaigns", description=__doc__)
    parser.add_argument(
        "--only", action="append", choices=tuple(CAMPAIGNS), help="this campaign alone"
    )
    parser.add_argument("--orders", type=int, default=2400)
    parser.add_argument("--kills", type=int, default=72, help="at random; failpoints kill besides")
    parser.add_argument("--accounts", type=int, default=60)
    parser.add_argument(
        "--failpoint", action="append", choices=NAMES, help="a round for this one alone"
    )
    parser.add_argument("--lives", type=int, default=2000, help="of the lifecycles")
    parser.add_argument("--burst", type=int, default=1000, help="orders of the halt campaign")
    parser.add_argument("--cases", type=int, default=schemas.FEWEST, help="of schemathesis")
    parser.add_argument("--samples", type=int, default=timing.SAMPLES, help="of the timing")
    parser.add_argument("--users", type=int, default=1000, help="of the quotes campaign")
    parser.add_argument("--seconds", type=float, default=60.0, help="that they ask for quotes")
    parser.add_argument("--cycles", type=int, default=2000, help="of the sockets campaign")
    parser.add_argument("--seed", type=int, help="repeat a run's decisions")
    parser.add_argument("--evidence", type=Path, default=evidence.FOLDER, metavar="FOLDER")
    parser.add_argument("--keep", action="store_true", help="keep logs and ledger of the kills")
    asked = parser.parse_args()
    if asked.seed is None:
        asked.seed = secrets.randbelow(1_000_000)
    return asked


def _lifecycles(asked: argparse.Namespace, console: Console) -> Found:
    plan = lifecycles.Plan(lives=asked.lives, seconds=LIVING_SECONDS, seed=asked.seed)
    console.print(f"lifecycles: {plan.lives} at most, seed {plan.seed}")
    with Screen(console, lives=plan.lives) as screen:
        told = lifecycles.campaign(plan, screen.advance)
    evidence.write(asked.evidence, "lifecycles", told)
    return Found(told["holds"], told["disagreements"][-SHOWN:])


def _halt(asked: argparse.Namespace, console: Console) -> Found:
    plan = halting.Plan(orders=asked.burst, accounts=min(asked.accounts, 20), seed=asked.seed)
    console.print(f"halt: {plan.orders} orders, {plan.accounts} accounts")
    with Screen(console, orders=plan.orders) as screen:
        told = halting.campaign(plan, screen.tell, screen.advance)
    evidence.write(asked.evidence, "halt", told)
    return Found(told["holds"], told["disagreements"])


def _schemathesis(asked: argparse.Namespace, console: Console) -> Found:
    plan = schemas.Plan(cases=asked.cases, accounts=asked.accounts, seed=asked.seed)
    console.print(f"schemathesis: {plan.cases} cases at least, seed {plan.seed}")
    with Screen(console, cases=plan.cases) as screen:
        told = schemas.campaign(plan, screen.tell, screen.advance)
    evidence.write(asked.evidence, "schemathesis", told)
    return Found(told["holds"], told["disagreements"])


def _timing(asked: argparse.Namespace, console: Console) -> Found:
    plan = timing.Plan(samples=asked.samples, seed=asked.seed)
    console.print(f"timing: {plan.samples} samples of each, seed {plan.seed}")
    with Screen(console, pairs=timing.PAIRS) as screen:
        told = timing.campaign(plan, screen.advance)
    evidence.write(asked.evidence, "timing", told)
    return Found(told["holds"], told["disagreements"][-SHOWN:])


def _quotes(asked: argparse.Namespace, console: Console) -> Found:
    plan = quotes.Plan(users=asked.users, seconds=asked.seconds, seed=asked.seed)
    console.print(f"quotes: {plan.users} users, seed {plan.seed}")
    with Screen(console, phases=1 + len(quotes.FAULTS)) as screen:
        told = quotes.campaign(plan, screen.tell, screen.advance)
    evidence.write(asked.evidence, "quotes", told)
    return Found(told["holds"], told["disagreements"])


def _kill(asked: argparse.Namespace, console: Console) -> Found:
    plan = Plan(
        orders=asked.orders,
        kills=asked.kills,
        accounts=asked.accounts,
        seed=asked.seed,
        failpoints=tuple(asked.failpoint or NAMES),
    )
    console.print(f"kill: {plan.orders} orders, {plan.kills} kills, seed {plan.seed}")
    with Screen(console, orders=plan.orders, kills=plan.kills) as screen:
        outcome = kill.campaign(plan, screen.tell, screen.advance, keep=asked.keep)
    evidence.write(asked.evidence, "kill-campaign", evidence.of_kills(outcome))
    return Found(outcome.holds, outcome.disagreements)


def _slow_clients(asked: argparse.Namespace, console: Console) -> Found:
    plan = slow_clients.Plan()
    console.print(f"slow-clients: {plan.clients} at a time, {plan.seconds:.0f} s each kind")
    told = slow_clients.campaign(
        plan, lambda name, what: console.print(f"[dim]{name}[/] {what}", highlight=False)
    )
    evidence.write(asked.evidence, "slow-clients", told)
    return Found(told["holds"], slow_clients.reasons(told))


def _sockets(asked: argparse.Namespace, console: Console) -> Found:
    plan = hostile_sockets.Plan(cycles=asked.cycles, seed=asked.seed)
    console.print(f"sockets: {plan.cycles} come and go, {plan.honest} honest, seed {plan.seed}")
    with Screen(console, cycles=plan.cycles) as screen:
        told = hostile_sockets.campaign(plan, screen.tell, screen.advance)
    evidence.write(asked.evidence, "sockets", told)
    return Found(told["holds"], told["disagreements"])


# In this order: the long ones at the end.
CAMPAIGNS: dict[str, Callable[[argparse.Namespace, Console], Found]] = {
    "lifecycles": _lifecycles,
    "halt": _halt,
    "schemathesis": _schemathesis,
    "timing": _timing,
    "quotes": _quotes,
    "sockets": _sockets,
    "kill": _kill,
    "slow-clients": _slow_clients,
}


if __name__ == "__main__":
    sys.exit(main())
