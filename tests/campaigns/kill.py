"""The kill campaign: orders over many accounts while every process is killed again and again.

One round a failpoint: web and desk are started with it armed, and further processes are killed at
random while broker faults are mixed in. Then everything heals, and the oracle compares.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.request import Request, urlopen

import psycopg

from opitios.core import clock
from opitios.core.failpoints import NAMES
from opitios.management.stack import account_ids
from opitios.management.startup import StartupError, look, run
from tests.campaigns.oracle import Findings, compare, read_books
from tests.campaigns.traffic import Sent, Traffic, made_orders
from tests.campaigns.trial import VICTIMS, Trial, started

# Everything must have an end so long after the last fault (issue: 60 s after healing).
HEAL_SECONDS = 60.0
ROUND_SECONDS = 180.0
CLIENTS = 8

# What the broker does meanwhile; each strikes a few times.
FAULTS: tuple[dict[str, Any], ...] = (
    {"fault": "504_after_accept", "route": "POST /v2/orders", "times": 2},
    {"fault": "reset", "when": "after", "route": "POST /v2/orders", "times": 2},
    {"fault": "reset", "when": "before", "route": "POST /v2/orders", "times": 2},
    {"fault": "html_502", "route": "POST /v2/orders", "times": 2},
    {"fault": "delay", "ms": 1500, "route": "POST /v2/orders", "times": 2},
    {"fault": "429", "route": "POST /v2/orders", "times": 2},
    {"fault": "500", "route": "*", "times": 2},
    {"fault": "stream_drop", "times": 5},
)


@dataclass(frozen=True, slots=True)
class Plan:
    """How much a campaign does."""

    orders: int
    kills: int
    accounts: int
    seed: int
    failpoints: tuple[str, ...] = NAMES


@dataclass(slots=True)
class Outcome:
    """What a campaign did and found."""

    plan: Plan
    findings: Findings
    kills: dict[str, int]
    restarts: int
    statuses: dict[str, int]
    broken: dict[str, int]
    healed_seconds: float
    verified: dict[str, Any]
    seconds: float = 0.0
    rounds: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether nothing was lost, doubled or left without an end, and every chain verifies."""
        return not self.findings.disagreements and bool(self.verified["ok"])

    def as_json(self) -> dict[str, Any]:
        """What goes to docs/evidence/."""
        found = self.findings
        return {
            "campaign": "kill",
            "holds": self.holds,
            "orders_asked": self.plan.orders,
            "orders_stored": found.orders,
            "orders_at_broker": found.at_broker,
            "accounts": self.plan.accounts,
            "seed": self.plan.seed,
            "failpoints": list(self.plan.failpoints),
            "kills_by_hand": dict(sorted(self.kills.items())),
            "processes_restarted": self.restarts,
            "by_status": dict(sorted(found.by_status.items())),
            "by_reason": dict(sorted(found.by_reason.items())),
            "attempts": found.attempts,
            "ambiguous_orders": found.ambiguous,
            "http_statuses": self.statuses,
            "connections_broken": self.broken,
            "healed_in_seconds": round(self.healed_seconds, 1),
            "seconds": round(self.seconds, 1),
            "journals": self.verified,
            "disagreements": found.disagreements,
        }


def campaign(plan: Plan, tell: Callable[[str, str], None]) -> Outcome:
    """Run the campaign. Raises StartupError where the gateway does not even start."""
    began = clock.monotonic()
    with started(plan.accounts, plan.seed, tell) as trial:
        sent: list[Sent] = []
        traffics = [
            _round(trial, plan, number, name, sent, tell)
            for number, name in enumerate(plan.failpoints)
        ]
        healed = _heal(trial, tell)
        accounts = account_ids(plan.accounts)
        stack = trial.stack
        books = read_books(stack.database_urls()[1], stack.addresses.sandbox_url, accounts)
        outcome = Outcome(
            plan=plan,
            findings=compare(sent, books),
            kills=dict(trial.kills),
            restarts=trial.restarts(),
            statuses=_summed(str(key) for t in traffics for key in t.statuses.elements()),
            broken=_summed(key for t in traffics for key in t.broken.elements()),
            healed_seconds=healed,
            verified=_verified(trial),
        )
    outcome.seconds = clock.monotonic() - began
    return outcome


