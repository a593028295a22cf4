"""Generated cases against a running gateway: whatever is sent, it answers as its document tells.

schemathesis makes the cases (tests/openapi/probing.py); processes, database and broker are real.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import requests
from schemathesis.core.transport import Response

from opitios.core import clock
from tests.campaigns import trial
from tests.campaigns.evidence import origin
from tests.openapi.probing import AnyCase, Met, Operation, Prober
from tests.support.until import until

# What one case may take: a read of the broker takes seconds where all accounts are slow.
CALL_SECONDS = 30.0
# Fewer show little.
FEWEST = 5000
Tell = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """How many cases at least, over how many accounts, and which."""

    cases: int
    accounts: int
    seed: int


def campaign(plan: Plan, tell: Tell, advance: Callable[[int], None]) -> dict[str, Any]:
    """Run the cases; the evidence: what was tried, what was answered, and whether all of it fits.

    Raises:
        StartupError: the gateway did not start.
    """
    began, code = clock.monotonic(), origin()
    with trial.started(plan.accounts, plan.seed, tell) as running:
        caller = _Caller(running.stack.addresses.api_url, running.token)
        prober = Prober(
            caller.document(),
            caller.send,
            accounts=[f"account_{number:03}" for number in range(1, plan.accounts + 1)],
            seed=plan.seed,
        )
        _probe_all(prober, plan, caller, advance)
        restarts = running.restarts()
    return code | _evidence(plan, prober.met, restarts, clock.monotonic() - began)


def _probe_all(
    prober: Prober, plan: Plan, caller: "_Caller", advance: Callable[[int], None]
) -> None:
    operations = prober.operations()
    each = plan.cases // len(operations) + 2
    for operation in operations:
        prober.probe(operation, each)
        advance(prober.met.cases)
    # What has more to vary is tried again until there are enough.
    rounds = 0
    while prober.met.cases < plan.cases and (rounds := rounds + 1) < len(operations):
        prober.reseed(plan.seed + rounds)
        for operation in _rich(operations):
            prober.probe(operation, each)
            advance(prober.met.cases)
    caller.session.close()


def _rich(operations: list[Operation]) -> list[Operation]:
    return [each for each in operations if each.body or len(each.query) > 1]


class _Caller:
    """Sends cases with a token that may do everything with every account."""

    def __init__(self, url: str, token: str) -> None:
        self.session = requests.Session()
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"}

    def document(self) -> dict[str, Any]:
        """The document as anybody reads it."""
        answer = self.session.get(f"{self._url}/api/schema?format=json", timeout=CALL_SECONDS)
        document: dict[str, Any] = answer.json()
        return document

    def send(self, case: AnyCase) -> Response:
        """Send one case. A halt that it sets is lifted at once: later orders shall be taken."""
        # Nobody has time for a verdict a thousand times.
        case.headers.pop("Prefer", None)
        answer = case.call(
            base_url=self._url, session=self.session, headers=self._headers, timeout=CALL_SECONDS
        )
        if answer.status_code == requests.codes.created and case.path.endswith("/halts"):
            self._lift(json.loads(answer.content)["id"])
        return answer

    def _lift(self, halt_id: str) -> None:
        # What an operator does is limited, too: it is asked again until it is done.
        path = f"{self._url}/api/v1/halts/{halt_id}"
        until(lambda: self._delete(path) != requests.codes.too_many_requests, seconds=CALL_SECONDS)

    def _delete(self, path: str) -> int:
        answer = self.session.delete(path, headers=self._headers, timeout=CALL_SECONDS)
        if answer.status_code != requests.codes.too_many_requests:
            answer.raise_for_status()
        return answer.status_code


def _evidence(plan: Plan, met: Met, restarts: int, seconds: float) -> dict[str, Any]:
    enough = met.cases >= min(plan.cases, FEWEST)
    return {
        "campaign": "schemathesis",
        "holds": enough and not met.failures and restarts == 0,
        "seed": plan.seed,
        "cases": met.cases,
        "accounts": plan.accounts,
        "operations": len(met.by_operation),
        "by_operation": dict(sorted(met.by_operation.items())),
        "by_mode": dict(sorted(met.by_mode.items())),
        "by_status": {str(status): count for status, count in sorted(met.by_status.items())},
        "processes_restarted": restarts,
        "seconds": round(seconds, 1),
        "disagreements": met.failures,
    }
