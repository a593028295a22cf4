"""SIGKILL at any moment: what was answered is still there."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import requests

from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until

ACCOUNT = "account_001"


def body(client_order_id: str, **fields: str) -> dict[str, str]:
    return {
        "symbol": "AAPL",
        "qty": "3",
        "side": "buy",
        "type": "market",
        "time_in_force": "day",
        "client_order_id": client_order_id,
        **fields,
    }


def resting(client_order_id: str) -> dict[str, str]:
    return body(client_order_id, type="limit", limit_price="1.50", time_in_force="gtc")


def submit(broker: SandboxProcess, order: dict[str, str]) -> requests.Response:
    return broker.trade(ACCOUNT, "POST", "/v2/orders", json=order)


def status_of(broker: SandboxProcess, client_order_id: str) -> str:
    path = f"/v2/orders:by_client_order_id?client_order_id={client_order_id}"
    return str(broker.trade(ACCOUNT, "GET", path).json().get("status"))


def reach(broker: SandboxProcess, client_order_id: str, status: str) -> None:
    until(lambda: status_of(broker, client_order_id) == status)


def picture(broker: SandboxProcess) -> dict[str, Any]:
    """Everything a client can read that does not move with prices."""
    positions = broker.trade(ACCOUNT, "GET", "/v2/positions").json()
    account = broker.trade(ACCOUNT, "GET", "/v2/account").json()
    return {
        "orders": broker.trade(ACCOUNT, "GET", "/v2/orders?status=all").json(),
        "positions": [(p["symbol"], p["qty"], p["avg_entry_price"]) for p in positions],
        "account": {name: account[name] for name in ("id", "account_number", "cash", "created_at")},
        "ledger": broker.ledger(),
        "summary": broker.summary(),
    }


def test_orders_positions_and_spent_ids_survive_sigkill(broker: SandboxProcess) -> None:
    submit(broker, body("filled"))
    submit(broker, resting("open"))
    canceled = submit(broker, resting("canceled")).json()
    broker.trade(ACCOUNT, "DELETE", f"/v2/orders/{canceled['id']}")
    submit(broker, body("refused", symbol="ZZZZ"))
    reach(broker, "filled", "filled")
    reach(broker, "open", "new")
    reach(broker, "canceled", "canceled")
    before = picture(broker)

    broker.kill()
    broker.restart()

    assert picture(broker) == before
    for name in ("filled", "open", "canceled"):
        assert submit(broker, body(name)).json()["message"] == "client_order_id must be unique"
    assert submit(broker, body("refused")).status_code == 200


def test_an_order_under_way_when_killed_goes_on_afterwards(broker: SandboxProcess) -> None:
    broker.post("fills", {"delay_ms": 60_000})
    submit(broker, body("slow"))
    asked = submit(broker, resting("asked")).json()
    broker.trade(ACCOUNT, "DELETE", f"/v2/orders/{asked['id']}")

    broker.kill()
    broker.restart()
    broker.post("fills", {"delay_ms": 0})

    reach(broker, "slow", "filled")
    reach(broker, "asked", "canceled")


def test_switches_survive_sigkill(broker: SandboxProcess) -> None:
    broker.pin_price("AAPL", "10.00", "10.02")
    broker.hold_fills()
    submit(broker, body("held"))
    reach(broker, "held", "new")

    broker.kill()
    broker.restart()
    quote = broker.trade(ACCOUNT, "GET", "/v2/stocks/AAPL/quotes/latest").json()["quote"]
    still = status_of(broker, "held")
    broker.release_fills()

    assert (quote["bp"], still) == (10.0, "new")
    reach(broker, "held", "filled")


def test_every_answered_submit_is_there_after_kills_in_full_flight(
    broker: SandboxProcess,
) -> None:
    answered: list[str] = []
    sent = iter(range(10**6))

    for enough in (10, 20, 30):
        killer = threading.Thread(target=_kill_after, args=(broker, answered, enough))
        killer.start()
        _send_until_cut(broker, sent, answered)
        killer.join()
        broker.restart()

    listed = {entry["client_order_id"]: entry for entry in broker.ledger(limit=10_000)}
    assert len(answered) >= 30
    for client_order_id in answered:
        assert listed[client_order_id]["status"] == 200
        assert status_of(broker, client_order_id) in ("pending_new", "new", "filled")


def _kill_after(broker: SandboxProcess, answered: list[str], enough: int) -> None:
    """Kill it while orders are on their way: as soon as so many were answered."""
    try:
        until(lambda: len(answered) >= enough)
    finally:
        broker.kill()


def _send_until_cut(broker: SandboxProcess, numbers: Iterator[int], answered: list[str]) -> None:
    """Submit without pause until the broker is gone; ids that it answered go into the list."""
    with requests.Session() as session, contextlib.suppress(requests.RequestException):
        for number in numbers:
            client_order_id = f"flight-{number}"
            answer = session.post(
                f"{broker.url}/v2/orders",
                json=body(client_order_id),
                headers=broker.headers(ACCOUNT),
                timeout=60,
            )
            assert answer.status_code == 200
            answered.append(client_order_id)
