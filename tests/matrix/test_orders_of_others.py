"""What others do in the account is shown as it is, and never answered by a trade (C34)."""

from typing import Any
from uuid import uuid4

import orjson
import pytest

from tests.support.orders import place, placed_row, row_of
from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until
from tests.trading.desks import RunningDesk
from tests.trading.sending import Step
from tests.trading.test_desk_sends import held
from trading import queries, watch

pytestmark = pytest.mark.django_db

LATER = "2099-11-20T14:30:00Z"
ELSEWHERE = {"symbol": "AAPL", "side": "buy", "type": "limit", "time_in_force": "day",
             "qty": "3", "limit_price": "1.5"}  # fmt: skip


def writes(sandbox: SandboxProcess, account_id: str) -> list[str]:
    """Every call to the broker that could change something."""
    return [entry["method"] for entry in sandbox.ledger(account=account_id)]


def elsewhere(sandbox: SandboxProcess, account_id: str, **changed: str) -> dict[str, Any]:
    """Place an order past the gateway."""
    answer = sandbox.trade(account_id, "POST", "/v2/orders", json=ELSEWHERE | changed)
    told: dict[str, Any] = answer.json()
    return told


def mirrored(account_id: str, order: dict[str, Any]) -> dict[str, Any]:
    """Our row of it, once it is there."""
    coid = order["client_order_id"]
    found = until(lambda: queries.find_by_client_order_id(account_id, coid), seconds=10)
    assert found is not None
    return found


def test_c34_orders_placed_by_hand_are_mirrored_and_nothing_is_done_about_them(
    sandbox: SandboxProcess, trading_account: str, desk: RunningDesk
) -> None:
    resting = mirrored(trading_account, elsewhere(sandbox, trading_account))
    # As in a liquidation: nobody here asked for it.
    market = mirrored(trading_account, elsewhere(sandbox, trading_account, limit_price="200"))
    sandbox.trade(trading_account, "DELETE", f"/v2/orders/{resting['broker_order_id']}")

    desk.wait_for(resting, "canceled")
    desk.wait_for(market, "filled")

    assert (resting["source"], resting["attempts"]) == ("external", 0)
    assert writes(sandbox, trading_account) == ["POST", "POST", "DELETE"]


def test_c34_an_order_of_ours_cancelled_in_the_brokers_own_page_is_not_sent_again(
    sandbox: SandboxProcess, trading_account: str, desk: RunningDesk
) -> None:
    row = desk.wait_for(place(trading_account, limit_price=1), "new", "accepted")
    [order] = held(sandbox, trading_account)

    sandbox.trade(trading_account, "DELETE", f"/v2/orders/{order['id']}")

    now = desk.wait_for(row, "canceled")
    assert (now["final"], now["cancel_requested_at"]) == (True, None)
    assert writes(sandbox, trading_account) == ["POST", "DELETE"]


def test_c34_an_order_the_broker_replaced_ends_so_and_its_successor_is_mirrored(
    sandbox: SandboxProcess, step: Step
) -> None:
    # Simulated: the sandbox replaces nothing by itself, as a broker does for a split.
    account_id = step.account.account_id
    row = step.send(placed_row(account_id, limit_price=1))
    sent = writes(sandbox, account_id)
    old = {**held(sandbox, account_id)[0], "status": "replaced", "updated_at": LATER}
    successor = {**old, "id": str(uuid4()), "client_order_id": str(uuid4()), "status": "new"}

    for event, order in (("replaced", old), ("new", successor)):
        data = {"event": event, "timestamp": LATER, "order": order}
        message = {"stream": "trade_updates", "data": data}
        watch.handle_message(step.account, orjson.dumps(message))

    assert (row_of(row)["status"], row_of(row)["final"]) == ("replaced", True)
    following = mirrored(account_id, successor)
    assert (following["source"], following["status"]) == ("external", "new")
    assert writes(sandbox, account_id) == sent
