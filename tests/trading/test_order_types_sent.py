"""What was asked for reaches the broker word for word, and its refusals come back so."""

from decimal import Decimal
from typing import Any

import pytest

from tests.support.orders import entries, place, row_of
from tests.support.sandbox_process import SandboxProcess
from tests.trading.desks import RunningDesk
from tests.trading.sending import Step
from trading import queries, shapes

pytestmark = pytest.mark.django_db

# Prices of each type that rest: AAPL stands at 187.20 to 187.21.
TYPES: dict[str, dict[str, str]] = {
    "market": {},
    "limit": {"limit_price": "187.2"},
    "stop": {"stop_price": "200.5"},
    "stop_limit": {"stop_price": "200.5", "limit_price": "201"},
    "trailing_stop": {"trail_percent": "1.5"},
}
SIZES = [{"qty": "10"}, {"qty": "0.123456789"}, {"notional": "55.5"}]


def placed(account_id: str, kind: str, **fields: str) -> dict[str, Any]:
    """Store an order of a type; its row."""
    tif = fields.pop("time_in_force", "day")
    decimals = {name: Decimal(text) for name, text in (TYPES[kind] | fields).items()}
    asked: dict[str, Any] = {"qty": None, "limit_price": None, **decimals}
    return row_of(place(account_id, type=kind, time_in_force=tif, **asked))


@pytest.mark.parametrize(
    ("kind", "size"),
    [(kind, size) for kind in TYPES for size in SIZES
     if kind != "trailing_stop" or size == SIZES[0]],
)  # fmt: skip
def test_an_order_of_each_type_and_size_is_taken(
    sandbox: SandboxProcess, step: Step, kind: str, size: dict[str, str]
) -> None:
    row = placed(step.account.account_id, kind, **size)

    sent = step.send(row)

    [received] = sandbox.ledger(client_order_id=row["client_order_id"])
    assert sent["status"] == "pending_new"
    assert received["body"] == {
        "symbol": "AAPL", "side": "buy", "type": kind, "time_in_force": "day",
        "client_order_id": row["client_order_id"], **TYPES[kind], **size,
    }  # fmt: skip
    shown = shapes.order_json(sent)
    for name in ("qty", "notional", "limit_price", "stop_price", "trail_price", "trail_percent"):
        assert shown[name] == (TYPES[kind] | size).get(name)
    assert entries(row["account_id"])[0]["after"]["notional"] == size.get("notional")


@pytest.mark.parametrize("kind", ["market", "limit"])
@pytest.mark.parametrize("tif", ["gtc", "ioc", "fok", "opg", "cls"])
def test_every_time_in_force_is_taken(
    sandbox: SandboxProcess, step: Step, kind: str, tif: str
) -> None:
    row = placed(step.account.account_id, kind, qty="10", time_in_force=tif)

    sent = step.send(row)

    assert sent["status"] == "pending_new"
    [received] = sandbox.ledger(client_order_id=row["client_order_id"])
    assert received["body"]["time_in_force"] == tif


def test_extended_hours_are_sent_where_they_are_asked_for(
    sandbox: SandboxProcess, step: Step
) -> None:
    row = row_of(place(step.account.account_id, extended_hours=True))

    step.send(row)

    [received] = sandbox.ledger(client_order_id=row["client_order_id"])
    assert received["body"]["extended_hours"] is True


@pytest.mark.parametrize(
    ("kind", "fields", "code", "words"),
    [
        ("limit", {"qty": "0.5", "time_in_force": "gtc"}, 42210000,
         "fractional orders must be DAY orders"),
        ("market", {"notional": "50", "time_in_force": "ioc"}, 42210000,
         "fractional orders must be DAY orders"),
        ("stop", {"qty": "10", "time_in_force": "ioc"}, 40010001, "invalid time_in_force"),
        ("limit", {"qty": "10", "limit_price": "187.123"}, 42210000,
         "invalid limit_price 187.123. "
         "sub-penny increment does not fulfill minimum pricing criteria"),
        ("stop", {"qty": "10", "stop_price": "290.123"}, 42210000,
         "invalid stop_price 290.123. "
         "sub-penny increment does not fulfill minimum pricing criteria"),
        ("trailing_stop", {"qty": "10", "trail_percent": "0.05"}, 40010001,
         "trail_percent must be greater than or equal to 0.1"),
    ],
)  # fmt: skip
def test_what_the_broker_refuses_is_rejected_in_its_words(
    sandbox: SandboxProcess,
    step: Step,
    kind: str,
    fields: dict[str, str],
    code: int,
    words: str,
) -> None:
    row = placed(step.account.account_id, kind, **fields)

    sent = step.send(row)

    problem = queries.order_detail(sent)["problem"]
    assert (sent["status"], sent["final"]) == ("rejected", True)
    assert (problem["status"], problem["code"], problem["message"]) == (422, code, words)
    assert problem["origin"] == "broker"
    assert len(sandbox.ledger(client_order_id=row["client_order_id"])) == 1
    assert sandbox.trade(row["account_id"], "GET", "/v2/orders?status=all").json() == []


def test_an_order_for_dollars_fills_to_nine_decimals(
    trading_account: str, desk: RunningDesk
) -> None:
    row = placed(trading_account, "market", notional="501")

    filled = desk.wait_for(row, "filled")

    assert (filled["qty"], filled["notional"]) == (None, Decimal(501))
    assert filled["filled_qty"] == Decimal("2.676139095")
    assert shapes.order_json(filled)["filled_qty"] == "2.676139095"
