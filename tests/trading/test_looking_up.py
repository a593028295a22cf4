"""An unknown outcome is looked up, never sent again blindly (C05 to C11, G4, law 4)."""

from typing import Any

import pytest

from opitios.core import clock
from opitios.core.config import Timers
from tests.support.orders import asked, kinds, placed_row, row_of, soon
from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until
from tests.trading.sending import Step
from tests.trading.test_sending import at_broker
from trading import orders, sweeps
from trading.sweeps import ABSENT_AFTER_LOOKUPS, LOOK_UP_PAUSES, LookUps

pytestmark = pytest.mark.django_db

Row = dict[str, Any]
QUIET = Timers(absent_after=5.0)


def unknown(sandbox: SandboxProcess, step: Step, *, arrived: bool = False, **changed: Any) -> Row:
    """An order whose answer was lost, after it arrived at the broker or before."""
    row = placed_row(step.account.account_id, **changed)
    sandbox.fault("reset", account=row["account_id"], when="after" if arrived else "before")
    after = step.send(row)
    assert after["status"] == "unknown"
    return after


def look_up(step: Step, row: Row, times: int, *, quiet_for: float = 60.0) -> None:
    """Look an order up so many times, the first time so many seconds ago."""
    searches = LookUps(QUIET)
    began = clock.monotonic() - quiet_for
    searches.is_due(row, began)
    for _ in range(times):
        searches.look_up(row, step.account)


def test_an_order_that_arrived_is_adopted_by_the_first_look_up(
    sandbox: SandboxProcess, step: Step
) -> None:
    row = unknown(sandbox, step, arrived=True)
    until(lambda: at_broker(sandbox, row)[0]["status"] == "filled")

    look_up(step, row, 1)

    now = row_of(row)
    assert (now["status"], now["final"]) == ("filled", True)
    assert now["broker_order_id"] == at_broker(sandbox, row)[0]["id"]
    assert len(at_broker(sandbox, row)) == 1


@pytest.mark.parametrize(
    ("times", "quiet_for"), [(ABSENT_AFTER_LOOKUPS - 1, 60.0), (ABSENT_AFTER_LOOKUPS + 1, 1.0)]
)
def test_absence_needs_enough_look_ups_and_enough_time(
    sandbox: SandboxProcess, step: Step, times: int, quiet_for: float
) -> None:
    row = unknown(sandbox, step)

    look_up(step, row, times, quiet_for=quiet_for)

    assert row_of(row) == row


def test_one_proven_absent_in_time_is_queued_again_and_sent_under_its_id(
    sandbox: SandboxProcess, step: Step
) -> None:
    row = unknown(sandbox, step)

    look_up(step, row, ABSENT_AFTER_LOOKUPS)
    queued = row_of(row)
    sent = step.send(queued)

    assert (queued["status"], queued["ambiguous"], queued["attempts"]) == ("queued", True, 1)
    assert sent["attempts"] == 2
    [order] = at_broker(sandbox, row)
    assert order["client_order_id"] == row["client_order_id"]


def test_one_proven_absent_too_late_is_lapsed(sandbox: SandboxProcess, step: Step) -> None:
    row = unknown(sandbox, step, not_after=soon(0.3))
    until(lambda: row["not_after"] < soon(0))

    look_up(step, row, ABSENT_AFTER_LOOKUPS)

    now = row_of(row)
    assert (now["status"], now["final"], now["reason"]) == ("lapsed", True, "not-at-broker")
    assert at_broker(sandbox, row) == []


def test_one_proven_absent_that_was_to_be_cancelled_is_not_sent_again(
    sandbox: SandboxProcess, step: Step
) -> None:
    row = unknown(sandbox, step)
    orders.cancel_order(row, asked())

    look_up(step, row_of(row), ABSENT_AFTER_LOOKUPS)

    assert row_of(row)["reason"] == "not-at-broker"


@pytest.mark.parametrize("fault", ["500", "429", "reset", "html_502", "401"])
def test_a_look_up_without_an_answer_teaches_nothing(
    sandbox: SandboxProcess, step: Step, fault: str
) -> None:
    row = unknown(sandbox, step)
    sandbox.fault(fault, account=row["account_id"], times=0)

    look_up(step, row, ABSENT_AFTER_LOOKUPS + 1)

    assert row_of(row) == row


def test_a_look_up_answered_about_another_order_teaches_nothing(
    sandbox: SandboxProcess, step: Step
) -> None:
    row = unknown(sandbox, step, arrived=True)
    told = kinds(row["account_id"])
    sandbox.fault("wrong_id", account=row["account_id"], times=0)

    look_up(step, row, 2)

    assert row_of(row) == row
    assert kinds(row["account_id"]) == told


def test_the_pauses_grow_and_are_bounded(sandbox: SandboxProcess, step: Step) -> None:
    row = unknown(sandbox, step)
    searches, due = LookUps(Timers()), []
    for tick in range(400):
        if searches.is_due(row, tick / 10):
            due.append(tick / 10)
            searches.searches[row["id"]].tries += 1

    pauses = [after - before for before, after in zip(due, due[1:], strict=False)]
    assert due[0] == LOOK_UP_PAUSES[0]
    assert pauses == pytest.approx([1, 2, 4, 8, 15], abs=0.11)
    searches.keep(set())
    assert searches.searches == {}


def test_orders_of_a_desk_that_died_while_sending_are_in_doubt(
    sandbox: SandboxProcess, step: Step
) -> None:
    from trading import executions

    row = placed_row(step.account.account_id)
    claimed = executions.claim(row, owner="desk-1/a", process="desk-1")
    assert claimed is not None

    sweeps.doubt_orphans([claimed.row])
    sweeps.doubt_orphans([claimed.row])

    assert row_of(row)["status"] == "unknown"
    assert kinds(row["account_id"])[2:] == ["order.unknown"]


def test_late_orders_lapse_and_only_those_of_the_accounts_asked(step: Step) -> None:
    account = step.account.account_id
    late = placed_row(account, not_after=soon(0.05))
    in_time = placed_row(account)
    until(lambda: late["not_after"] < soon(0))

    assert sweeps.lapse_late(["another"]) == 0
    assert sweeps.lapse_late([account]) == 1

    assert row_of(late)["reason"] == "deadline-before-send"
    assert row_of(in_time)["status"] == "queued"