def _summed(words: Any) -> dict[str, int]:
    counts: dict[str, int] = {}
    for word in words:
        counts[word] = counts.get(word, 0) + 1
    return dict(sorted(counts.items()))


def _round(
    trial: Trial,
    plan: Plan,
    number: int,
    failpoint: str,
    sent: list[Sent],
    tell: Callable[[str, str], None],
) -> Traffic:
    rounds = len(plan.failpoints)
    count = plan.orders * (number + 1) // rounds - plan.orders * number // rounds
    kills = plan.kills * (number + 1) // rounds - plan.kills * number // rounds
    tell("round", f"{number + 1}/{rounds} {failpoint}: {count} orders, {kills} kills")
    trial.arm(failpoint, trial.dice.randint(2, 15))
    accounts = account_ids(plan.accounts)
    orders = made_orders(count, accounts, trial.dice, f"c{plan.seed}-{number}")
    sent += orders
    traffic = Traffic(f"127.0.0.1:{trial.stack.addresses.api}", trial.token, orders)
    traffic.start(CLIENTS)
    until = clock.monotonic() + ROUND_SECONDS
    while kills or not traffic.is_done:
        trial.watch_for(trial.dice.uniform(0.1, 0.7))
        _switch(trial, trial.dice.choice(FAULTS))
        if kills and trial.kill(trial.dice.choice(VICTIMS)):
            kills -= 1
        if clock.monotonic() > until:
            break
    return traffic


def _switch(trial: Trial, fault: dict[str, Any]) -> None:
    """Turn one fault of the sandbox on; it may be dead at the moment, then it has none."""
    _post(trial, "/sandbox/faults", fault)


def _post(trial: Trial, path: str, body: Any, method: str = "POST") -> bool:
    request = Request(  # noqa: S310 - the sandbox on loopback
        f"{trial.stack.addresses.sandbox_url}{path}",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
        method=method,
    )
    try:
        with urlopen(request, timeout=2):  # noqa: S310 - as above
            return True
    except OSError:
        return False


def _heal(trial: Trial, tell: Callable[[str, str], None]) -> float:
    """Lift every fault, and wait until no order is without an end or a broker's word."""
    trial.arm("", 0)
    trial.watch(lambda: look(trial.stack, trial.token)[1], seconds=HEAL_SECONDS)
    trial.watch(lambda: _post(trial, "/sandbox/faults", {}, "DELETE"), seconds=10)
    began = clock.monotonic()
    tell("healing", "waiting for every order's end")
    trial.watch(lambda: _unsettled(trial) == 0, seconds=HEAL_SECONDS)
    return clock.monotonic() - began


_UNSETTLED = """
SELECT count(*) FROM trading_order WHERE status IN ('queued', 'submitting', 'unknown')
OR fills_short OR (NOT final AND cancel_requested_at IS NOT NULL)
OR (NOT final AND type = 'market')
"""


def _unsettled(trial: Trial) -> int:
    try:
        with psycopg.connect(trial.stack.database_urls()[1], connect_timeout=2) as connection:
            row = connection.execute(_UNSETTLED).fetchone()
    except psycopg.OperationalError:
        return -1
    return int(row[0]) if row is not None else -1


def _verified(trial: Trial) -> dict[str, Any]:
    command = trial.stack.command("verify_journal", "verify_journal", "--json")
    try:
        verdict: dict[str, Any] = json.loads(run(trial.supervisor, command, capture=True))
    except StartupError as error:
        return {"ok": False, "why": str(error)}
    return verdict
