"""A client_order_id is spent for ever by an accepted order, and only by one."""

import pytest

from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until

pytestmark = pytest.mark.contract

BODY = {
    "symbol": "AAPL",
    "qty": "1",
    "side": "buy",
    "type": "limit",
    "limit_price": "1.50",
    "time_in_force": "gtc",
    "client_order_id": "once",
}
SPENT = {"code": 40010001, "message": "client_order_id must be unique"}


def test_a_spent_id_is_refused_and_the_ledger_says_duplicate(
    broker: SandboxProcess, account: str
) -> None:
    broker.trade(account, "POST", "/v2/orders", json=BODY)

    again = broker.trade(account, "POST", "/v2/orders", json=BODY)

    assert (again.status_code, again.json()) == (422, SPENT)
    entries = broker.ledger(account=account, client_order_id="once")
    assert [(e["status"], e["duplicate"]) for e in entries] == [(200, False), (422, True)]
    assert len(broker.trade(account, "GET", "/v2/orders?status=all").json()) == 1


def test_an_id_stays_spent_after_the_cancel(broker: SandboxProcess, account: str) -> None:
    order = broker.trade(account, "POST", "/v2/orders", json=BODY).json()
    broker.trade(account, "DELETE", f"/v2/orders/{order['id']}")
    until(lambda: broker.trade(account, "GET", "/v2/orders").json() == [])

    again = broker.trade(account, "POST", "/v2/orders", json=BODY)

    assert (again.status_code, again.json()) == (422, SPENT)


def test_a_refused_submit_spends_no_id(broker: SandboxProcess, account: str) -> None:
    broker.trade(account, "POST", "/v2/orders", json={**BODY, "symbol": "ZZZZ"})

    again = broker.trade(account, "POST", "/v2/orders", json=BODY)

    assert again.status_code == 200
    assert broker.ledger(account=account)[1]["duplicate"] is False


def test_accounts_do_not_share_ids(broker: SandboxProcess, account: str) -> None:
    first = broker.trade(account, "POST", "/v2/orders", json=BODY)
    second = broker.trade(f"{account}-b", "POST", "/v2/orders", json=BODY)

    assert (first.status_code, second.status_code) == (200, 200)
