"""What others do in the account is shown as it is, and never answered by a trade (C34)."""

from typing import Any

import pytest

from tests.support.orders import place
from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until
from tests.trading.desks import RunningDesk
from tests.trading.test_desk_sends import held
from trading import queries

pytestmark = pytest.mark.django_db

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


def test_c34_a_manual_order_and_its_end_are_mirrored_and_nothing_is_done_about_them(
    sandbox: SandboxProcess, trading_account: str, desk: RunningDesk
) -> None:
    resting = elsewhere(sandbox, trading_account)
    filled = elsewhere(sandbox, trading_account, type="market", limit_price="")
    row = mirrored(trading_account, resting)
    sandbox.trade(trading_account, "DELETE", f"/v2/orders/{resting['id']}")

    desk.wait_for(row, "canceled")

    assert (row["source"], row["attempts"]) == ("external", 0)
    assert filled
    assert writes(sandbox, trading_account) == ["POST", "DELETE"]


def test_c34_an_order_of_ours_cancelled_in_the_brokers_own_page_is_not_sent_again(
    sandbox: SandboxProcess, trading_account: str, desk: RunningDesk
) -> None:
    row = desk.wait_for(place(trading_account, limit_price=1), "new", "accepted")
    [order] = held(sandbox, trading_account)

    sandbox.trade(trading_account, "DELETE", f"/v2/orders/{order['id']}")

    now = desk.wait_for(row, "canceled")
    assert (now["final"], now["cancel_requested_at"]) == (True, None)
    assert writes(sandbox, trading_account) == ["POST", "DELETE"]
