"""What an answer's time could tell: the same steps for what must look the same (H179, H180).

How long they take is measured by `make campaigns` (tests/campaigns/timing.py).
"""

import ast
import hmac
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest

from accounts.refusals import get_refusals
from tests.accounts.issuer import token
from tests.api.calls import Api
from tests.docs.pages import ROOT
from tests.hostile.corpus import in_every_case, refused
from tests.hostile.forgeries import good, ring, use

pytestmark = pytest.mark.django_db

# What is compared in constant time, by its name, wherever our code compares with == or !=.
SECRET_NAMES = {"secret", "password", "signature", "mac", "hmac", "token", "api_key", "secret_key"}
ROOMS = ("accounts", "opitios", "streaming", "trading", "marketdata")


@pytest.fixture(autouse=True)
def keys(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ring with a key of every kind, and no refusal counted yet: an entry names ten accounts."""
    use(monkeypatch, ring())
    get_refusals().flush()


@contextmanager
def functions_called() -> Iterator[Counter[str]]:
    """Count the calls of our own functions, in this thread."""
    found: Counter[str] = Counter()

    def note(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event == "call" and _is_ours(code.co_filename):
            found[f"{code.co_filename}:{code.co_qualname}"] += 1

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield found
    finally:
        sys.setprofile(before)


def _is_ours(file: str) -> bool:
    # Libraries clear up after others when they please: weak references, caches.
    return file.startswith(f"{ROOT}/") and not file.startswith(f"{ROOT}/.venv/")


def steps(ask: Callable[[], Any], statements: list[str]) -> tuple[dict[str, int], list[str]]:
    """The functions of ours and the statements that one question takes."""
    ask()
    statements.clear()
    with functions_called() as found:
        answer = ask()
    refused(answer, 401, 404)
    return dict(found), list(statements)


def test_h179_foreign_and_unknown_accounts_take_the_same_steps(
    api: Api, statements: list[str]
) -> None:
    signed = f"Bearer {token(good(api))}"
    foreign, unknown = Api.open().account, "t-0123456789ab"

    def asked(account: str, rest: str) -> tuple[dict[str, int], list[str]]:
        path = f"/api/v1/accounts/{account}/{rest}"
        return steps(lambda: api.get(path, Authorization=signed), statements)

    for rest in ("orders", "positions", "account", "journal", "orders/x", "fills"):
        of_foreign, of_unknown = asked(foreign, rest), asked(unknown, rest)
        assert of_foreign == of_unknown
        assert of_foreign[1] == []


def test_h179_a_badly_signed_token_takes_the_same_steps_whatever_it_asks_for(
    api: Api, statements: list[str]
) -> None:
    made = token(good(api))
    head, _, signature = made.rpartition(".")
    forged = [
        f"{head}.{signature[:n]}{'A' if signature[n] != 'A' else 'B'}{signature[n + 1 :]}"
        for n in (0, 1, 20, 40, 41)
    ]
    accounts = [api.account, Api.open().account, "t-0123456789ab", "nobody", "x" * 64]
    known, sent = _of_forged(api, forged[0], api.account, statements)
    assert sent == []

    def takes_the_same(case: tuple[str, str]) -> None:
        found, statements_sent = _of_forged(api, *case, statements)
        assert found == known
        assert statements_sent == []

    in_every_case([(each, account) for each in forged for account in accounts], takes_the_same)


def _of_forged(
    api: Api, forged: str, account: str, statements: list[str]
) -> tuple[dict[str, int], list[str]]:
    path = f"/api/v1/accounts/{account}/orders"
    return steps(lambda: api.get(path, Authorization=f"Bearer {forged}"), statements)


def test_h180_a_shared_secret_s_signature_is_compared_in_constant_time(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[Any, Any]] = []
    compare = hmac.compare_digest

    def noting(one: Any, other: Any) -> bool:
        compared.append((one, other))
        return compare(one, other)

    monkeypatch.setattr(hmac, "compare_digest", noting)
    made = token(good(api))
    for forged in (made[:-6] + "AAAAAA", made.rpartition(".")[0] + "." + "A" * 43):
        compared.clear()
        refused(api.get(Authorization=f"Bearer {forged}"), 401)
        assert [len(one) for one, _ in compared] == [32]


def test_h180_our_code_compares_no_secret_with_an_equals_sign() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for room in ROOMS
        for path in sorted((ROOT / room).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Compare)
        and any(isinstance(operator, (ast.Eq, ast.NotEq)) for operator in node.ops)
        and any(_is_secret(each) for each in (node.left, *node.comparators))
    ]

    assert found == []


def _is_secret(node: ast.expr) -> bool:
    name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
    return name in SECRET_NAMES
