"""A desk and a broker in trouble: one order at the broker each time, and its end is told (G4)."""

from decimal import Decimal
from typing import Any

import pytest

from opitios.core import bus
from tests.support.accounts import lease
from tests.support.orders import asked, folded, kinds, place, plain_json, row_of
from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until
from tests.trading.desks import CALLS, SHORT, RunningDesk, running_desk
from tests.trading.searches import forsake, let_it_be_late
from tests.trading.test_desk_sends import detail_of, held
from trading import executions, orders, shapes

pytestmark = pytest.mark.django_db

# Never a read of the desk that comes between.
SUBMIT = "POST /v2/orders"


@pytest.mark.parametrize(
    ("fault", "calls"),
    [
        ({"fault": "504_after_accept"}, CALLS),
        ({"fault": "reset", "when": "after"}, CALLS),
        ({"fault": "hang", "when": "after"}, SHORT),
        ({"fault": "html_502"}, CALLS),
        ({"fault": "reset"}, CALLS),
        ({"fault": "wrong_id"}, CALLS),
    ],
    ids=lambda each: str(each) if isinstance(each, dict) else None,
)
def test_a_lost_answer_ends_filled_with_one_order_at_the_broker(
    sandbox: SandboxProcess, trading_account: str, desk: RunningDesk, fault: dict[str, str]
) -> None:
    sandbox.fault(**fault, account=trading_account, route=SUBMIT)

    row = desk.wait_for(place(trading_account), "filled", seconds=12)

    [order] = held(sandbox, trading_account)
    assert order["client_order_id"] == row["client_order_id"]
    until(lambda: sum(Decimal(e["qty"]) for e in detail_of(row)["executions"]) == 10)
    assert folded(row) == plain_json(shapes.order_json(row_of(row)))


def test_c12_throttled_orders_wait_in_order_and_all_arrive(
    sandbox: SandboxProcess,
    trading_account: str,
    desk: RunningDesk,
) -> None:
    sandbox.fault("429", account=trading_account, route=SUBMIT, times=2)

    placed = [place(trading_account, qty=Decimal(n + 1)) for n in range(4)]
    for each in placed:
        desk.wait_for(each, "filled", seconds=15)

    arrived = [order["client_order_id"] for order in held(sandbox, trading_account)]
    assert arrived[::-1] == [each.body["client_order_id"] for each in placed]


def test_c06_an_order_its_desk_died_with_is_adopted_by_the_next(
    sandbox: SandboxProcess, trading_account: str
) -> None:
    lease(trading_account, "desk-gone/x")
    row = row_of(place(trading_account))
    claimed = executions.claim(row, owner="desk-gone/x", process="desk-gone")
    assert claimed is not None
    forsake(row)
    body = {"symbol": "AAPL", "qty": "10", "side": "buy", "type": "limit", "limit_price": "187.25",
            "time_in_force": "day", "client_order_id": row["client_order_id"]}  # fmt: skip
    assert sandbox.trade(trading_account, "POST", "/v2/orders", json=body).status_code == 200

    with running_desk(trading_account) as desk:
        desk.wait_for(row, "filled")

    assert len(held(sandbox, trading_account)) == 1


def test_what_lapsed_here_and_appears_there_is_cancelled_at_once(
    sandbox: SandboxProcess, trading_account: str, desk: RunningDesk
) -> None:
    sandbox.fault("reset", account=trading_account, route=SUBMIT, times=1)
    row = desk.wait_for(place(trading_account, limit_price=Decimal(1)), "unknown")
    let_it_be_late(row)
    desk.wait_for(row, "lapsed")
    body = {"symbol": "AAPL", "qty": "10", "side": "buy", "type": "limit", "limit_price": "1",
            "time_in_force": "day", "client_order_id": row["client_order_id"]}  # fmt: skip

    sandbox.trade(trading_account, "POST", "/v2/orders", json=body)

    now = desk.wait_for(row, "canceled")
    assert now["final"]
    assert [order["status"] for order in held(sandbox, trading_account)] == ["canceled"]
    assert kinds(trading_account).count("order.submitting") == 1


def test_c14_what_the_stream_did_not_tell_is_found_by_comparing(
    sandbox: SandboxProcess, trading_account: str, desk: RunningDesk
) -> None:
    row = desk.wait_for(place(trading_account, limit_price=Decimal(1)), "new", "accepted")
    sandbox.fault("stream_drop", account=trading_account)

    orders_there: list[dict[str, Any]] = held(sandbox, trading_account)
    sandbox.trade(trading_account, "DELETE", f"/v2/orders/{orders_there[0]['id']}")

    assert desk.wait_for(row, "canceled")["final"]


def test_c18_without_redis_orders_still_flow(
    trading_account: str, desk: RunningDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus.Bus, "publish", lambda *_: False)

    row = desk.wait_for(place(trading_account), "filled")
    resting = desk.wait_for(place(trading_account, limit_price=Decimal(1)), "new", "accepted")
    orders.cancel_order(resting, asked())

    assert row["final"]
    assert desk.wait_for(resting, "canceled")["final"]
