"""Every change is a row and an entry in one transaction; the entries alone tell the row (law 1)."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from threading import Barrier
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opitios.core import database
from tests.support.accounts import lease
from tests.support.orders import (
    CAUSE,
    asked,
    entries,
    fill,
    folded,
    kinds,
    placed_row,
    plain_json,
    report,
    row_of,
)
from tests.trading.crowds import come_again
from trading import executions, orders, queries, shapes

pytestmark = pytest.mark.django_db

Row = dict[str, Any]


def submitting(account_id: str) -> Row:
    """An order that is being sent."""
    lease(account_id, "d")
    claimed = executions.claim(placed_row(account_id), owner="d", process="desk-1")
    assert claimed is not None
    return claimed.row


def fills(row: Row) -> list[str]:
    """The execution ids of an order's fills."""
    found = database.rows(
        "SELECT execution_id FROM trading_fill WHERE order_id = %s ORDER BY id", (row["id"],)
    )
    return [each["execution_id"] for each in found]


def assert_law_1(row: Row) -> None:
    """Snapshot plus events equals the fresh snapshot, and the row names its last entry."""
    now = row_of(row)
    own = [each for each in entries(row["account_id"]) if each["order_id"] == str(row["id"])]
    assert now["seq"] == own[-1]["seq"]
    assert folded(row) == plain_json(shapes.order_json(now))


STEPS = (
    ("pending_new", {"second": 1.0}),
    ("new", {"second": 2.0}),
    ("partially_filled", {"second": 3.0, "filled_qty": "4", "filled_avg_price": "187.2",
                          "event": "partial_fill", "execution": fill("e-1", 4)}),
    ("pending_cancel", {"second": 4.0, "filled_qty": "4", "filled_avg_price": "187.2"}),
    ("partially_filled", {"second": 5.0, "filled_qty": "7", "filled_avg_price": "187.25",
                          "event": "partial_fill", "execution": fill("e-2", 3)}),
    ("canceled", {"second": 6.0, "filled_qty": "7", "filled_avg_price": "187.25",
                  "canceled_at": "2026-11-20T14:30:06.123456789Z"}),
)  # fmt: skip


def test_the_entries_fold_to_the_row_after_every_step(account: str) -> None:
    row = submitting(account)
    assert_law_1(row)

    for status, told in STEPS:
        executions.report(row["id"], report(row, status, **told), CAUSE)
        assert_law_1(row)

    now = row_of(row)
    assert (now["status"], now["final"], now["filled_qty"]) == ("canceled", True, Decimal(7))
    assert now["canceled_at"] == "2026-11-20T14:30:06.123456789Z"
    assert fills(row) == ["e-1", "e-2"]
    assert kinds(account)[2:] == [
        "order.pending_new", "order.new", "order.partial_fill", "order.pending_cancel",
        "order.partial_fill", "order.canceled",
    ]  # fmt: skip


@settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(st.sampled_from(STEPS), min_size=1, max_size=8).flatmap(st.permutations))
def test_c15_in_any_order_fills_count_once_and_the_fold_holds(
    account: str, steps: list[tuple[str, dict[str, Any]]]
) -> None:
    row = submitting(account)
    executed = {}

    for status, told in steps:
        own = dict(told)
        if "execution" in told:
            # Execution ids are the broker's, and no two orders share one.
            name = f"{told['execution'].execution_id}-{row['id']}"
            own["execution"] = replace(told["execution"], execution_id=name)
            executed[name] = own["execution"].qty
        executions.report(row["id"], report(row, status, **own), CAUSE)

    assert_law_1(row)
    assert sorted(fills(row)) == sorted(executed)
    assert row_of(row)["filled_qty"] >= sum(executed.values())


def test_an_execution_told_twice_adds_nothing(account: str) -> None:
    row = submitting(account)
    told = report(row, "filled", filled_qty="10", event="fill", execution=fill("e-1", 10))
    executions.report(row["id"], told, CAUSE)
    before = entries(account)

    again = executions.report(row["id"], told, CAUSE)

    assert fills(row) == ["e-1"]
    assert entries(account) == before
    assert again == row_of(row)


def test_a_fill_that_comes_before_the_answer_to_the_post_is_not_lost(account: str) -> None:
    row = submitting(account)
    told = report(row, "filled", second=3.0, filled_qty="10", event="fill", execution=fill("e", 10))

    executions.report(row["id"], told, CAUSE)
    executions.report(row["id"], report(row, "pending_new", second=1.0), CAUSE)

    assert row_of(row)["status"] == "filled"
    assert fills(row) == ["e"]
    assert_law_1(row)


def test_a_report_about_a_stale_row_writes_nothing(account: str) -> None:
    row = submitting(account)
    executions.report(row["id"], report(row, "new"), CAUSE)
    before = entries(account)

    assert executions.change(row, "order.unknown", {"status": "unknown"}, CAUSE) is None

    assert row_of(row)["status"] == "new"
    assert entries(account) == before


def test_a_change_of_an_order_that_is_not_there_is_told() -> None:
    with pytest.raises(LookupError):
        executions.change_by(uuid4(), lambda _row: None, CAUSE)


@pytest.mark.races
def test_writers_at_once_decide_anew_and_every_fill_is_kept(account: str) -> None:
    row = submitting(account)
    together = Barrier(8)

    def run(number: int) -> None:
        together.wait(60)
        told = report(
            row, "partially_filled", second=1.0 + number, filled_qty=str(number + 1),
            event="partial_fill", execution=fill(f"e-{number}", 1),
        )  # fmt: skip
        come_again(lambda: executions.report(row["id"], told, CAUSE))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(run, range(8)))

    assert sorted(fills(row)) == [f"e-{number}" for number in range(8)]
    assert row_of(row)["filled_qty"] == 8
    assert_law_1(row)


@pytest.mark.races
def test_a_cancel_and_a_claim_at_once_never_both_win(account: str) -> None:
    lease(account, "d")
    for _ in range(10):
        row = placed_row(account)
        together = Barrier(2)

        def cancel(row: Row = row, together: Barrier = together) -> bool:
            together.wait(60)
            return come_again(lambda: orders.cancel_order(row, asked()).never_sent)

        def claim(row: Row = row, together: Barrier = together) -> bool:
            together.wait(60)
            return come_again(lambda: executions.claim(row, owner="d", process="p") is not None)

        with ThreadPoolExecutor(2) as threads:
            canceled, claimed = threads.submit(cancel), threads.submit(claim)

        assert canceled.result() != claimed.result()
        assert_law_1(row)
        assert (row_of(row)["cancel_requested_at"] is not None) == claimed.result()


def test_an_alarm_is_logged_and_a_late_arrival_is_asked_to_be_cancelled(account: str) -> None:
    row = submitting(account)
    executions.change(
        row, "order.lapsed",
        {"status": "lapsed", "final": True, "reason": "not-at-broker"}, CAUSE,
    )  # fmt: skip

    executions.report(row["id"], report(row, "new"), CAUSE)

    now = row_of(row)
    assert (now["status"], now["final"], now["reason"]) == ("new", False, "late-arrival")
    assert now["cancel_requested_at"] is not None
    assert_law_1(row)
    assert queries.order_detail(now)["problem"]["reason"] == "late-arrival"
