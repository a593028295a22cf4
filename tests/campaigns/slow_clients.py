"""The slow-clients campaign: crowds of them against `make up`, while another subject trades.

Each crowd is compared with the same traffic just before it. Nothing of the honest subject may be
refused or late, the memory of web must stay flat, and `make down` must end it under attack.
"""

import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from benchmarks.rows import percentile
from opitios.core import clock
from opitios.core.embedded import processes
from opitios.management.stack import account_ids
from tests.campaigns import evidence
from tests.campaigns.crawlers import Crowd, kinds
from tests.operator.clone import Clone

# An honest request each so often: half of them place an order, half read the orders.
EVERY_SECONDS = 0.05
# Later than this is late: what slow clients take is time without end, not milliseconds.
LATE_SECONDS = 1.0
# What allocators and caches add by themselves.
FLAT_MIB = 16.0
DOWN_SECONDS = 60.0

ORDER = {"symbol": "AAPL", "side": "buy", "type": "limit", "time_in_force": "day", "qty": "1",
         "limit_price": "1.00"}  # fmt: skip

Tell = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """How many slow clients at a time, for how long each kind, at a gateway of so many accounts."""

    clients: int = 50
    seconds: float = 15.0
    accounts: int = 10


@dataclass(slots=True)
class Traffic:
    """What an honest subject got."""

    statuses: Counter[str] = field(default_factory=Counter)
    seconds_each: list[float] = field(default_factory=list)

    @property
    def is_unhurt(self) -> bool:
        """Whether nothing was refused, broken or late."""
        return set(self.statuses) <= {"200", "202"} and max(self.seconds_each) < LATE_SECONDS

    def as_json(self) -> dict[str, Any]:
        """Counts and milliseconds."""
        return {
            "requests": len(self.seconds_each),
            "answers": dict(sorted(self.statuses.items())),
            "p50_ms": self.ms(50),
            "p99_ms": self.ms(99),
            "slowest_ms": round(max(self.seconds_each) * 1000, 1),
        }

    def ms(self, percent: int) -> float:
        """A percentile, in milliseconds."""
        return round(percentile(self.seconds_each, percent) * 1000, 1)


@dataclass(frozen=True, slots=True)
class Honest:
    """A subject whose program places orders in turn in its accounts, and reads them."""

    url: str
    token: str
    accounts: list[str]

    def trade(self, seconds: float, *, least: int = 0) -> Traffic:
        """Place and read for so long, at a steady pace; so many requests at least."""
        traffic, pause = Traffic(), threading.Event()
        with requests.Session() as session:
            session.headers["Authorization"] = f"Bearer {self.token}"
            due, until = clock.monotonic(), clock.monotonic() + seconds
            while due < until or len(traffic.seconds_each) < least:
                pause.wait(max(0.0, due - clock.monotonic()))
                began = clock.monotonic()
                traffic.statuses[self._ask(session, len(traffic.seconds_each))] += 1
                traffic.seconds_each.append(clock.monotonic() - began)
                due = max(due + EVERY_SECONDS, clock.monotonic())
        return traffic

    def _ask(self, session: requests.Session, number: int) -> str:
        account = self.accounts[number // 2 % len(self.accounts)]
        orders = f"{self.url}/api/v1/accounts/{account}/orders"
        try:
            if number % 2 == 0:
                return str(session.post(f"{orders}/stocks", json=ORDER, timeout=10).status_code)
            return str(session.get(f"{orders}?limit=5", timeout=10).status_code)
        except requests.RequestException as error:
            return type(error).__name__


def campaign(plan: Plan, tell: Tell) -> dict[str, Any]:
    """Run it, and say what was seen: the evidence, with `holds`."""
    with tempfile.TemporaryDirectory(prefix="opitios-slow-") as folder:
        clone = Clone(Path(folder), ACCOUNTS=str(plan.accounts))
        try:
            return _attacked(clone, plan, tell)
        finally:
            clone.remove()


def _attacked(clone: Clone, plan: Plan, tell: Tell) -> dict[str, Any]:
    tell("make up", f"{plan.accounts} accounts")
    code, said = clone.do("quickstart up")
    if code != 0:
        raise RuntimeError(said)
    port = urlsplit(clone.handout["API_URL"]).port or 0
    slow, *others = account_ids(plan.accounts)
    every = kinds(f"/api/v1/accounts/{slow}/orders/stocks", _token(clone, "slow", slow))
    honest = Honest(clone.handout["API_URL"], _token(clone, "honest", *others), others)
    rounds = [_round(clone, honest, Crowd(port, kind, plan.clients), plan, tell) for kind in every]
    ending = _end_under_attack(clone, Crowd(port, every[-1], plan.clients), tell)
    return {
        "campaign": "slow-clients",
        "holds": ending["holds"] and all(each["holds"] for each in rounds),
        **evidence.origin(),
        "clients_at_a_time": plan.clients,
        "seconds_each": plan.seconds,
        "crowds": rounds,
        "make_down_under_attack": ending,
    }


def _token(clone: Clone, subject: str, *accounts: str) -> str:
    words = f"--accounts {','.join(accounts)} --permissions account_read,trade --sub {subject}"
    code, said = clone.do(f"mint_token {words} --ttl 1h")
    if code != 0:
        raise RuntimeError(said)
    return said.split()[-1]


def _round(clone: Clone, honest: Honest, crowd: Crowd, plan: Plan, tell: Tell) -> dict[str, Any]:
    tell(crowd.kind.name, "before")
    before, at_rest = honest.trade(plan.seconds), _memory_mib(clone)
    tell(crowd.kind.name, f"{crowd.clients} of them")
    with crowd:
        during, most = honest.trade(plan.seconds), _memory_mib(clone)
    grown = most - at_rest
    return {
        "kind": crowd.kind.name,
        "holds": during.is_unhurt and grown < FLAT_MIB,
        "crowd": crowd.as_json(),
        "others_before": before.as_json(),
        "others_meanwhile": during.as_json(),
        "p99_ratio": round(during.ms(99) / before.ms(99), 2),
        "memory_mib": {"before": round(at_rest, 1), "grown_by": round(grown, 1)},
    }


def _memory_mib(clone: Clone) -> float:
    """What web's processes hold now."""
    parent = clone.pid("web-1")
    return sum(_rss_mib(pid) for pid in (parent, *processes.children_of(parent)))


def _rss_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def _end_under_attack(clone: Clone, crowd: Crowd, tell: Tell) -> dict[str, Any]:
    tell("make down", "under attack")
    with crowd:
        has_come = processes.wait_for(lambda: crowd.opened >= crowd.clients, 30)
        began = clock.monotonic()
        code, _ = clone.do("quickstart down")
        took = clock.monotonic() - began
    left = clone.left()
    return {
        "holds": has_come and code == 0 and not left and took < DOWN_SECONDS,
        "exit_code": code,
        "seconds": round(took, 1),
        "left": left,
    }


def reasons(told: dict[str, Any]) -> list[str]:
    """What did not hold, in words."""
    bad = [each for each in told["crowds"] if not each["holds"]]
    found = [f"{each['kind']}: {each['others_meanwhile']} {each['memory_mib']}" for each in bad]
    ending = told["make_down_under_attack"]
    return found if ending["holds"] else [*found, f"make down: {ending}"]
