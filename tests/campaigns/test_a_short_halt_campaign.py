"""The halt campaign's short case, in this process: a real desk, the sandbox, a burst (G16, T50)."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from accounts.models import JournalEntry
from opitios.core import clock, database
from tests.campaigns.halting import Books, Findings, Halted, judge
from tests.campaigns.ledger import Submit, read_ledger
from tests.support.accounts import open_accounts
from tests.support.halting import halted
from tests.support.orders import asked, place, row_of
from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until
from tests.trading.desks import running_desk
from trading import halts, orders
from trading.orders import Accepted

pytestmark = pytest.mark.django_db

ORDERS = 100
# So many of them come when the halt stands, whoever was quicker till then.
AFTERWARDS = 10


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    with SandboxProcess(tmp_path_factory.mktemp("sandbox")) as process:
        process.pin_price("AAPL", "187.20", "187.21")
        yield process


def confirmed(row: dict[str, Any]) -> Halted:
    """What the API would answer, and the database's clock after it."""
    answer = {**halts.halt_json(row), "in_flight": halts.in_flight(row)}
    now = database.row("SELECT clock_timestamp() AS at")
    assert now is not None
    return Halted(answer, now["at"], 0.0)


def books(placed: list[Accepted], ledger: Path) -> Books:
    """Our side of these orders, and the broker's."""
    rows = [row_of(each) for each in placed]
    ids, names = {row["id"] for row in rows}, {row["client_order_id"] for row in rows}
    claims = JournalEntry.objects.filter(order_id__in=ids, kind="order.submitting")
    return Books(
        orders=rows,
        claims=[(str(each.order_id), each.recorded_at) for each in claims],
        submits=[s for s in read_ledger(ledger).submits if s.client_order_id in names],
    )


def test_g16_t50_after_a_halt_is_confirmed_nothing_of_a_burst_is_claimed(
    sandbox: SandboxProcess,
) -> None:
    accounts = open_accounts(4, url=sandbox.url)
    half, stands = threading.Semaphore(0), threading.Event()

    def one(number: int) -> Accepted:
        if number >= ORDERS - AFTERWARDS:
            stands.wait(60)
        try:
            return place(accounts[number % len(accounts)], qty=Decimal(1))
        finally:
            half.release()
            database.release()

    with running_desk(*accounts) as desk, ThreadPoolExecutor(4) as clients:
        resting = desk.wait_for(place(accounts[0], limit_price=Decimal(1)), "new")
        sandbox.fault("delay", route="POST /v2/orders", ms=100, times=0)
        placing = [clients.submit(one, number) for number in range(ORDERS)]
        for _ in range(ORDERS // 2):
            assert half.acquire(timeout=60)
        # The halt is to meet the desk at work, however late that began.
        until(lambda: any(each.done() and row_of(each.result())["attempts"] for each in placing))
        with halted() as row:
            stands.set()
            told = confirmed(row)
            placed = [each.result(60) for each in placing]
            until(lambda: all(row_of(each)["status"] not in {"queued", "submitting"}
                              for each in placed), seconds=30)  # fmt: skip
            orders.cancel_order(resting, asked())
            desk.wait_for(resting, "canceled")
        sandbox.clear_faults()
        desk.wait_for(place(accounts[0]), "filled")
        found = books(placed, sandbox.data / "ledger.jsonl")

    findings = judge(told, found, door=sum(each.denied is not None for each in placed))
    assert findings.disagreements == []
    assert findings.claimed_before + findings.denied_in_the_queue + findings.denied_at_the_door == (
        ORDERS
    )


# The judge itself

NOW = clock.now()
SENT = {"id": "a", "client_order_id": "op1-a", "status": "filled", "reason": None,
        "updated_at": NOW}  # fmt: skip
DENIED = {**SENT, "id": "b", "client_order_id": "op1-b", "status": "denied", "reason": "halted"}
AT_DOOR = {**DENIED, "id": "c", "client_order_id": "op1-c"}
HALT = Halted({"set_at": clock.rfc3339(NOW), "in_flight": []}, NOW + timedelta(seconds=1), 1.0)


def submit(name: str, seconds: float) -> Submit:
    """An order the broker received so long after the halt was set."""
    return Submit((NOW + timedelta(seconds=seconds)).timestamp(), "x", name, {}, 200)


GOOD = Books(
    orders=[SENT, DENIED, AT_DOOR],
    claims=[("a", NOW - timedelta(seconds=1))],
    submits=[submit("op1-a", -1)],
)


def judged(books: Books, halted: Halted = HALT) -> Findings:
    """What the judge finds."""
    return judge(halted, books, door=1)


def test_the_judge_is_content_with_a_halt_that_held() -> None:
    assert judged(GOOD).disagreements == []
    late = replace(GOOD, submits=[submit("op1-a", 2)])
    named = replace(HALT, answer={**HALT.answer, "in_flight": [{"order_id": "a"}]})
    assert judged(late, named).disagreements == []


@pytest.mark.parametrize(
    ("books", "word"),
    [
        (replace(GOOD, claims=[*GOOD.claims, ("b", NOW + timedelta(microseconds=1))]), "claimed"),
        (replace(GOOD, submits=[*GOOD.submits, submit("op1-b", -1)]), "never claimed"),
        (replace(GOOD, submits=[submit("op1-a", 2)]), "not named in_flight"),
        (replace(GOOD, orders=[SENT, {**DENIED, "status": "queued"}, AT_DOOR]), "was not sent"),
        (replace(GOOD, orders=[SENT, {**DENIED, "reason": "x"}, AT_DOOR]), "was not sent"),
        (replace(GOOD, orders=[{**SENT, "status": "denied"}, DENIED, AT_DOOR]), "was sent"),
        (replace(GOOD, orders=[SENT, AT_DOOR]), "did not meet a burst"),
        (replace(GOOD, claims=[], orders=[DENIED, AT_DOOR]), "did not meet a burst"),
    ],
)
def test_the_judge_sees_what_is_wrong(books: Books, word: str) -> None:
    assert any(word in each for each in judged(books).disagreements)
