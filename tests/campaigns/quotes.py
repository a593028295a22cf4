"""The quotes campaign (R20, R21): a thousand users on hot symbols, then a data account killed.

First a minute of users, each with a connection of its own: nobody may hear 429 or fail, and no data
account may be asked more often than its plan allows. Then, under load, one data account answers
401, hangs, or resets its connections: whoever asked before that may fail, and nobody after. The
pool and the metrics must show that the account is passed over, and that it comes back.
"""

import http.client
import json
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from benchmarks.rows import percentile
from opitios.core import clock
from tests.campaigns.evidence import origin
from tests.campaigns.trial import Trial, started
from tests.campaigns.users import HOT, Crowd, Told

ROOT = Path(__file__).resolve().parents[2]
# Two carry data; the sandbox holds them, and all others, to this many calls of an API a minute.
PLAN_PER_MINUTE = 200
VICTIM = "data_001"
DATA = ("/v2/stocks", "/v1beta1/")
FAULTS = ("401", "reset", "hang")
PROCESSES = 4
# The load under which an account dies: users, and their pause.
LOADERS, LOADERS_THINK = 200, 0.5
# Of that load: before the fault, with it, and after it.
BEFORE, DURING, AFTER = 4.0, 9.0, 4.0
# A new symbol each so many seconds: it must be asked for whatever is kept.
COLD_EVERY = 1.0
# A refused key rests for 30 s, and the pool's rows are five seconds old.
BACK_WITHIN = 60.0
ACCOUNTS = 3

Tell = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """How much the campaign does."""

    users: int
    seconds: float
    seed: int


@dataclass(slots=True)
class Kill:
    """One death of the account, in epoch seconds, and what was seen of it."""

    fault: str
    began: float = 0.0
    ended: float = 0.0
    told: Told = field(default_factory=Told)
    seen_resting: bool = False
    failure: Mapping[str, Any] | None = None
    failovers: float = 0.0
    failed_calls: float = 0.0
    back_after: float | None = None

    @property
    def late_failures(self) -> list[tuple[float, float, str, str]]:
        """What failed though it was asked after the account had died."""
        return [each for each in self.told.failures if each[0] > self.began]


@dataclass(slots=True)
class Minute:
    """The users' time: what they were told, and the calls of each account to the data API."""

    told: Told
    calls: Mapping[str, int]
    seconds: float


def judge(minute: Minute, kills: list[Kill]) -> list[str]:
    """What did not hold, in words; with nothing here the campaign holds."""
    return [*_of_the_minute(minute), *(word for kill in kills for word in _of_a_kill(kill))]


def _of_the_minute(minute: Minute) -> Iterator[str]:
    for status, count in minute.told.statuses.items():
        if status != "200":
            yield f"{count} of the users' questions were answered {status}"
    if not minute.told.statuses["200"]:
        yield "nobody was answered: nothing was shown"
    # The time may lie in two minutes of the broker's.
    allowed = PLAN_PER_MINUTE * max(1.0, minute.seconds / 60)
    for account, calls in minute.calls.items():
        if calls > allowed:
            yield f"{account} was asked {calls} times in {minute.seconds:.0f} s"


def _of_a_kill(kill: Kill) -> Iterator[str]:
    for asked, _, status, reason in kill.late_failures:
        after = asked - kill.began
        yield f"{kill.fault}: {status} {reason} to what was asked {after:.2f} s after the death"
    if not kill.told.statuses["200"]:
        yield f"{kill.fault}: nobody was answered"
    if not kill.seen_resting:
        yield f"{kill.fault}: the pool never showed that {VICTIM} is passed over"
    if not kill.failovers or not kill.failed_calls:
        yield f"{kill.fault}: the metrics show no failover"
    if kill.back_after is None:
        yield f"{kill.fault}: {VICTIM} was not asked again {BACK_WITHIN:.0f} s after it was well"


