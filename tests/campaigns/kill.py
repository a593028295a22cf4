"""The kill campaign: orders over many accounts while every process is killed again and again.

One round a failpoint: who passes it is started with it armed, and whatever there is
is killed at random while broker faults are mixed in. Then everything heals, every command is sent
once more with its key, and the oracle compares.
"""

import json
import random
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, LiteralString
from urllib.request import Request, urlopen

import psycopg

from opitios.core import clock
from opitios.management.stack import account_ids
from opitios.management.startup import StartupError, look, run
from tests.campaigns.ledger import read_ledger
from tests.campaigns.oracle import compare
from tests.campaigns.outages import Outage, OutageWatch
from tests.campaigns.outcome import HEAL_SECONDS, READY_SECONDS, Healing, Outcome, Plan
from tests.campaigns.story import Story, read_books
from tests.campaigns.traffic import Maker, Sent, Told, Traffic
from tests.campaigns.trial import Trial, started

ROUND_SECONDS = 240.0
# What a fault holds back reaches the broker's books so long after the fault's own time.
LATE_SECONDS = 1.0
# Few orders are cancelled at the broker: there a process ends at its first pass, or its second.
SELDOM = frozenset({"cancel-after-call"})
# A gateway that starts has no time to be asked more often.
LOOK_SECONDS = 0.25
# How often a look at the round turns a fault on.
FAULT_SHARE = 0.1

# What the broker does meanwhile; each strikes a few times.
FAULTS: tuple[dict[str, Any], ...] = (
    {"fault": "504_after_accept", "route": "POST /v2/orders", "times": 2},
    {"fault": "reset", "when": "after", "route": "POST /v2/orders", "times": 2},
    {"fault": "reset", "when": "before", "route": "POST /v2/orders", "times": 2},
    {"fault": "html_502", "route": "POST /v2/orders", "times": 2},
    {"fault": "wrong_id", "route": "POST /v2/orders", "times": 2},
    {"fault": "delay", "ms": 1500, "route": "POST /v2/orders", "times": 2},
    # Longer than a submit is waited for: it arrives when its desk has given it up.
    {"fault": "delay", "ms": 9000, "route": "POST /v2/orders", "times": 1},
    {"fault": "hang", "ms": 9000, "route": "POST /v2/orders", "times": 1},
    {"fault": "429", "route": "POST /v2/orders", "times": 2},
    {"fault": "500", "route": "*", "times": 2},
    {"fault": "stream_drop", "times": 5},
)

Tell = Callable[[str, str], None]
# Told after each look: orders answered so far, processes killed so far.
Advance = Callable[[int, int], None]


