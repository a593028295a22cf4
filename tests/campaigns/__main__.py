"""`python -m tests.campaigns`: run the campaigns and write their counts and seeds to a folder."""

import argparse
import secrets
import sys
from pathlib import Path

from rich.console import Console

from opitios.core.embedded.supervisor import StopAskedError
from opitios.core.failpoints import NAMES
from opitios.management.startup import StartupError
from tests.campaigns import evidence, halting, kill, lifecycles, schemas, slow_clients, timing
from tests.campaigns.outcome import Plan
from tests.campaigns.screen import Screen

CAMPAIGNS = ("lifecycles", "halt", "schemathesis", "timing", "kill", "slow-clients")
# As many lives as fit into this, unless fewer are asked for.
LIVING_SECONDS = 300.0
# Disagreements shown; the evidence has all of them.
SHOWN = 20


def main() -> int:
    """Run, write, and answer 0 only where everything held."""
    asked = _asked()
    console = Console(stderr=True, highlight=False)
    names = asked.only or CAMPAIGNS
    held = [_lifecycles(asked, console)] if "lifecycles" in names else []
    if "halt" in names:
        held.append(_halt(asked, console))
    if "schemathesis" in names:
        held.append(_schemathesis(asked, console))
    if "timing" in names:
        held.append(_timing(asked, console))
    if "kill" in names:
        held.append(_kill(asked, console))
    if "slow-clients" in names:
        held.append(_slow_clients(asked, console))
    return 0 if all(held) else 1


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="campaigns", description=__doc__)
    parser.add_argument("--only", action="append", choices=CAMPAIGNS, help="this campaign alone")
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
    parser.add_argument("--seed", type=int, help="repeat a run's decisions")
    parser.add_argument("--evidence", type=Path, default=evidence.FOLDER, metavar="FOLDER")
    parser.add_argument("--keep", action="store_true", help="keep logs and ledger of the kills")
    asked = parser.parse_args()
    if asked.seed is None:
        asked.seed = secrets.randbelow(1_000_000)
    return asked


def _lifecycles(asked: argparse.Namespace, console: Console) -> bool:
    plan = lifecycles.Plan(lives=asked.lives, seconds=LIVING_SECONDS, seed=asked.seed)
    console.print(f"lifecycles: {plan.lives} at most, seed {plan.seed}")
    with Screen(console, lives=plan.lives) as screen:
        told = lifecycles.campaign(plan, screen.advance)
    evidence.write(asked.evidence, "lifecycles", told)
    return _judge(console, "lifecycles", held=told["holds"], why=told["disagreements"][-SHOWN:])


def _halt(asked: argparse.Namespace, console: Console) -> bool:
    plan = halting.Plan(orders=asked.burst, accounts=min(asked.accounts, 20), seed=asked.seed)
    console.print(f"halt: {plan.orders} orders, {plan.accounts} accounts")
    try:
        with Screen(console, orders=plan.orders) as screen:
            told = halting.campaign(plan, screen.tell, screen.advance)
    except StopAskedError:
        return _judge(console, "halt", held=False, why=["stopped"])
    except StartupError as error:
        return _judge(console, "halt", held=False, why=[str(error)])
    evidence.write(asked.evidence, "halt", told)
    return _judge(console, "halt", held=told["holds"], why=told["disagreements"])


def _schemathesis(asked: argparse.Namespace, console: Console) -> bool:
    plan = schemas.Plan(cases=asked.cases, accounts=asked.accounts, seed=asked.seed)
    console.print(f"schemathesis: {plan.cases} cases at least, seed {plan.seed}")
    try:
        with Screen(console, cases=plan.cases) as screen:
            told = schemas.campaign(plan, screen.tell, screen.advance)
    except StopAskedError:
        return _judge(console, "schemathesis", held=False, why=["stopped"])
    except StartupError as error:
        return _judge(console, "schemathesis", held=False, why=[str(error)])
    evidence.write(asked.evidence, "schemathesis", told)
    return _judge(console, "schemathesis", held=told["holds"], why=told["disagreements"])


def _timing(asked: argparse.Namespace, console: Console) -> bool:
    plan = timing.Plan(samples=asked.samples, seed=asked.seed)
    console.print(f"timing: {plan.samples} samples of each, seed {plan.seed}")
    with Screen(console, pairs=timing.PAIRS) as screen:
        told = timing.campaign(plan, screen.advance)
    evidence.write(asked.evidence, "timing", told)
    return _judge(console, "timing", held=told["holds"], why=told["disagreements"][-SHOWN:])


def _kill(asked: argparse.Namespace, console: Console) -> bool:
    plan = Plan(
        orders=asked.orders,
        kills=asked.kills,
        accounts=asked.accounts,
        seed=asked.seed,
        failpoints=tuple(asked.failpoint or NAMES),
    )
    console.print(f"kill: {plan.orders} orders, {plan.kills} kills, seed {plan.seed}")
    try:
        with Screen(console, orders=plan.orders, kills=plan.kills) as screen:
            outcome = kill.campaign(plan, screen.tell, screen.advance, keep=asked.keep)
    except StopAskedError:
        return _judge(console, "kill", held=False, why=["stopped"])
    except StartupError as error:
        return _judge(console, "kill", held=False, why=[str(error)])
    evidence.write(asked.evidence, "kill-campaign", evidence.of_kills(outcome))
    return _judge(console, "kill", held=outcome.holds, why=outcome.disagreements)


def _slow_clients(asked: argparse.Namespace, console: Console) -> bool:
    plan = slow_clients.Plan()
    console.print(f"slow-clients: {plan.clients} at a time, {plan.seconds:.0f} s each kind")
    told = slow_clients.campaign(
        plan, lambda name, what: console.print(f"[dim]{name}[/] {what}", highlight=False)
    )
    evidence.write(asked.evidence, "slow-clients", told)
    return _judge(console, "slow-clients", held=told["holds"], why=slow_clients.reasons(told))


def _judge(console: Console, name: str, *, held: bool, why: list[str]) -> bool:
    console.print(f"[green]{name} holds[/]" if held else f"[red]{name} does not hold[/]")
    for disagreement in why[:SHOWN]:
        console.print(disagreement, markup=False)
    return held


if __name__ == "__main__":
    sys.exit(main())
