"""What the rows of the corpus have in common: nothing changes, nothing leaks, every case is told.

Import late from a conftest: Django is set up after conftests are read.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from django.http import HttpResponse

from opitios.core import database
from tests.api.calls import GOOD, PROBLEM_KEYS, Api
from tests.support.sandbox_process import SandboxProcess

Case = TypeVar("Case")

# A row that tries fewer tries nothing.
MANY = 20

_BOOKS = """
SELECT (SELECT count(*) FROM trading_order WHERE account_id = %(a)s) AS orders,
    (SELECT max(seq) FROM trading_order WHERE account_id = %(a)s) AS last_change,
    (SELECT count(*) FROM trading_attempt t JOIN trading_order o ON o.id = t.order_id
     WHERE o.account_id = %(a)s) AS attempts,
    (SELECT count(*) FROM trading_fill WHERE account_id = %(a)s) AS fills,
    (SELECT seq FROM accounts_journalhead WHERE account_id = %(a)s) AS head,
    (SELECT encode(hash, 'hex') FROM accounts_journalhead WHERE account_id = %(a)s) AS hash
"""


def books(account_id: str) -> dict[str, Any]:
    """What an account's rows and journal come to."""
    found = database.row(_BOOKS, {"a": account_id})
    assert found is not None
    return found


@contextmanager
def untouched(*accounts: str, broker: SandboxProcess | None = None) -> Iterator[None]:
    """Nothing is stored for these accounts meanwhile, and the broker is written to by nobody."""
    before = [books(each) for each in accounts], received(broker, accounts)
    yield
    assert ([books(each) for each in accounts], received(broker, accounts)) == before


def received(broker: SandboxProcess | None, accounts: Sequence[str]) -> list[int]:
    """How many submits and cancels the broker really received for each account."""
    return [len(broker.ledger(account=each)) for each in accounts] if broker else []


def in_every_case(cases: Iterable[Case], check: Callable[[Case], object]) -> None:
    """Check every case, and tell all that fail together."""
    failed, count = [], 0
    for case in cases:
        count += 1
        try:
            check(case)
        except AssertionError as error:
            failed.append(f"{ascii(case)[:200]}: {str(error)[:300]}")
    assert failed == []
    assert count >= MANY


def refused(answer: HttpResponse, *statuses: int, hides: Sequence[str] = ()) -> dict[str, Any]:
    """A refusal of ours, with one of these statuses (none: any 4xx), that shows none of `hides`."""
    assert 400 <= answer.status_code < 500, (answer.status_code, answer.content[:300])
    assert not statuses or answer.status_code in statuses, answer.status_code
    assert answer["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = json.loads(answer.content)
    assert list(body) == PROBLEM_KEYS
    assert body["status"] == answer.status_code
    assert body["origin"] == "gateway"
    assert "Traceback" not in body["detail"]
    shown = answer.content.decode() + str(dict(answer.headers))
    assert [each for each in hides if each in shown] == []
    return body


def written(token: str, field: str, base: dict[str, Any]) -> bytes:
    """A good order with one field spelled in the JSON exactly as told."""
    mark = "\u0394here\u0394"
    raw = json.dumps({**base, field: mark}, ensure_ascii=False)
    return raw.replace(f'"{mark}"', token).encode("utf-8", "surrogatepass")


def order(**changed: Any) -> dict[str, Any]:
    """A good order with some fields changed; None leaves one out."""
    both = {**GOOD, **changed}
    return {name: value for name, value in both.items() if value is not None}


def refused_orders(api: Api, bodies: Iterable[Any]) -> None:
    """Each of these orders is refused at the edge and leaves nothing."""

    def check(body: Any) -> None:
        refused(api.place(body), 400, 413, 422)

    with untouched(api.account):
        in_every_case(bodies, check)
