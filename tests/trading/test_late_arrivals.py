"""What was given up here and appears there is adopted, cancelled at once, and alarmed."""

from typing import Any

import pytest

from opitios.core.config import get_config
from tests.support.accounts import open_account
from tests.support.orders import kinds, place, row_of, soon
from tests.support.proxy import Proxy
from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until
from tests.trading.desks import SHORT, running_desk
from tests.trading.searches import (
    at_broker,
    forsake,
    let_it_be_late,
    look_up,
    make_due,
    make_old,
    search_of,
    unknown,
)
from tests.trading.sending import Step
from trading.resolver import ABSENT_AFTER_LOOK_UPS, Resolver

pytestmark = pytest.mark.django_db

Row = dict[str, Any]
DAY = 86_400.0


def arrive(sandbox: SandboxProcess, row: Row, **changed: Any) -> None:
    """Let an order reach the broker long after its sender has left."""
    body = {"symbol": "AAPL", "qty": "10", "side": "buy", "type": "limit", "limit_price": "1",
            "time_in_force": "day", "client_order_id": row["client_order_id"]}  # fmt: skip
    answer = sandbox.trade(row["account_id"], "POST", "/v2/orders", json=body | changed)
    assert answer.status_code == 200


def given_up(sandbox: SandboxProcess, step: Step) -> Row:
    """An order that was lost on its way and lapsed."""
    row = unknown(sandbox, step)
    let_it_be_late(row)
    lapsed = look_up(step, row, ABSENT_AFTER_LOOK_UPS)
    assert (lapsed["status"], lapsed["reason"]) == ("lapsed", "not-at-broker")
    return lapsed


def test_an_order_slower_than_everything_is_cancelled_when_it_appears(
    db: None, sandbox: SandboxProcess, caplog: pytest.LogCaptureFixture
) -> None:
    # The broker takes the order although its client has long left; nothing of it is told before.
    timers = get_config().timers.model_copy(update={"absent_after": 1.0})
    config = get_config().model_copy(update={"timers": timers})
    with Proxy(("127.0.0.1", sandbox.port)) as way:
        trading_account = open_account(url=f"http://127.0.0.1:{way.port}")
        with running_desk(trading_account, config=config, calls=SHORT) as desk:
            way.keep_back(b"POST /v2/orders")
            row = desk.wait_for(place(trading_account, limit_price=1), "unknown")
            let_it_be_late(row)
            desk.wait_for(row, "lapsed")

            way.let_go()
            now = desk.wait_for(row, "canceled", seconds=15)

    assert now["final"]
    assert [order["status"] for order in at_broker(sandbox, row)] == ["canceled"]
    assert kinds(trading_account).count("order.submitting") == 1
    assert "late-arrival" in caplog.text


def test_it_is_found_without_the_stream_too(sandbox: SandboxProcess, step: Step) -> None:
    row = given_up(sandbox, step)
    arrive(sandbox, row)

    now = look_up(step, row, 1)

    assert (now["final"], now["reason"]) == (False, "late-arrival")
    assert now["broker_order_id"] == at_broker(sandbox, row)[0]["id"]
    assert now["cancel_requested_at"] is not None
    assert search_of(row)["next_at"] is None


def test_one_that_filled_meanwhile_keeps_its_fills_and_its_reason(
    sandbox: SandboxProcess, step: Step
) -> None:
    row = given_up(sandbox, step)
    arrive(sandbox, row, limit_price="188")
    until(lambda: at_broker(sandbox, row)[0]["status"] == "filled")

    now = look_up(step, row, 1)

    assert (now["status"], now["final"], now["reason"]) == ("filled", True, "late-arrival")
    assert now["filled_qty"] == 10
    assert now["cancel_requested_at"] is None


def test_its_id_is_watched_for_a_day_ever_more_rarely(sandbox: SandboxProcess, step: Step) -> None:
    row = given_up(sandbox, step)
    first = search_of(row)
    pauses = []
    for _ in range(3):
        make_due(row)
        Resolver(get_config().timers, role="worker", process="w").resolve(row["id"], step.account)
        search = search_of(row)
        pauses.append((search["next_at"] - soon(0)).total_seconds())
    make_due(row)
    make_old(row, DAY + 1)
    Resolver(get_config().timers, role="worker", process="w").resolve(row["id"], step.account)

    assert 55 < (first["next_at"] - first["began_at"]).total_seconds() < 65
    assert pauses[0] < 160 < pauses[1] < 400 < pauses[2] < 800
    assert search_of(row)["next_at"] is None
    # Absence proves nothing new: it stays as it is.
    assert row_of(row) == row


def test_a_desk_cancels_what_a_worker_found(
    sandbox: SandboxProcess, step: Step, trading_account: str
) -> None:
    row = given_up(sandbox, step)
    arrive(sandbox, row)
    look_up(step, row, 1)
    forsake(row)

    with running_desk(trading_account) as desk:
        assert desk.wait_for(row, "canceled")["final"]

    assert [order["status"] for order in at_broker(sandbox, row)] == ["canceled"]
