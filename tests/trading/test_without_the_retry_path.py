"""Without Celery, or without Redis, unknown orders resolve all the same: desks do it (C18, C21)."""

from typing import Any

import pytest

from tests.support.orders import entries, kinds, place, placed_row, row_of
from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until
from tests.trading.desks import running_desk
from tests.trading.searches import (
    at_broker,
    doubted,
    forsake,
    let_it_be_late,
    make_due,
    resolver,
    unknown,
)
from tests.trading.sending import OWNER, Step
from trading import executions, sweeps, tasks

pytestmark = pytest.mark.django_db

Row = dict[str, Any]


def test_c21_a_desk_looks_up_what_no_worker_does(
    sandbox: SandboxProcess, trading_account: str
) -> None:
    # It never arrives: only look-ups can prove that, and nobody but the desk does any.
    sandbox.fault("html_502", account=trading_account, route="POST /v2/orders")
    with running_desk(trading_account) as desk:
        row = desk.wait_for(place(trading_account), "filled", seconds=20)

    assert row["attempts"] == 2
    assert len(at_broker(sandbox, row)) == 1
    names = {entry["actor"]["name"].partition("@")[0] for entry in entries(trading_account)}
    assert names == {"bot-7", "desk"}


def test_a_desk_takes_over_what_a_worker_left_half_searched(
    sandbox: SandboxProcess, step: Step, trading_account: str
) -> None:
    row = unknown(sandbox, step)
    worker = resolver()
    for _ in range(2):
        make_due(row)
        worker.resolve(row["id"], step.account)
    forsake(row)

    with running_desk(trading_account) as desk:
        found = desk.wait_for(row, "filled", seconds=20)

    assert found["attempts"] == 2
    assert len(at_broker(sandbox, row)) == 1


def test_without_any_desk_what_was_being_sent_is_doubted_and_resolved(
    sandbox: SandboxProcess, step: Step
) -> None:
    row = placed_row(step.account.account_id)
    claimed = executions.claim(row, owner=OWNER, process="desk-1")
    assert claimed is not None

    sweeps.doubt_forsaken(after_seconds=0.0)
    while_held = row_of(row)["status"]
    forsake(row)
    sweeps.doubt_forsaken(after_seconds=60.0)
    too_early = row_of(row)["status"]
    sweeps.doubt_forsaken(after_seconds=0.0)

    assert (while_held, too_early) == ("submitting", "submitting")
    assert row_of(row)["status"] == "unknown"
    assert entries(row["account_id"])[-1]["actor"]["name"].startswith("worker@")


def test_without_any_desk_a_late_order_is_told_to_have_lapsed(step: Step) -> None:
    late = placed_row(step.account.account_id)
    in_time = placed_row(step.account.account_id)
    let_it_be_late(late)

    sweeps.lapse_forsaken()
    while_held = row_of(late)["status"]
    forsake(late)
    # A sweep takes so many at a time, and other tests leave orders of their own.
    until(lambda: sweeps.lapse_forsaken() >= 0 and row_of(late)["status"] == "lapsed")

    assert while_held == "queued"
    assert row_of(late)["reason"] == "deadline-before-send"
    assert row_of(in_time)["status"] == "queued"


def test_a_sweep_that_reaches_no_redis_leaves_everything_due(
    sandbox: SandboxProcess, step: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = doubted(step)
    make_due(row)
    lost = ConnectionError("no redis")

    def refuse(*_: object, **__: object) -> None:
        raise lost

    monkeypatch.setattr(tasks.resolve, "apply_async", refuse)

    tasks.sweep()

    assert row["id"] in {each.order_id for each in resolver().due([row["account_id"]])}
    assert kinds(row["account_id"])[-1] == "order.unknown"


def test_orders_in_doubt_and_late_ones_end_once(step: Step) -> None:
    row = doubted(step)

    assert sweeps.doubt_orphans([row]) == 1

    assert row_of(row) == row
    assert kinds(row["account_id"])[2:] == ["order.unknown"]


def test_late_orders_lapse_and_only_those_of_the_accounts_asked(step: Step) -> None:
    account = step.account.account_id
    late = placed_row(account)
    in_time = placed_row(account)
    let_it_be_late(late)

    assert sweeps.lapse_late(["another"]) == 0
    assert sweeps.lapse_late([account]) == 1

    assert row_of(late)["reason"] == "deadline-before-send"
    assert row_of(in_time)["status"] == "queued"
