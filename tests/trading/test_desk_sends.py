"""A desk at work against the sandbox: accepted orders reach the broker once and come back (G2)."""

from decimal import Decimal
from typing import Any

import pytest

from tests.support.orders import asked, folded, kinds, place, placed_row, plain_json, row_of
from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until
from tests.trading.desks import RunningDesk, running_desk
from tests.trading.searches import let_it_be_late
from trading import orders, queries, shapes

pytestmark = pytest.mark.django_db


def posts(sandbox: SandboxProcess, row: dict[str, Any]) -> list[dict[str, Any]]:
    """What the broker received under an order's id."""
    return sandbox.ledger(client_order_id=row["client_order_id"])


def held(sandbox: SandboxProcess, account_id: str) -> list[dict[str, Any]]:
    """The account's orders at the broker."""
    found: list[dict[str, Any]] = sandbox.trade(
        account_id, "GET", "/v2/orders", params={"status": "all", "limit": 500}
    ).json()
    return found


def test_an_order_goes_from_accepted_to_filled(
    sandbox: SandboxProcess, trading_account: str, desk: RunningDesk
) -> None:
    accepted = place(trading_account, type="market", limit_price=None)

    row = desk.wait_for(accepted, "filled")
    until(lambda: queries.order_detail(row_of(row))["executions"])

    detail = queries.order_detail(row_of(row))
    assert (row["filled_qty"], row["filled_avg_price"]) == (Decimal(10), Decimal("187.21"))
    assert kinds(trading_account)[:2] == ["order.queued", "order.submitting"]
    assert sum(Decimal(each["qty"]) for each in detail["executions"]) == 10
    [attempt] = until(lambda: [a for a in detail_of(row)["attempts"] if a["outcome"]])
    assert (attempt["outcome"], attempt["http_status"]) == ("accepted", 200)
    assert attempt["broker_request_id"]
    stages = [stage["stage"] for stage in detail_of(row)["timeline"]]
    assert stages == [
        "received", "checked", "stored", "sent", "acknowledged", "first_fill", "final",
    ]  # fmt: skip
    assert folded(row) == plain_json(shapes.order_json(row_of(row)))
    assert len(held(sandbox, trading_account)) == 1


def detail_of(row: dict[str, Any]) -> dict[str, Any]:
    """The order's detail view as it is now."""
    return queries.order_detail(row_of(row))


def test_many_orders_of_an_account_are_each_at_the_broker_once(
    sandbox: SandboxProcess, trading_account: str, desk: RunningDesk
) -> None:
    placed = [place(trading_account, qty=Decimal(n + 1)) for n in range(12)]

    rows = [desk.wait_for(each, "filled") for each in placed]

    at_broker = [order["client_order_id"] for order in held(sandbox, trading_account)]
    assert sorted(at_broker) == sorted(row["client_order_id"] for row in rows)
    # First in, first out.
    assert at_broker[::-1] == [each.body["client_order_id"] for each in placed]


def test_a_refusal_of_the_broker_is_kept_word_for_word(
    sandbox: SandboxProcess, trading_account: str, desk: RunningDesk
) -> None:
    accepted = place(trading_account, qty=Decimal(999_999_999))

    row = desk.wait_for(accepted, "rejected")

    problem = detail_of(row)["problem"]
    assert (row["final"], row["reason"]) == (True, "insufficient-buying-power")
    assert (problem["status"], problem["code"], problem["origin"]) == (403, 40310000, "broker")
    assert problem["message"] == "insufficient buying power"
    assert problem["broker"].keys() >= {"http_status", "request_id", "buying_power", "cost_basis"}
    assert row["failed_at"] is not None
    assert held(sandbox, trading_account) == []
    assert kinds(trading_account) == ["order.queued", "order.submitting", "order.rejected"]


def test_a_resting_order_is_cancelled_at_the_broker(
    sandbox: SandboxProcess, trading_account: str, desk: RunningDesk
) -> None:
    row = desk.wait_for(place(trading_account, limit_price=Decimal(1)), "new", "accepted")

    canceled = orders.cancel_order(row, asked())

    assert not canceled.never_sent
    now = desk.wait_for(row, "canceled")
    assert now["final"]
    assert now["canceled_at"] is not None
    assert now["reason"] is None
    [order] = held(sandbox, trading_account)
    assert order["status"] == "canceled"


def test_a_cancelled_queued_order_is_never_sent(
    sandbox: SandboxProcess, trading_account: str
) -> None:
    row = placed_row(trading_account)
    orders.cancel_order(row, asked())

    with running_desk(trading_account) as desk:
        desk.wait_for(place(trading_account), "filled")

    assert row_of(row)["status"] == "canceled"
    assert row_of(row)["attempts"] == 0
    assert posts(sandbox, row) == []


def test_g3_a_stale_order_lapses_and_is_never_sent(
    sandbox: SandboxProcess, trading_account: str
) -> None:
    row = placed_row(trading_account)
    let_it_be_late(row)

    with running_desk(trading_account) as desk:
        now = desk.wait_for(row, "lapsed")

    assert (now["final"], now["reason"], now["attempts"]) == (True, "deadline-before-send", 0)
    assert posts(sandbox, row) == []


def test_a_desk_that_stops_lets_its_accounts_go(trading_account: str) -> None:
    with running_desk(trading_account):
        pass
    with running_desk(trading_account) as second:
        desk_of_now = second.desk.owner
        row = second.wait_for(place(trading_account), "filled")

    assert row["attempts"] == 1
    assert desk_of_now
