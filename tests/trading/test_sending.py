"""How one submit ends: each outcome has its next step, and none is a second order (C09 to C12)."""

from decimal import Decimal
from typing import Any

import pytest

from opitios.broker.alpaca.transport import TransportTimers
from opitios.broker.budget import Lane
from opitios.core import clock
from opitios.core.config import get_config
from tests.broker.loopback import LoopbackBroker, answering, http
from tests.support.accounts import NOWHERE, open_account
from tests.support.orders import asked, entries, kinds, placed_row, row_of
from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until
from tests.trading.desks import CALLS, SHORT
from tests.trading.sending import Rests, Step, pooled
from trading import orders, queries
from trading.sender import NOT_SENT_REST

pytestmark = pytest.mark.django_db

Row = dict[str, Any]


def at_broker(sandbox: SandboxProcess, row: Row) -> list[dict[str, Any]]:
    """The orders the broker holds for the order's account."""
    found: list[dict[str, Any]] = sandbox.trade(
        row["account_id"], "GET", "/v2/orders", params={"status": "all"}
    ).json()
    return found


def attempt(row: Row) -> dict[str, Any]:
    """The order's last attempt."""
    found: dict[str, Any] = queries.order_detail(row_of(row))["attempts"][-1]
    return found


@pytest.mark.parametrize(
    ("fault", "calls", "outcome", "orders_there"),
    [
        ({"fault": "504_after_accept"}, CALLS, "http-5xx", 1),
        ({"fault": "504"}, CALLS, "http-5xx", 0),
        ({"fault": "500"}, CALLS, "http-5xx", 0),
        ({"fault": "html_502"}, CALLS, "http-5xx", 0),
        ({"fault": "hang"}, SHORT, "timeout", 0),
        ({"fault": "hang", "when": "after"}, SHORT, "timeout", 1),
        ({"fault": "reset"}, CALLS, "reset", 0),
        ({"fault": "reset", "when": "after"}, CALLS, "reset", 1),
        ({"fault": "close"}, CALLS, "reset", 0),
        ({"fault": "wrong_id"}, CALLS, "wrong-id", 1),
    ],
    ids=lambda each: None if isinstance(each, TransportTimers) else str(each),
)
def test_c09_c10_an_uncertain_answer_is_unknown_and_sent_no_second_time(
    sandbox: SandboxProcess, step: Step, fault: dict[str, str], outcome: str, orders_there: int
) -> None:
    row = placed_row(step.account.account_id)
    sandbox.fault(**fault, account=row["account_id"])

    after = step.send(row)
    sandbox.clear_faults()

    assert (after["status"], after["final"], after["ambiguous"]) == ("unknown", False, True)
    assert attempt(row)["outcome"] == outcome
    assert kinds(row["account_id"]) == ["order.queued", "order.submitting", "order.unknown"]
    assert len(at_broker(sandbox, row)) == orders_there
    assert step.send(after) == after
    assert len(at_broker(sandbox, row)) == orders_there


def test_an_id_the_broker_knows_already_is_looked_up_not_rejected(
    sandbox: SandboxProcess, step: Step
) -> None:
    row = placed_row(step.account.account_id)
    order = {"symbol": "AAPL", "qty": "10", "side": "buy", "type": "limit", "limit_price": "187.25",
             "time_in_force": "day", "client_order_id": row["client_order_id"]}  # fmt: skip
    sandbox.trade(row["account_id"], "POST", "/v2/orders", json=order)

    after = step.send(row)

    assert after["status"] == "unknown"
    assert attempt(row)["outcome"] == "duplicate"
    assert len(at_broker(sandbox, row)) == 1


