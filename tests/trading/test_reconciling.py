"""The broker's books are compared with ours, and ours are healed (G7, C13–C16, C34)."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from accounts.pool import Pool, PooledAccount
from opitios.broker.alpaca.wire import TradeUpdate
from opitios.core.config import get_config
from tests.support.accounts import open_account
from tests.support.orders import CAUSE, folded, kinds, place, report, row_of
from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until
from trading import executions, queries, reconciler, reports, shapes

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    data: Path = tmp_path_factory.mktemp("books")
    with SandboxProcess(data, options=("--fill-delay-ms", "1")) as running:
        yield running


@pytest.fixture
def account(db: None, sandbox: SandboxProcess) -> Iterator[PooledAccount]:
    account_id = open_account(url=sandbox.url)
    pool = Pool(get_config())
    pool.refresh()
    found = pool.get(account_id)
    assert found is not None
    yield found
    pool.stop()


def elsewhere(sandbox: SandboxProcess, account_id: str, **changed: Any) -> dict[str, Any]:
    """Place an order past the gateway, as its owner may in the broker's own page."""
    order = {
        "symbol": "AAPL", "side": "buy", "type": "limit", "time_in_force": "day", "qty": "3",
        "limit_price": "1.5",
    }  # fmt: skip
    answer = sandbox.trade(account_id, "POST", "/v2/orders", json=order | changed)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def mirrored(account: PooledAccount, order: dict[str, Any]) -> dict[str, Any]:
    row = queries.find_by_client_order_id(account.account_id, order["client_order_id"])
    assert row is not None
    return row


def wait_at_broker(sandbox: SandboxProcess, account_id: str, order_id: str, status: str) -> None:
    def is_so() -> bool:
        found = sandbox.trade(account_id, "GET", f"/v2/orders/{order_id}")
        return bool(found.json()["status"] == status)

    until(is_so)


def fills_of(row: dict[str, Any]) -> list[tuple[str, str]]:
    found, _ = queries.list_fills(row["account_id"], after_id=None, limit=100)
    return [(fill["qty"], fill["source"]) for fill in found if fill["order_id"] == str(row["id"])]


def test_an_order_placed_elsewhere_is_mirrored_as_the_broker_tells_it(
    sandbox: SandboxProcess, account: PooledAccount
) -> None:
    theirs = elsewhere(sandbox, account.account_id)

    reconciler.compare(account)

    row = mirrored(account, theirs)
    shown = shapes.order_json(row)
    assert row["source"] == "external"
    assert (shown["symbol"], shown["qty"], shown["limit_price"]) == ("AAPL", "3", "1.5")
    assert shown["broker_order_id"] == theirs["id"]
    assert folded(row) == shown


def test_a_second_comparison_changes_nothing(
    sandbox: SandboxProcess, account: PooledAccount
) -> None:
    theirs = elsewhere(sandbox, account.account_id)
    wait_at_broker(sandbox, account.account_id, theirs["id"], "new")
    reconciler.catch_up(account, None)
    told = kinds(account.account_id)

    changed = reconciler.catch_up(account, None) + reconciler.compare(account)

    assert changed == 0
    assert kinds(account.account_id) == told


def test_an_order_that_ended_unseen_is_found_by_catching_up(
    sandbox: SandboxProcess, account: PooledAccount
) -> None:
    theirs = elsewhere(sandbox, account.account_id)
    sandbox.trade(account.account_id, "DELETE", f"/v2/orders/{theirs['id']}")

    reconciler.catch_up(account, None)

    assert mirrored(account, theirs)["status"] in {"pending_cancel", "canceled"}


def test_more_orders_than_a_page_holds_are_all_read(
    sandbox: SandboxProcess, account: PooledAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciler, "PAGE", 5)
    placed = {elsewhere(sandbox, account.account_id)["id"] for _ in range(13)}

    listed = [answer.body["id"] for answer in reconciler.list_orders(account, status="open")]

    assert sorted(listed) == sorted(placed)


