"""The sandbox's own switches on a running process."""

from typing import Any

import pytest
import requests

from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until

ACCOUNT = "account_001"
BUY = {"symbol": "AAPL", "qty": "1", "side": "buy", "type": "market", "time_in_force": "day"}


def submit(broker: SandboxProcess, account: str = ACCOUNT, **fields: str) -> str:
    order = broker.trade(account, "POST", "/v2/orders", json={**BUY, **fields}).json()
    return str(order["id"])


def order(broker: SandboxProcess, order_id: str, account: str = ACCOUNT) -> Any:
    return broker.trade(account, "GET", f"/v2/orders/{order_id}").json()


def reach(broker: SandboxProcess, order_id: str, status: str, account: str = ACCOUNT) -> None:
    until(lambda: order(broker, order_id, account)["status"] == status)


def test_a_closed_market_accepts_and_an_open_one_trades(broker: SandboxProcess) -> None:
    broker.post("market", {"open": False})
    order_id = submit(broker)
    closed = broker.trade(ACCOUNT, "GET", "/v2/clock").json()

    assert (closed["is_open"], order(broker, order_id)["status"]) == (False, "accepted")
    broker.post("market", {"open": True})
    reach(broker, order_id, "filled")


def test_closing_the_market_expires_day_orders(broker: SandboxProcess) -> None:
    day = submit(broker, type="limit", limit_price="1.50")
    gtc = submit(broker, type="limit", limit_price="1.50", time_in_force="gtc")
    for order_id in (day, gtc):
        reach(broker, order_id, "new")

    broker.post("market", {"open": False})

    reach(broker, day, "expired")
    assert order(broker, gtc)["status"] == "new"


def test_a_moved_price_fills_what_waited_for_it(broker: SandboxProcess) -> None:
    order_id = submit(broker, type="limit", limit_price="100.00", time_in_force="gtc")
    reach(broker, order_id, "new")

    broker.pin_price("AAPL", "99.50", "99.60")

    reach(broker, order_id, "filled")
    assert order(broker, order_id)["filled_avg_price"] == "99.6"


def test_fills_are_held_for_one_account_alone(broker: SandboxProcess) -> None:
    broker.hold_fills(ACCOUNT)

    held, free = submit(broker), submit(broker, "account_002")

    reach(broker, free, "filled", "account_002")
    reach(broker, held, "new")
    broker.release_fills(ACCOUNT)
    reach(broker, held, "filled")


def test_a_held_order_can_be_canceled(broker: SandboxProcess) -> None:
    broker.hold_fills()
    order_id = submit(broker)
    reach(broker, order_id, "new")

    broker.trade(ACCOUNT, "DELETE", f"/v2/orders/{order_id}")

    reach(broker, order_id, "canceled")


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("fills", {"mode": "sometimes"}),
        ("fills", {"delay_ms": -1}),
        ("fills", {"mode": "full", "often": 1}),
        ("fills", []),
        ("market", {"mode": "lunch"}),
        ("prices", {"AAPL": {"bid": "2", "ask": "1"}}),
        ("prices", {"ZZZZ": {"bid": "1", "ask": "2"}}),
        ("accounts", {"cash": "1"}),
        ("accounts", {"account": "no such/id", "cash": "1"}),
        ("limits", {"per_minute": 5}),
    ],
)
def test_a_switch_that_makes_no_sense_is_refused_and_not_remembered(
    broker: SandboxProcess, name: str, body: object
) -> None:
    lines = broker.summary()["lines"]

    answer = requests.post(f"{broker.url}/sandbox/{name}", json=body, timeout=60)

    assert answer.status_code == 422
    assert answer.json()["message"]
    assert broker.summary()["lines"] == lines


def test_a_switch_that_is_not_json_is_refused(broker: SandboxProcess) -> None:
    answer = requests.post(f"{broker.url}/sandbox/fills", data=b"{", timeout=60)

    assert (answer.status_code, answer.json()) == (400, {"message": "the body is not JSON"})
