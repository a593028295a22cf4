"""Keys, request ids, rate-limit headers, and what a wrong path answers."""

import time

import pytest
import requests
from alpaca.common.exceptions import APIError
from alpaca.trading.client import TradingClient

from tests.support.sandbox_process import SandboxProcess

pytestmark = pytest.mark.contract

KEY, SECRET = "APCA-API-KEY-ID", "APCA-API-SECRET-KEY"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {KEY: "SANDBOX_x"},
        {KEY: "SANDBOX_x", SECRET: "sandbox-secret-y"},
        {KEY: "PKX", SECRET: "sandbox-secret-PKX"},
        {KEY: "SANDBOX_a b", SECRET: "sandbox-secret-a b"},
        {"Authorization": "Bearer x"},
    ],
)
def test_a_wrong_key_is_unauthorized_and_opens_no_account(
    broker: SandboxProcess, headers: dict[str, str]
) -> None:
    before = broker.get("health")["accounts"]

    answer = requests.get(f"{broker.url}/v2/account", headers=headers, timeout=60)

    assert (answer.status_code, answer.json()) == (401, {"message": "unauthorized."})
    assert broker.get("health")["accounts"] == before


def test_alpaca_py_meets_the_refusal_as_an_api_error(broker: SandboxProcess) -> None:
    client = TradingClient("SANDBOX_x", "wrong", url_override=broker.url)

    with pytest.raises(APIError) as refused:
        client.get_account()
    client._session.close()

    assert refused.value.status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/account", 200),
        ("GET", "/v2/orders/none", 422),
        ("GET", "/v2/nowhere", 404),
        ("DELETE", "/v2/orders", 207),
        ("GET", "/v2/stocks/quotes/latest?symbols=AAPL", 200),
    ],
)
def test_every_answer_has_a_request_id_and_the_limits(
    broker: SandboxProcess, account: str, method: str, path: str, status: int
) -> None:
    asked = time.time()
    answer = broker.trade(account, method, path)
    answered = time.time()

    assert answer.status_code == status
    assert len(answer.headers["X-Request-ID"]) == 32
    assert answer.headers["X-Ratelimit-Limit"] == "200"
    assert answer.headers["X-Ratelimit-Remaining"] == "199"
    # The minute may end before the answer is read.
    assert asked < int(answer.headers["X-Ratelimit-Reset"]) <= answered + 60


def test_trading_and_data_are_counted_apart(broker: SandboxProcess, account: str) -> None:
    broker.trade(account, "GET", "/v2/clock")
    data = broker.trade(account, "GET", "/v2/stocks/AAPL/quotes/latest")

    assert data.headers["X-Ratelimit-Remaining"] == "199"


@pytest.mark.parametrize(("method", "path"), [("GET", "/v2/nowhere"), ("PUT", "/v2/orders")])
def test_an_unknown_path_is_404(
    broker: SandboxProcess, account: str, method: str, path: str
) -> None:
    answer = broker.trade(account, method, path)

    assert answer.status_code == 404
    assert answer.json() == {"code": 40410000, "message": "endpoint not found."}


def test_the_ledger_keeps_the_request_id(broker: SandboxProcess, account: str) -> None:
    answer = broker.trade(account, "POST", "/v2/orders", json={})

    assert broker.ledger(account=account)[0]["request_id"] == answer.headers["X-Request-ID"]
