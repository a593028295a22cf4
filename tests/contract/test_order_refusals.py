"""Refused submits: exact status, code and message, and nothing of them in the books."""

from typing import Any

import pytest

from tests.support.openapi import TRADING, check_schema
from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until

pytestmark = pytest.mark.contract

Body = dict[str, Any]

PLAIN: Body = {"symbol": "AAPL", "qty": "1", "side": "buy", "type": "market",
               "time_in_force": "day"}  # fmt: skip
LIMIT = {**PLAIN, "type": "limit", "limit_price": "1.50"}
STOP: dict[str, Any] = {**PLAIN, "type": "stop", "stop_price": "1"}
TRAIL: dict[str, Any] = {**PLAIN, "type": "trailing_stop", "trail_price": "1"}


def without(body: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in names}


REFUSALS: list[tuple[Any, int, int, str]] = [
    (without(PLAIN, "qty"), 422, 40010001, "qty or notional is required"),
    ({**PLAIN, "notional": "10"}, 422, 40010001, "only one of qty or notional is accepted"),
    ({**PLAIN, "qty": "0"}, 422, 40010001, "qty must be > 0"),
    ({**PLAIN, "qty": -1}, 422, 40010001, "qty must be > 0"),
    (without(LIMIT, "limit_price"), 422, 40010001, "limit orders require a limit price"),
    (
        {**PLAIN, "limit_price": "1"},
        422,
        40010001,
        "market orders require no stop or limit price",
    ),
    ({**PLAIN, "time_in_force": "always"}, 422, 40010001, "invalid time_in_force"),
    ({**PLAIN, "side": "hold"}, 422, 40010001, "invalid side"),
    (without(PLAIN, "symbol"), 422, 40010001, "symbol is required"),
    (
        {**PLAIN, "client_order_id": "x" * 129},
        422,
        40010001,
        "client_order_id must be no more than 128 characters",
    ),
    ({**PLAIN, "symbol": "ZZZZ"}, 422, 42210000, 'asset "ZZZZ" not found'),
    ({**PLAIN, "symbol": "aapl"}, 422, 42210000, 'asset "aapl" not found'),
    (
        {**LIMIT, "limit_price": 290.123},
        422,
        42210000,
        "invalid limit_price 290.123. "
        "sub-penny increment does not fulfill minimum pricing criteria",
    ),
    (
        {**LIMIT, "limit_price": 0.1 + 0.2},
        422,
        42210000,
        "invalid limit_price 0.30000000000000004. "
        "sub-penny increment does not fulfill minimum pricing criteria",
    ),
    (
        {**PLAIN, "qty": "0.5", "time_in_force": "gtc"},
        422,
        42210000,
        "fractional orders must be DAY orders",
    ),
    (
        {**PLAIN, "qty": "0.5", "side": "sell"},
        422,
        42210000,
        "fractional orders cannot be sold short",
    ),
    (
        {**PLAIN, "extended_hours": True},
        422,
        42210000,
        "extended hours order must be DAY or GTC limit orders",
    ),
    (
        {**PLAIN, "position_intent": "buy_to_close"},
        422,
        42210000,
        "position intent mismatch, inferred: buy_to_open, specified: buy_to_close",
    ),
    (
        without({**PLAIN, "notional": "0.99"}, "qty"),
        403,
        40310000,
        "cost basis must be >= minimal amount of order 1",
    ),
    (
        {**PLAIN, "symbol": "BRK.A", "qty": "0.5"},
        403,
        40310000,
        'asset "BRK.A" is not fractionable',
    ),
    ({**PLAIN, "symbol": "GME", "side": "sell"}, 422, 42210000, 'asset "GME" cannot be sold short'),
    ({**PLAIN, "qty": "1_000"}, 400, 40010000, "request body format is invalid"),
    ({**PLAIN, "qty": "\uff11"}, 400, 40010000, "request body format is invalid"),
    ({**PLAIN, "qty": "NaN"}, 400, 40010000, "request body format is invalid"),
    ({**PLAIN, "symbol": 5}, 400, 40010000, "request body format is invalid"),
    ([PLAIN], 400, 40010000, "request body format is invalid"),
    ({**PLAIN, "type": "stop"}, 422, 40010001, "stop orders require a stop price"),
    ({**STOP, "limit_price": "1"}, 422, 40010001, "stop orders require no limit price"),
    ({**LIMIT, "stop_price": "1"}, 422, 40010001, "limit orders require no stop price"),
    *(
        (body, 422, 40010001, "stop limit orders require both stop and limit price")
        for body in ({**STOP, "type": "stop_limit"}, {**LIMIT, "type": "stop_limit"})
    ),
    *(
        (
            {**PLAIN, "type": "trailing_stop", **trail},
            422,
            40010001,
            "trailing stop orders must specify one of trail_price or trail_percent",
        )
        for trail in ({}, {"trail_price": "1", "trail_percent": "1"})
    ),
    (
        {**TRAIL, "stop_price": "1"},
        422,
        40010001,
        "trailing stop orders require no stop or limit price",
    ),
    ({**TRAIL, "trail_price": "0"}, 422, 40010001, "trail_price must be > 0"),
    (
        without({**TRAIL, "trail_percent": "0.09"}, "trail_price"),
        422,
        40010001,
        "trail_percent must be greater than or equal to 0.1",
    ),
    (
        {**PLAIN, "trail_price": "1"},
        422,
        40010001,
        "only trailing stop orders accept trail_price or trail_percent",
    ),
    ({**STOP, "stop_price": "0"}, 422, 40010001, "stop price must be > 0"),
    (
        {**STOP, "stop_price": "290.123"},
        422,
        42210000,
        "invalid stop_price 290.123. sub-penny increment does not fulfill minimum pricing criteria",
    ),
    *(
        ({**body, "time_in_force": tif}, 422, 40010001, "invalid time_in_force")
        for body in (STOP, {**STOP, "type": "stop_limit", "limit_price": "2"}, TRAIL)
        for tif in ("ioc", "fok", "opg", "cls")
    ),
    *(
        (
            {**STOP, "qty": "0.5", "time_in_force": tif},
            422,
            42210000,
            "fractional orders must be DAY orders",
        )
        for tif in ("gtc", "ioc", "fok", "opg", "cls")
    ),
    (
        {**TRAIL, "qty": "0.5"},
        422,
        42210000,
        "fractional orders cannot be trailing stop orders",
    ),
    *(
        (
            {**body, "extended_hours": True},
            422,
            42210000,
            "extended hours order must be DAY or GTC limit orders",
        )
        for body in (STOP, TRAIL, {**LIMIT, "time_in_force": "ioc"})
    ),
    (
        {**LIMIT, "order_class": "bracket"},
        422,
        42210000,
        "sandbox: bracket orders are not supported yet",
    ),
    (
        {**PLAIN, "symbol": "AAPL240315C00172500"},
        422,
        42210000,
        "sandbox: option orders are not supported yet",
    ),
]