def ours_filled(sandbox: SandboxProcess, account: PooledAccount) -> dict[str, Any]:
    """An order of ours that filled at the broker while its stream was deaf."""
    row = row_of(place(account.account_id))
    answer = sandbox.trade(
        account.account_id,
        "POST",
        "/v2/orders",
        json={
            "symbol": "AAPL", "side": "buy", "type": "market", "time_in_force": "day",
            "qty": "10", "client_order_id": row["client_order_id"],
        },
    )  # fmt: skip
    order = answer.json()
    wait_at_broker(sandbox, account.account_id, order["id"], "filled")
    return {**row, "broker_order_id": order["id"]}


def test_a_fill_the_stream_omitted_is_completed_once_and_replaced_by_the_real_one(
    sandbox: SandboxProcess, account: PooledAccount
) -> None:
    row = ours_filled(sandbox, account)
    reports.take_answer(account, account.trading.order(row["broker_order_id"]), "look-up")
    assert row_of(row)["fills_short"]

    for _ in range(3):
        reconciler.complete_fills([account.account_id], grace_seconds=0)

    assert fills_of(row) == [("10", "synthesised")]
    assert not row_of(row)["fills_short"]

    reports.take_update(account, real_fill(account, row, "10"))

    assert fills_of(row) == [("10", "stream")]
    assert not row_of(row)["fills_short"]
    assert row_of(row)["filled_qty"] == 10


def real_fill(account: PooledAccount, row: dict[str, Any], qty: str) -> TradeUpdate:
    order = account.trading.order(row["broker_order_id"]).body
    return TradeUpdate(
        event="fill",
        order=order,
        execution_id=f"real-{row['id']}-{qty}",
        price=order["filled_avg_price"],
        qty=qty,
        position_qty=None,
        at=order["filled_at"],
        event_id=None,
        raw_sha256="",
        data={},
    )


def test_a_real_fill_of_a_part_leaves_the_rest_to_be_completed(
    sandbox: SandboxProcess, account: PooledAccount
) -> None:
    row = ours_filled(sandbox, account)
    reports.take_answer(account, account.trading.order(row["broker_order_id"]), "look-up")
    reconciler.complete_fills([account.account_id], grace_seconds=0)

    reports.take_update(account, real_fill(account, row, "4"))
    reconciler.complete_fills([account.account_id], grace_seconds=0)

    assert sorted(fills_of(row)) == [("4", "stream"), ("6", "synthesised")]
    assert row_of(row)["filled_qty"] == 10


def test_a_bust_takes_a_fill_back_as_a_new_row(account: PooledAccount) -> None:
    row = row_of(place(account.account_id))
    told = report(row, "filled", filled_qty="10", filled_avg_price="187")
    executions.report(row["id"], told, CAUSE)
    bust = report(row, "filled", second=2, filled_qty="4", event="trade_bust")
    execution = reports.execution_of(
        TradeUpdate("trade_bust", bust.order, "e-9", "187", "6", None, None, None, "", {})
    )

    told = report(row, "filled", second=2, filled_qty="4", event="trade_bust", execution=execution)
    executions.report(row["id"], told, CAUSE)

    assert row_of(row)["filled_qty"] == Decimal(4)
    assert ("-6", "bust") in fills_of(row)


def test_an_order_the_broker_forgot_keeps_its_state_with_an_alarm(
    sandbox: SandboxProcess, account: PooledAccount
) -> None:
    row = row_of(place(account.account_id))
    executions.report(row["id"], report(row, "new", id=str(uuid4())), CAUSE)

    reconciler.compare(account)
    reconciler.compare(account)

    now = row_of(row)
    assert (now["status"], now["reason"]) == ("new", "missing-at-broker")
    assert kinds(account.account_id).count("order.missing_at_broker") == 1


def test_the_drift_report_names_what_differs_and_changes_nothing(
    sandbox: SandboxProcess, account: PooledAccount
) -> None:
    theirs = elsewhere(sandbox, account.account_id)
    row = row_of(place(account.account_id))
    executions.report(row["id"], report(row, "new"), CAUSE)
    told = kinds(account.account_id)

    drift = reconciler.drift(account)

    assert not drift.in_agreement
    assert drift.external == [theirs["id"]]
    assert drift.missing_at_broker == [str(row["id"])]
    assert kinds(account.account_id) == told
