"""Writes of many threads in one transaction: none hinders another (docs/adr/0011)."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from uuid import uuid4

import pytest
from django.db import DatabaseError, connection, transaction

from accounts import journal
from opitios.core import jsontext
from tests.support.accounts import lease, open_account
from tests.support.crowd import patient
from tests.support.orders import CAUSE, asked, entries, kinds, placed_row, report, row_of
from tests.support.until import until
from tests.trading.crowds import reached
from trading import executions, orders, writes
from trading.executions import Row
from trading.writes import Write, Written

pytestmark = pytest.mark.django_db

OWNER = "desk-1/w"


@pytest.fixture
def accounts() -> list[str]:
    made = [open_account() for _ in range(4)]
    for account_id in made:
        lease(account_id, OWNER)
    return made


def claiming(row: Row, seq: int | None = None) -> Write:
    """The claim of one order, decided on its row or on another version of it."""
    expected = row["seq"] if seq is None else seq
    body = jsontext.canonical(journal.body(actor=CAUSE.actor))
    return Write(row["id"], expected, owner=OWNER, process="desk-1", body=body)


def named(row: Row, broker_order_id: str) -> Write:
    """The change that gives an order its name at the broker."""
    patch = {"broker_order_id": broker_order_id, "status": "new"}
    body = jsontext.canonical(journal.body(actor=CAUSE.actor))
    return Write(row["id"], row["seq"], kind="order.new", body=body, patch=patch)


def test_each_is_answered_in_its_place_and_a_stale_one_hinders_no_other(
    accounts: list[str],
) -> None:
    rows = [placed_row(account_id) for account_id in (*accounts, *accounts)]
    several = [claiming(row) for row in rows]
    several[2] = claiming(rows[2], seq=rows[2]["seq"] + 7)
    several[5] = claiming({**rows[5], "id": uuid4()})

    done = writes._write(several)

    stale = {2, 5}
    assert [one.outcome for one in done] == [
        "stale" if number in stale else "changed" for number in range(len(rows))
    ]
    for number, (row, one) in enumerate(zip(rows, done, strict=True)):
        now = row_of(row)
        assert now["status"] == ("queued" if number in stale else "submitting")
        assert now["seq"] == (row["seq"] if one.seq is None else one.seq)


def test_two_changes_of_one_order_in_one_transaction_are_the_first_and_a_stale_one(
    accounts: list[str],
) -> None:
    row = placed_row(accounts[0])
    before = kinds(row["account_id"])

    first, second = writes._write([claiming(row), claiming(row)])

    assert (first.outcome, second.outcome) == ("changed", "stale")
    assert row_of(row)["attempts"] == 1
    assert kinds(row["account_id"]) == [*before, "order.submitting"]


def test_what_the_server_refuses_fails_alone(
    accounts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, rival, other = (placed_row(accounts[0]) for _ in range(3))
    assert writes.write(named(taken, "b-1")).outcome == "changed"
    blocked = [claiming(placed_row(accounts[1])) for _ in range(writes.AT_ONCE)]
    # The first ones begin late, so that the writes behind them gather.
    gathered, call = threading.Event(), writes._combined._call

    def later(several: Sequence[Write]) -> Sequence[Written]:
        assert gathered.wait(60)
        return call(several)

    def ask(one: Write) -> str | None:
        try:
            return writes.write(one).outcome
        except DatabaseError:
            return "refused"
        finally:
            connection.close()

    monkeypatch.setattr(writes._combined, "_call", later)
    with ThreadPoolExecutor(8) as threads:
        first = [threads.submit(ask, one) for one in blocked]
        until(lambda: not writes._combined._idle)
        pair = [threads.submit(ask, named(rival, "b-1")), threads.submit(ask, named(other, "b-2"))]
        until(lambda: len(writes._combined._waiting) == len(pair))
        gathered.set()

        assert [each.result(patient(10)) for each in first] == ["changed"] * writes.AT_ONCE
        assert [each.result(patient(10)) for each in pair] == ["refused", "changed"]
    assert row_of(rival)["broker_order_id"] is None
    assert row_of(other)["broker_order_id"] == "b-2"


def test_in_a_transaction_of_its_own_a_thread_writes_for_itself(accounts: list[str]) -> None:
    row = placed_row(accounts[0])

    with transaction.atomic():
        assert writes.write(claiming(row)).outcome == "changed"
        assert row_of(row)["status"] == "submitting"
        transaction.set_rollback(True)

    assert row_of(row)["status"] == "queued"


@pytest.mark.races
def test_many_claims_and_cancels_of_the_same_accounts_never_wait_for_each_other(
    accounts: list[str],
) -> None:
    rows = [placed_row(account_id) for account_id in accounts * 8]
    together = threading.Barrier(16)

    def claim_and_acknowledge(row: Row) -> None:
        claimed = executions.claim(row, owner=OWNER, process="desk-1")
        if claimed is not None:
            executions.report(row["id"], report(row, "new"), CAUSE, seen=claimed.row)

    def cancel(row: Row) -> None:
        orders.cancel_order(row, asked())

    def each_of(mine: list[Row], do: Callable[[Row], None]) -> None:
        together.wait(60)
        for row in mine:
            reached(partial(do, row))

    with ThreadPoolExecutor(16) as threads:
        jobs = [threads.submit(each_of, rows[n::8], claim_and_acknowledge) for n in range(8)]
        jobs += [threads.submit(each_of, rows[n::8][::-1], cancel) for n in range(8)]
        for job in jobs:
            job.result(patient(30))

    assert all(row["cancel_requested_at"] or row["final"] for row in map(row_of, rows))
    for account_id in accounts:
        seqs = [each["seq"] for each in entries(account_id)]
        assert seqs == list(range(1, len(seqs) + 1))