@pytest.mark.parametrize(("body", "status", "code", "message"), REFUSALS)
def test_a_refusal_has_its_code_and_changes_nothing(
    broker: SandboxProcess, account: str, body: object, status: int, code: int, message: str
) -> None:
    answer = broker.trade(account, "POST", "/v2/orders", json=body)

    assert (answer.status_code, answer.json()) == (status, {"code": code, "message": message})
    check_schema(TRADING, "Error", answer.json())
    assert broker.trade(account, "GET", "/v2/orders?status=all").json() == []
    assert [entry["status"] for entry in broker.ledger(account=account)] == [status]


def test_a_body_that_is_not_json_is_refused(broker: SandboxProcess, account: str) -> None:
    answer = broker.trade(account, "POST", "/v2/orders", data=b'{"symbol":')

    assert answer.status_code == 400
    assert answer.json() == {"code": 40010000, "message": "request body format is invalid"}
    assert broker.ledger(account=account)[0]["body"] == '{"symbol":'


def test_too_little_buying_power_names_both_amounts(broker: SandboxProcess, account: str) -> None:
    broker.post("accounts", {"account": account, "cash": "1000"})

    answer = broker.trade(
        account, "POST", "/v2/orders", json={**LIMIT, "qty": "2000", "limit_price": "1.5"}
    )

    assert answer.status_code == 403
    assert answer.json() == {
        "buying_power": "2000",
        "code": 40310000,
        "cost_basis": "3000",
        "message": "insufficient buying power",
    }


def test_an_account_may_be_forbidden_to_short(broker: SandboxProcess, account: str) -> None:
    broker.post("accounts", {"account": account, "shorting_enabled": False})

    answer = broker.trade(account, "POST", "/v2/orders", json={**PLAIN, "side": "sell"})

    assert answer.status_code == 403
    assert answer.json() == {"code": 40310000, "message": "account is not allowed to short"}


def test_shares_held_by_an_order_are_not_sold_twice(broker: SandboxProcess, account: str) -> None:
    broker.trade(account, "POST", "/v2/orders", json={**PLAIN, "symbol": "F", "qty": "3"})
    until(lambda: broker.trade(account, "GET", "/v2/positions").json())
    resting = {**LIMIT, "symbol": "F", "qty": "3", "side": "sell", "limit_price": "99"}
    first = broker.trade(account, "POST", "/v2/orders", json=resting).json()

    answer = broker.trade(account, "POST", "/v2/orders", json={**resting, "qty": "1"})

    assert answer.status_code == 403
    assert answer.json() == {
        "available": "0",
        "code": 40310000,
        "existing_qty": "3",
        "held_for_orders": "3",
        "message": "insufficient qty available for order (requested: 1, available: 0)",
        "related_orders": [first["id"]],
        "symbol": "F",
    }


def test_an_opposite_order_is_a_wash_trade(broker: SandboxProcess, account: str) -> None:
    resting = broker.trade(account, "POST", "/v2/orders", json=LIMIT).json()

    answer = broker.trade(account, "POST", "/v2/orders", json={**PLAIN, "side": "sell"})

    assert answer.status_code == 403
    assert answer.json() == {
        "code": 40310000,
        "existing_order_id": resting["id"],
        "message": "potential wash trade detected. use complex orders",
        "reject_reason": "opposite side limit order exists. use complex/limit/stop_limit orders",
    }