def test_c12_throttled_is_queued_again_and_goes_under_the_same_id(
    sandbox: SandboxProcess, step: Step
) -> None:
    row = placed_row(step.account.account_id)
    sandbox.fault("429", account=row["account_id"])

    after = step.send(row)
    until(lambda: step.account.guard.wait(Lane.SUBMIT) == 0)
    again = step.send(after)

    assert (after["status"], after["ambiguous"], after["attempts"]) == ("queued", False, 1)
    assert step.rests.rested[0] > 0
    assert again["attempts"] == 2
    assert again["broker_order_id"] is not None
    [order] = at_broker(sandbox, row)
    assert order["client_order_id"] == row["client_order_id"]


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [({}, get_config().timers.throttled_rest), ({"Retry_After": "3"}, 3.0)],
)
def test_an_account_rests_as_long_as_the_broker_says(
    db: None, headers: dict[str, str], seconds: float
) -> None:
    broker = LoopbackBroker([answering(http(429, {"message": "slow down"}, **headers))])
    account, transport = pooled(open_account(url=broker.origin))
    step = Step(account, Rests())
    began = clock.monotonic()

    step.send(placed_row(account.account_id))

    # What is left of the rest when the sender asks: at most that much of it is over.
    [rested] = step.rests.rested
    assert seconds - (clock.monotonic() - began) <= rested <= seconds
    transport.close()
    broker.close()


def test_where_nothing_left_the_order_is_queued_again_and_not_in_doubt(db: None) -> None:
    account, transport = pooled(open_account(url=NOWHERE))
    step = Step(account, Rests())

    after = step.send(placed_row(account.account_id))

    assert (after["status"], after["ambiguous"]) == ("queued", False)
    assert step.rests.rested == [NOT_SENT_REST]
    assert attempt(after)["outcome"] == "not-sent"
    transport.close()


def test_a_cancel_asked_meanwhile_is_done_when_it_did_not_get_there(
    sandbox: SandboxProcess, step: Step
) -> None:
    row = placed_row(step.account.account_id)
    sandbox.fault("429", account=row["account_id"])
    step.rests.then = lambda: orders.cancel_order(row_of(row), asked())

    after = step.send(row)

    assert (after["status"], after["final"], after["reason"]) == (
        "canceled", True, "canceled-before-send",
    )  # fmt: skip
    assert kinds(row["account_id"])[2:] == ["order.cancel_requested", "order.canceled"]
    assert at_broker(sandbox, row) == []


def test_a_dead_key_rejects_the_order_and_the_account_is_suspect(
    sandbox: SandboxProcess, step: Step
) -> None:
    row = placed_row(step.account.account_id)
    sandbox.fault("401", account=row["account_id"])

    after = step.send(row)

    assert (after["status"], after["final"]) == ("rejected", True)
    assert step.rests.suspected == [row["account_id"]]
    assert at_broker(sandbox, row) == []


def test_a_refusal_with_numbers_and_lists_in_it_is_kept_whole(db: None) -> None:
    body = (
        b'{"code":42210000,"message":"take_profit.limit_price must be >= base_price + 0.01",'
        b'"base_price":187.20,"related_orders":["a"],"deep":{"x":[1.5]}}'
    )
    broker = LoopbackBroker([answering(http(422, body))])
    account, transport = pooled(open_account(url=broker.origin))

    after = Step(account, Rests()).send(placed_row(account.account_id))

    problem = queries.order_detail(after)["problem"]
    assert after["status"] == "rejected"
    assert (problem["code"], problem["status"]) == (42210000, 422)
    assert Decimal(str(problem["broker"]["base_price"])) == Decimal("187.2")
    assert problem["broker"]["related_orders"] == ["a"]
    assert entries(account.account_id)[-1]["broker"]["http_status"] == 422
    transport.close()
    broker.close()


def test_what_may_not_be_claimed_is_not_sent(sandbox: SandboxProcess, step: Step) -> None:
    row = placed_row(step.account.account_id)
    orders.cancel_order(row, asked())

    after = step.send(row)

    assert (after["status"], after["attempts"]) == ("canceled", 0)
    assert at_broker(sandbox, row) == []
