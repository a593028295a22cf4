"""Faults on demand, and what the ledger knows of the requests they struck."""

import time
from typing import Any
from uuid import uuid4

import pytest
import requests
from alpaca.common.exceptions import APIError
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import OrderSide, TimeInForce
from alpaca.trading.requests import MarketOrderRequest

from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until

pytestmark = pytest.mark.contract

SUBMIT = "POST /v2/orders"


def body(client_order_id: str = "one") -> dict[str, str]:
    return {
        "symbol": "AAPL",
        "qty": "1",
        "side": "buy",
        "type": "limit",
        "limit_price": "1.50",
        "time_in_force": "gtc",
        "client_order_id": client_order_id,
    }


def submit(broker: SandboxProcess, account: str, **options: Any) -> requests.Response:
    return broker.trade(account, "POST", "/v2/orders", json=body(), **options)


def orders(broker: SandboxProcess, account: str) -> list[str]:
    listed = broker.trade(account, "GET", "/v2/orders?status=all").json()
    return [order["client_order_id"] for order in listed]


def test_a_504_after_accepting_leaves_a_live_order(broker: SandboxProcess, account: str) -> None:
    broker.fault("504_after_accept", account=account, route=SUBMIT)

    first = submit(broker, account)
    second = submit(broker, account)

    assert first.status_code == 504
    assert "<html>" in first.text
    assert second.json() == {"code": 40010001, "message": "client_order_id must be unique"}
    assert orders(broker, account) == ["one"]
    entries = broker.ledger(account=account)
    assert [(e["status"], e["fault"]) for e in entries] == [(200, "504_after_accept"), (422, None)]


def test_alpaca_py_sends_again_after_a_504(broker: SandboxProcess, account: str) -> None:
    client = TradingClient(broker.key(account), broker.secret(account), url_override=broker.url)
    client._retry_wait = 0
    broker.fault("504_after_accept", account=account, route=SUBMIT)

    with pytest.raises(APIError, match="client_order_id must be unique"):
        client.submit_order(
            MarketOrderRequest(
                symbol="AAPL",
                qty=1,
                side=OrderSide.BUY,
                time_in_force=TimeInForce.DAY,
                client_order_id="one",
            )
        )
    client._session.close()

    assert [entry["duplicate"] for entry in broker.ledger(account=account)] == [False, True]


@pytest.mark.parametrize("fault", ["reset", "close"])
@pytest.mark.parametrize(("when", "live"), [("before", []), ("after", ["one"])])
def test_a_cut_connection_may_or_may_not_have_placed_the_order(
    broker: SandboxProcess, account: str, fault: str, when: str, live: list[str]
) -> None:
    broker.fault(fault, account=account, route=SUBMIT, when=when)

    with pytest.raises(requests.ConnectionError) as cut:
        submit(broker, account)

    assert ("reset by peer" in str(cut.value)) == (fault == "reset")
    assert orders(broker, account) == live
    (entry,) = broker.ledger(account=account)
    assert entry["status"] == (200 if live else None)
    assert entry["client_order_id"] == "one"


def test_a_hang_answers_nothing_until_lifted(broker: SandboxProcess, account: str) -> None:
    broker.fault("hang", account=account, route=SUBMIT)

    with pytest.raises(requests.ReadTimeout):
        submit(broker, account, timeout=0.2)
    # A broker without a processor may not have read it yet.
    until(lambda: broker.ledger(account=account))
    broker.clear_faults()

    assert orders(broker, account) == []
    assert [entry["fault"] for entry in broker.ledger(account=account)] == ["hang"]
    assert submit(broker, account).status_code == 200


def test_a_delayed_submit_is_accepted_though_its_client_has_left(
    broker: SandboxProcess, account: str
) -> None:
    broker.fault("delay", account=account, route=SUBMIT, ms=300)

    with pytest.raises(requests.ReadTimeout):
        submit(broker, account, timeout=0.1)

    until(lambda: orders(broker, account) == ["one"])


def test_a_delay_only_delays(broker: SandboxProcess, account: str) -> None:
    broker.fault("delay", account=account, route="GET /v2/clock", ms=120)
    started = time.monotonic()

    answer = broker.trade(account, "GET", "/v2/clock")

    assert answer.status_code == 200
    assert time.monotonic() - started >= 0.12


@pytest.mark.parametrize(
    ("fault", "status", "text"),
    [
        ("html_502", 502, "<h1>502 Bad Gateway</h1>"),
        ("503", 503, "<h1>503 Service Temporarily Unavailable</h1>"),
        ("504", 504, "<h1>504 Gateway Time-out</h1>"),
        ("500", 500, '{"code":50010000,"message":"internal server error occurred"}'),
        ("429", 429, '{"code":42910000,"message":"rate limit exceeded"}'),
        ("401", 401, '{"message":"unauthorized."}'),
    ],
)
def test_an_answer_of_a_bad_day_keeps_the_order_out_of_the_books(
    broker: SandboxProcess, account: str, fault: str, status: int, text: str
) -> None:
    broker.fault(fault, account=account, route=SUBMIT)

    answer = submit(broker, account)

    assert answer.status_code == status
    assert text in answer.text
    assert len(answer.headers["X-Request-ID"]) == 32
    assert orders(broker, account) == []
    assert [(e["status"], e["fault"]) for e in broker.ledger(account=account)] == [(status, fault)]


@pytest.mark.parametrize(("fault", "text"), [("429", "too many requests."), ("401", "nginx")])
def test_the_data_api_has_its_own_words(
    broker: SandboxProcess, account: str, fault: str, text: str
) -> None:
    broker.fault(fault, account=account)

    answer = broker.trade(account, "GET", "/v2/stocks/AAPL/quotes/latest")

    assert answer.status_code == int(fault)
    assert text in answer.text


def test_a_wrong_id_answers_about_another_order(broker: SandboxProcess, account: str) -> None:
    broker.fault("wrong_id", account=account, route=SUBMIT)

    answer = submit(broker, account)

    assert answer.status_code == 200
    assert answer.json()["client_order_id"] != "one"
    assert orders(broker, account) == ["one"]


def test_a_fault_strikes_its_account_and_route_so_often_and_no_more(
    broker: SandboxProcess, account: str
) -> None:
    broker.fault("500", account=account, route="DELETE /v2/orders/{order_id}", times=2)
    path = f"/v2/orders/{uuid4()}"

    other = broker.trade(f"{account}-b", "DELETE", path)
    route = broker.trade(account, "GET", path)
    struck = [broker.trade(account, "DELETE", path).status_code for _ in range(3)]

    assert (other.status_code, route.status_code) == (404, 404)
    assert struck == [500, 500, 404]
    assert [fault["hits"] for fault in broker.get("faults")["faults"]] == [2]


def test_a_fault_without_an_end_lasts_until_cleared(broker: SandboxProcess, account: str) -> None:
    broker.fault("500", account=account, times=0)
    struck = [broker.trade(account, "GET", "/v2/clock").status_code for _ in range(5)]

    broker.clear_faults()

    assert struck == [500] * 5
    assert broker.trade(account, "GET", "/v2/clock").status_code == 200


@pytest.mark.parametrize(
    "wrong", [{}, {"fault": "rain"}, {"fault": "500", "often": 3}, {"fault": "500", "times": -1}]
)
def test_a_fault_that_makes_no_sense_is_refused(broker: SandboxProcess, wrong: object) -> None:
    answer = requests.post(f"{broker.url}/sandbox/faults", json=wrong, timeout=60)

    assert answer.status_code == 422
    assert broker.get("faults")["faults"] == []