class Campaign:
    """A campaign under way."""

    def __init__(self, trial: Trial, plan: Plan, tell: Tell) -> None:
        self._trial, self._plan, self._tell = trial, plan, tell
        self._cold = 0

    def minute(self) -> Minute:
        """Let all users ask for their time, about symbols that are hot already."""
        for path in ("stocks/quotes", "stocks/snapshots"):
            self._gateway(f"/api/v1/{path}?symbols={','.join(HOT)}")
        for symbol in HOT:
            self._gateway(f"/api/v1/stocks/trade/{symbol}")
        before, began = self._data_calls(), clock.monotonic()
        told = self._ask(self._plan.users, self._plan.seconds, think=2.0)
        after = self._data_calls()
        calls = {account: after[account] - before[account] for account in after}
        return Minute(told, calls, clock.monotonic() - began)

    def kill(self, fault: str) -> Kill:
        """Let the account die under load, and come back."""
        self._tell(VICTIM, f"{fault} under load")
        kill, before = Kill(fault), self._metrics()
        strike = threading.Thread(target=self._strike, args=(kill,), daemon=True)
        strike.start()
        seconds = BEFORE + DURING + AFTER
        kill.told = self._ask(
            LOADERS,
            seconds,
            think=LOADERS_THINK,
            cold_every=COLD_EVERY,
            seen=lambda: self._look(kill),
        )
        strike.join()
        kill.back_after = self._wait_for_return(kill)
        after = self._metrics()
        kill.failovers = _grown(before, after, "failovers")
        kill.failed_calls = _grown(before, after, "failed")
        return kill

    def limit(self) -> None:
        """Let the broker hold every account to its plan."""
        self._sandbox("POST", "limits", {"enforced": True, "per_minute": PLAN_PER_MINUTE})

    def _strike(self, kill: Kill) -> None:
        pause = threading.Event()
        pause.wait(BEFORE)
        fault = {"fault": kill.fault, "account": VICTIM, "route": "*", "times": 0}
        kill.began = time.time()
        self._sandbox("POST", "faults", fault)
        pause.wait(DURING)
        self._sandbox("DELETE", "faults")
        kill.ended = time.time()

    def _look(self, kill: Kill) -> None:
        state = self._health()
        if kill.began and state and state["state"] == "resting":
            kill.seen_resting, kill.failure = True, state["last_failure"]

    def _wait_for_return(self, kill: Kill) -> float | None:
        """Until it answered after the fault; new symbols go on being asked for meanwhile."""
        since = clock.rfc3339(clock.now())

        def is_back() -> bool:
            self._ask_for_a_cold_one()
            self._look(kill)
            state = self._health()
            return bool(
                state and state["state"] == "serving" and (state["last_answer_at"] or "") > since
            )

        is_there = self._trial.watch(is_back, seconds=BACK_WITHIN)
        return round(time.time() - kill.ended, 1) if is_there else None

    def _ask(
        self,
        users: int,
        seconds: float,
        *,
        think: float,
        cold_every: float | None = None,
        seen: Callable[[], None] = lambda: None,
    ) -> Told:
        crowds = [
            Crowd(
                origin=self._trial.stack.addresses.api_url,
                token=self._trial.token,
                users=users // PROCESSES,
                seconds=seconds,
                seed=self._next_seed(),
                think_seconds=think,
                cold_every=cold_every and cold_every * PROCESSES,
            )
            for _ in range(PROCESSES)
        ]
        told, running = Told(), [_start(crowd) for crowd in crowds]
        readers = [threading.Thread(target=_collect, args=(each, told)) for each in running]
        for reader in readers:
            reader.start()

        def is_over() -> bool:
            seen()
            return not any(map(threading.Thread.is_alive, readers))

        self._trial.watch(is_over, seconds=seconds + 120)
        for process in running:
            process.kill()
        return told

    def _next_seed(self) -> int:
        self._cold += 1
        return self._plan.seed % 100 + self._cold

    def _ask_for_a_cold_one(self) -> None:
        dice = random.Random(f"{self._plan.seed} {time.monotonic()}")  # noqa: S311 - any will do
        symbol = "W" + "".join(dice.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ", k=4))
        self._gateway(f"/api/v1/stocks/quote/{symbol}")

    def _health(self) -> Mapping[str, Any] | None:
        status, body = self._gateway("/api/v1/pool?limit=500")
        if status != http.client.OK:
            return None
        accounts = json.loads(body)["accounts"]
        mine = next(each for each in accounts if each["account_id"] == VICTIM)
        told: Mapping[str, Any] | None = mine["market_data"]
        return told

    def _metrics(self) -> Counter[str]:
        """Failovers of all, and failed calls of the victim, by process."""
        status, body = self._gateway("/metrics")
        if status != http.client.OK:
            raise RuntimeError(f"/metrics answered {status}: {body[:200]!r}")
        found: Counter[str] = Counter()
        for family in text_string_to_metric_families(body.decode()):
            for sample in family.samples:
                if sample.name == "opitios_market_data_failovers_total":
                    found["failovers"] += int(sample.value)
                if (
                    sample.name == "opitios_market_data_calls_total"
                    and sample.labels["account_id"] == VICTIM
                    and sample.labels["outcome"] != "answered"
                ):
                    found["failed"] += int(sample.value)
        return found

    def _data_calls(self) -> Counter[str]:
        told = json.loads(self._sandbox("GET", "calls"))["calls"]
        found: Counter[str] = Counter()
        for account, routes in told.items():
            calls = (count for route, count in routes.items() if route.split()[1].startswith(DATA))
            found[account] += sum(calls)
        return found

    def _gateway(self, path: str) -> tuple[int, bytes]:
        port, token = self._trial.stack.addresses.api, self._trial.token
        return _call(port, "GET", path, headers={"Authorization": f"Bearer {token}"})

    def _sandbox(self, method: str, name: str, body: Any = None) -> bytes:
        port = self._trial.stack.addresses.sandbox
        status, said = _call(port, method, f"/sandbox/{name}", body)
        if status != http.client.OK:
            raise RuntimeError(f"the sandbox answered {status}: {said!r}")
        return said


def _grown(before: Counter[str], after: Counter[str], name: str) -> int:
    return after[name] - before[name]


def _call(
    port: int, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
) -> tuple[int, bytes]:
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        given = {"Content-Type": "application/json", **(headers or {})}
        line.request(method, path, None if body is None else json.dumps(body), given)
        answer = line.getresponse()
        return answer.status, answer.read()
    finally:
        line.close()


def _start(crowd: Crowd) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.campaigns.users"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    if process.stdin is None:
        raise RuntimeError("the users have no pipe")
    process.stdin.write(json.dumps(asdict(crowd)).encode())
    process.stdin.close()
    return process


def _collect(process: "subprocess.Popen[bytes]", told: Told) -> None:
    if process.stdout is None:
        raise RuntimeError("the users have no pipe")
    said = process.stdout.read()
    process.stdout.close()
    process.wait()
    told.add(Told.of_json(json.loads(said)))


def campaign(
    plan: Plan, tell: Tell, advance: Callable[[int], None] = lambda _phases: None
) -> dict[str, Any]:
    """Run it; the evidence. Raises StartupError where the gateway does not even start."""
    began = clock.monotonic()
    with started(ACCOUNTS, plan.seed, tell) as trial:
        under_way = Campaign(trial, plan, tell)
        under_way.limit()
        tell("users", f"{plan.users} for {plan.seconds:.0f} s")
        minute = under_way.minute()
        advance(1)
        kills = []
        for done, fault in enumerate(FAULTS, start=2):
            kills.append(under_way.kill(fault))
            advance(done)
    return _evidence(plan, minute, kills, clock.monotonic() - began)


def _evidence(plan: Plan, minute: Minute, kills: list[Kill], seconds: float) -> dict[str, Any]:
    disagreements = judge(minute, kills)
    return {
        "campaign": "quotes",
        "holds": not disagreements,
        "seed": plan.seed,
        **origin(),
        "users": plan.users,
        "users_seconds": round(minute.seconds, 1),
        "answers": _answers(minute.told),
        "upstream_calls_by_account": dict(sorted(minute.calls.items())),
        "allowed_a_minute": PLAN_PER_MINUTE,
        "kills": [_kill_json(kill) for kill in kills],
        "seconds": round(seconds, 1),
        "disagreements": disagreements,
    }


def _kill_json(kill: Kill) -> dict[str, Any]:
    in_flight = len(kill.told.failures) - len(kill.late_failures)
    return {
        "fault": kill.fault,
        "for_seconds": round(kill.ended - kill.began, 1),
        "answers": _answers(kill.told),
        "failed_of_those_in_flight": in_flight,
        "failed_of_those_asked_later": len(kill.late_failures),
        "calls_that_failed": kill.failed_calls,
        "failovers": kill.failovers,
        "shown_resting": kill.seen_resting,
        "last_failure": kill.failure,
        "asked_again_after_seconds": kill.back_after,
    }


def _answers(told: Told) -> dict[str, Any]:
    return {
        "by_status": dict(sorted(told.statuses.items())),
        "by_source": dict(sorted(told.sources.items())),
        "refused": dict(sorted(Counter(reason for *_, reason in told.failures).items())),
        "p50_ms": percentile(told.milliseconds, 50) if told.milliseconds else None,
        "p99_ms": percentile(told.milliseconds, 99) if told.milliseconds else None,
        "slowest_ms": max(told.milliseconds, default=None),
    }