@dataclass(slots=True)
class Campaign:
    """A campaign under way."""

    trial: Trial
    plan: Plan
    maker: Maker
    tell: Tell
    advance: Advance
    told: Told = field(default_factory=Told)
    sent: list[Sent] = field(default_factory=list)
    armed: dict[str, int] = field(default_factory=dict)
    faults: Counter[str] = field(default_factory=Counter)
    # The longest that one of them held something back.
    held_seconds: float = 0.0

    def round(self, number: int, failpoint: str) -> None:
        """Send a round's orders while its failpoint strikes and its share of kills happens."""
        orders, kills = self._share(self.plan.orders, number), self._share(self.plan.kills, number)
        seldom = 4 if failpoint in SELDOM else 1
        times = self.trial.dice.randint(1, max(2, orders // (20 * seldom)))
        self.tell("round", f"{number + 1}/{len(self.plan.failpoints)} {failpoint}={times}")
        self.armed[failpoint] = times
        self.trial.arm(failpoint, times)
        # Orders that meet nobody show little: what is killed is to have them under way.
        self._seconds_until(
            lambda: self._is_ready() or self.trial.reached(failpoint) > 0, within=READY_SECONDS
        )
        made = self.maker.make(orders)
        self.sent += made
        traffic = self._traffic(made)
        self._attack(traffic, kills, failpoint)

    def _share(self, whole: int, number: int) -> int:
        rounds = len(self.plan.failpoints)
        return whole * (number + 1) // rounds - whole * number // rounds

    def _traffic(self, orders: list[Sent], *, replays_only: bool = False) -> Traffic:
        host = f"127.0.0.1:{self.trial.stack.addresses.api}"
        traffic = Traffic(host, self.trial.token, orders, self.told, replays_only=replays_only)
        traffic.start()
        return traffic

    def _attack(self, traffic: Traffic, kills: int, failpoint: str) -> None:
        trial, is_armed = self.trial, True
        due = self._kill_times(len(traffic.orders), kills)
        until = clock.monotonic() + ROUND_SECONDS
        while not self._is_over(traffic, due, failpoint) and clock.monotonic() < until:
            trial.watch_for(trial.dice.uniform(0.1, 0.4))
            if trial.dice.random() < FAULT_SHARE:
                self._switch(trial.dice.choice(FAULTS))
            # Killed where orders are under way: a kill waits for its share of the answers.
            is_due = bool(due) and (traffic.is_done or traffic.answered >= due[0])
            if is_due and trial.kill(trial.dice.choice(trial.victims)):
                due.pop(0)
            if is_armed and trial.reached(failpoint) >= self.plan.strikes:
                trial.arm("", 0)
                is_armed = False
            self.advance(self._answered(), sum(trial.kills.values()))

    def _is_over(self, traffic: Traffic, due: list[int], failpoint: str) -> bool:
        """Whether all was answered, all killed, and the failpoint met, or nothing comes to it now.

        Web answers before desks are back: what it took for them is to meet the failpoint too.
        """
        if due or not traffic.is_done:
            return False
        return self.trial.reached(failpoint) > 0 or _count(self.trial, _UNSENT) == 0

    def _kill_times(self, orders: int, kills: int) -> list[int]:
        return sorted(self.trial.dice.randint(0, orders - 1) for _ in range(kills))

    def _answered(self) -> int:
        return sum(bool(order.answers) or order.refused is not None for order in self.sent)

    def _switch(self, fault: dict[str, Any]) -> None:
        # The sandbox may be dead at the moment; then it has no fault.
        if _post(self.trial, "/sandbox/faults", fault):
            self.faults[f"{fault['fault']} {fault.get('when', '')}".strip()] += 1
            self.held_seconds = max(self.held_seconds, fault.get("ms", 0) / 1000)

    def heal(self) -> Healing:
        """Lift every fault, and wait until no order is without an end or a broker's word."""
        trial = self.trial
        trial.arm("", 0)
        ready = self._seconds_until(self._is_ready, within=READY_SECONDS)
        trial.watch(lambda: _post(trial, "/sandbox/faults", {}, "DELETE"), seconds=10)
        self.tell("healing", "waiting for every order's end")
        quiet_at = clock.monotonic() + self.held_seconds + LATE_SECONDS
        settled = self._seconds_until(
            lambda: clock.monotonic() >= quiet_at and _count(trial, _UNSETTLED) == 0,
            within=HEAL_SECONDS,
        )
        return Healing(ready, settled)

    def _is_ready(self) -> bool:
        return look(self.trial.stack, self.trial.token)[1]

    def _seconds_until(self, condition: Callable[[], bool], *, within: float) -> float | None:
        began = clock.monotonic()
        if not self.trial.watch(condition, seconds=within, every=LOOK_SECONDS):
            return None
        return round(clock.monotonic() - began, 1)

    def replay(self) -> None:
        """Send every accepted command once more with its key: it must be answered as before."""
        self.tell("replays", f"{len(self.sent)} commands once more")
        accepted = [order for order in self.sent if order.answers]
        traffic = self._traffic(accepted, replays_only=True)
        self.trial.watch(lambda: traffic.is_done, seconds=ROUND_SECONDS)

    def judge(self, healing: Healing, outages: list[Outage]) -> Outcome:
        """Read everything that was told, stored, journalled and received, and compare it."""
        trial, stack = self.trial, self.trial.stack
        books = read_books(stack.database_urls()[1])
        ledger = read_ledger(stack.run.path / "sandbox" / "ledger.jsonl")
        return Outcome(
            plan=self.plan,
            findings=compare(Story(self.sent, books, ledger, outages)),
            told=self.told,
            healing=healing,
            verified=_verified(trial),
            kills=dict(trial.kills),
            arming=dict(trial.arming),
            reached={name: trial.reached(name) for name in self.plan.failpoints},
            armed=self.armed,
            faults=dict(self.faults),
            outages=outages,
            restarts=trial.restarts(),
        )


def campaign(
    plan: Plan, tell: Tell, advance: Advance = lambda _orders, _kills: None, *, keep: bool = False
) -> Outcome:
    """Run the campaign. Raises StartupError where the gateway does not even start.

    `keep` leaves the gateway's folder, logs and ledger, for whoever hunts a disagreement down.
    """
    began = clock.monotonic()
    dice = random.Random(f"{plan.seed} orders")  # noqa: S311 - repeatable on purpose
    maker = Maker(account_ids(plan.accounts), dice, f"c{plan.seed}", plan.waits)
    with started(plan.accounts, plan.seed, tell, keep=keep) as trial:
        under_way = Campaign(trial, plan, maker, tell, advance)
        with closing(_watch(trial, plan)) as watch:
            for number, name in enumerate(plan.failpoints):
                under_way.round(number, name)
            healing = under_way.heal()
        under_way.replay()
        outcome = under_way.judge(healing, watch.outages)
    outcome.seconds = clock.monotonic() - began
    return outcome


def _watch(trial: Trial, plan: Plan) -> OutageWatch:
    url, sandbox = trial.stack.database_urls()[1], trial.stack.addresses.sandbox
    watch = OutageWatch(url, sandbox, account_ids(plan.accounts))
    watch.start()
    return watch


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


_UNSETTLED = """
SELECT count(*) FROM trading_order WHERE status IN ('queued', 'submitting', 'unknown')
OR fills_short OR (NOT final AND cancel_requested_at IS NOT NULL)
OR (NOT final AND type = 'market')
"""
_UNSENT = "SELECT count(*) FROM trading_order WHERE status IN ('queued', 'submitting')"


def _count(trial: Trial, statement: LiteralString) -> int:
    """How many there are; -1 while nobody can tell."""
    try:
        with psycopg.connect(trial.stack.database_urls()[1], connect_timeout=2) as connection:
            row = connection.execute(statement).fetchone()
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
