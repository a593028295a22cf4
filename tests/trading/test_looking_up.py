"""An unknown outcome is looked up, never sent again blindly (C05 to C11, G4, law 4)."""

from typing import Any

import pytest

from opitios.broker.port import Answer
from opitios.core import database
from tests.support.orders import asked, entries, kinds, placed_row, row_of, soon
from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until
from tests.trading.searches import at_broker, let_it_be_late, look_up, lost, search_of, unknown
from tests.trading.sending import Step
from trading import orders, queries, sweeps
from trading.resolver import ABSENT_AFTER_LOOK_UPS, MOST_RE_SENDS

pytestmark = pytest.mark.django_db

Row = dict[str, Any]


def test_an_order_that_arrived_is_adopted_by_the_first_look_up(
    sandbox: SandboxProcess, step: Step
) -> None:
    row = unknown(sandbox, step, arrived=True)
    until(lambda: at_broker(sandbox, row)[0]["status"] == "filled")

    now = look_up(step, row, 1)

    assert (now["status"], now["final"]) == ("filled", True)
    assert now["broker_order_id"] == at_broker(sandbox, row)[0]["id"]
    assert len(at_broker(sandbox, row)) == 1
    assert search_of(row)["next_at"] is None
    adopted = entries(row["account_id"])[-1]
    assert adopted["actor"]["name"].startswith("worker@")
    assert adopted["actor"]["on_behalf_of"]["sub"] == "bot-7"


@pytest.mark.parametrize(
    ("times", "quiet_for"), [(ABSENT_AFTER_LOOK_UPS - 1, 60.0), (ABSENT_AFTER_LOOK_UPS + 1, 1.0)]
)
def test_absence_needs_enough_look_ups_and_enough_time(
    sandbox: SandboxProcess, step: Step, times: int, quiet_for: float
) -> None:
    row = unknown(sandbox, step)

    assert look_up(step, row, times, quiet_for=quiet_for) == row

    assert search_of(row)["not_found"] == times


def test_c05_one_proven_absent_in_time_is_queued_again_and_sent_under_its_id(
    sandbox: SandboxProcess, step: Step
) -> None:
    row = unknown(sandbox, step)

    queued = look_up(step, row, ABSENT_AFTER_LOOK_UPS)
    sent = step.send(queued)

    assert (queued["status"], queued["ambiguous"], queued["attempts"]) == ("queued", True, 1)
    assert sent["attempts"] == 2
    [order] = at_broker(sandbox, row)
    assert order["client_order_id"] == row["client_order_id"]


def test_every_answer_to_a_look_up_is_kept_with_the_order(
    sandbox: SandboxProcess, step: Step
) -> None:
    row = unknown(sandbox, step)

    look_up(step, row, ABSENT_AFTER_LOOK_UPS)

    made = [a for a in queries.order_detail(row_of(row))["attempts"] if a["kind"] == "look-up"]
    assert [(a["n"], a["outcome"], a["process"]) for a in made] == [
        (n, "not-found", "worker-1") for n in (1, 2, 3)
    ]


def test_one_proven_absent_too_late_is_lapsed(sandbox: SandboxProcess, step: Step) -> None:
    row = unknown(sandbox, step)
    let_it_be_late(row)

    now = look_up(step, row, ABSENT_AFTER_LOOK_UPS)

    assert (now["status"], now["final"], now["reason"]) == ("lapsed", True, "not-at-broker")
    assert at_broker(sandbox, row) == []


def test_one_proven_absent_that_was_to_be_cancelled_is_not_sent_again(
    sandbox: SandboxProcess, step: Step
) -> None:
    row = unknown(sandbox, step)
    orders.cancel_order(row, asked())

    now = look_up(step, row, ABSENT_AFTER_LOOK_UPS)

    assert now["reason"] == "not-at-broker"
    assert at_broker(sandbox, row) == []


def test_an_order_is_sent_again_three_times_at_most(sandbox: SandboxProcess, step: Step) -> None:
    row = unknown(sandbox, step, not_after=soon(600))

    for number in range(MOST_RE_SENDS):
        assert look_up(step, row, ABSENT_AFTER_LOOK_UPS)["status"] == "queued"
        assert search_of(row)["resent"] == number + 1
        lost(sandbox, step, row_of(row))
        assert search_of(row)["not_found"] == 0
    now = look_up(step, row, ABSENT_AFTER_LOOK_UPS)

    assert (now["status"], now["reason"], now["attempts"]) == ("lapsed", "not-at-broker", 4)
    assert at_broker(sandbox, row) == []
    assert {e["client_order_id"] for e in sandbox.ledger(account=row["account_id"])
            if e["method"] == "POST"} == {row["client_order_id"]}  # fmt: skip


@pytest.mark.parametrize("fault", ["500", "429", "reset", "html_502", "401"])
def test_a_look_up_without_an_answer_teaches_nothing(
    sandbox: SandboxProcess, step: Step, fault: str
) -> None:
    row = unknown(sandbox, step)
    sandbox.fault(fault, account=row["account_id"], times=0)

    assert look_up(step, row, ABSENT_AFTER_LOOK_UPS + 1) == row

    assert search_of(row)["not_found"] == 0


def test_a_look_up_answered_about_another_order_teaches_nothing(
    sandbox: SandboxProcess, step: Step
) -> None:
    row = unknown(sandbox, step, arrived=True)
    told = kinds(row["account_id"])
    sandbox.fault("wrong_id", account=row["account_id"], times=0)

    assert look_up(step, row, 2) == row

    assert kinds(row["account_id"]) == told


def test_an_order_that_is_found_in_the_full_list_is_not_absent(
    sandbox: SandboxProcess, step: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = unknown(sandbox, step, arrived=True)
    until(lambda: at_broker(sandbox, row)[0]["status"] == "filled")
    # The broker's index by client_order_id is behind its books.
    trading = step.account.clients.trading
    by_id = trading.order_by_client_id
    monkeypatch.setattr(trading, "order_by_client_id", lambda _: by_id("op1-of-nobody"))

    now = look_up(step, row, ABSENT_AFTER_LOOK_UPS)

    assert now["status"] == "filled"
    assert len(at_broker(sandbox, row)) == 1


def test_an_answer_says_nothing_about_a_send_after_it(
    sandbox: SandboxProcess, step: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = unknown(sandbox, step)
    look_up(step, row, ABSENT_AFTER_LOOK_UPS - 1)
    trading = step.account.clients.trading
    by_id = trading.order_by_client_id

    def slowly(client_order_id: str) -> Answer:
        # While this answer is under way the order is proven absent and sent once more.
        monkeypatch.setattr(trading, "order_by_client_id", by_id)
        look_up(step, row, 1)
        lost(sandbox, step, row_of(row))
        return by_id(client_order_id)

    monkeypatch.setattr(trading, "order_by_client_id", slowly)

    now = look_up(step, row, 1)

    assert (now["status"], now["attempts"]) == ("unknown", 2)
    assert search_of(row)["not_found"] == 0


def test_what_was_never_in_doubt_is_never_searched_for(sandbox: SandboxProcess, step: Step) -> None:
    late = placed_row(step.account.account_id)
    filled = step.send(placed_row(step.account.account_id))
    let_it_be_late(late)

    sweeps.lapse_late([late["account_id"]])

    ids = [late["id"], filled["id"]]
    assert database.rows("SELECT 1 FROM trading_search WHERE order_id = ANY(%s)", (ids,)) == []
