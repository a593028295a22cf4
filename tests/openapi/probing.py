"""Cases that schemathesis makes of the API's own document, and what each answer is held against.

Half of the cases of an operation fit its description, half do not. Whatever comes, no answer is a
5xx, and each has a documented status, media type, headers and body.
"""

import copy
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import InvalidArgument, Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Err
from schemathesis.core.transport import Response
from schemathesis.schemas import APIOperation, BaseSchema
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.openapi.document import close

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
SYMBOLS = ("AAPL", "MSFT", "SPY", "BRK.B")
# How many of ten cases are about something that exists.
KNOWN_OF_TEN = 9
# Newest orders that later cases are about.
REMEMBERED = 200
# Shown of an answer that does not fit.
SHOWN = 400

AnyCase = Case[Any]
Operation = APIOperation[Any, Any, Any, Any]
Send = Callable[[AnyCase], Response]


@dataclass
class Met:
    """What came of the cases."""

    cases: int = 0
    by_operation: Counter[str] = field(default_factory=Counter)
    by_status: Counter[int] = field(default_factory=Counter)
    by_mode: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


class Prober:
    """Tries every operation of a document; `send` puts a case on the wire with a good token."""

    def __init__(
        self, document: dict[str, Any], send: Send, *, accounts: Sequence[str], seed: int
    ) -> None:
        closed = copy.deepcopy(document)
        # Clients may meet new keys one day; here an answer has those that are told, and no other.
        close(closed["components"]["schemas"])
        # The token is the caller's: no case is about having none.
        for operations in closed["paths"].values():
            for told in operations.values():
                told.pop("security", None)
        self.schema: BaseSchema = schemathesis.openapi.from_dict(closed)
        self.met = Met()
        self._send = send
        self._accounts = accounts
        self._seed = seed
        self._dice = random.Random(seed)  # noqa: S311 - repeatable on purpose
        self._orders: list[tuple[str, str]] = []

    def operations(self) -> list[Operation]:
        """Every operation, those first that make what others read.

        Raises the error of one that the document describes wrongly.
        """
        found = [_described(result) for result in self.schema.get_all_operations()]
        return sorted(found, key=lambda each: each.method.lower() != "post")

    def reseed(self, seed: int) -> None:
        """Let the next cases be other ones."""
        self._seed = seed

    def probe(self, operation: Operation, cases: int) -> None:
        """Try so many cases of one operation; fewer where it has no more."""
        for mode in MODES:
            self._probe(operation, mode, max(1, cases // len(MODES)))

    def _probe(self, operation: Operation, mode: GenerationMode, cases: int) -> None:
        @seed(self._seed)
        @settings(max_examples=cases, database=None, deadline=None, phases=[Phase.generate],
                  suppress_health_check=list(HealthCheck))  # fmt: skip
        @given(case=operation.as_strategy(generation_mode=mode))
        def tried(case: AnyCase) -> None:
            self._try(case, mode)

        try:
            tried()
        except (Unsatisfiable, InvalidArgument):
            # Nothing can be wrong about an operation that takes nothing.
            if mode is GenerationMode.POSITIVE:
                raise

    def _try(self, case: AnyCase, mode: GenerationMode) -> None:
        self._make_known(case)
        name = f"{case.method} {case.operation.path}"
        self.met.cases += 1
        self.met.by_operation[name] += 1
        self.met.by_mode[mode.value] += 1
        try:
            answer = self._send(case)
        except requests.RequestException as error:
            self.met.failures.append(f"{name}: {error!r} {case.as_curl_command()[:SHOWN]}")
            return
        self.met.by_status[answer.status_code] += 1
        self._hold(case, answer, name)
        self._remember(case, answer)

    def _hold(self, case: AnyCase, answer: Response, name: str) -> None:
        try:
            case.validate_response(answer, checks=CHECKS)
        except FailureGroup as group:
            why = "; ".join(f"{each.title}: {each.message}"[:SHOWN] for each in group.exceptions)
            said = answer.content[:SHOWN].decode(errors="replace")
            asked = f"{case.formatted_path} {case.query} {case.body!r}"[:SHOWN]
            self.met.failures.append(f"{name} {answer.status_code}: {why} | {said} | {asked}")

    def _make_known(self, case: AnyCase) -> None:
        """Let most cases be about what exists: otherwise most would be the same 404."""
        known = case.path_parameters
        if not known or self._dice.randrange(10) >= KNOWN_OF_TEN:
            return
        account, order = self._dice.choice(self._accounts), None
        if "order_id" in known and self._orders:
            account, order = self._dice.choice(self._orders)
        values = {"account_id": account, "order_id": order, "symbol": self._dice.choice(SYMBOLS)}
        known.update({name: value for name, value in values.items() if name in known and value})

    def _remember(self, case: AnyCase, answer: Response) -> None:
        if answer.status_code == requests.codes.accepted and case.method.upper() == "POST":
            order = answer.json()
            self._orders = [*self._orders, (order["account_id"], order["id"])][-REMEMBERED:]


def _described(result: Any) -> Operation:
    if isinstance(result, Err):
        raise result.err()
    return cast("Operation", result.ok())
