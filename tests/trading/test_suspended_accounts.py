"""A suspended account sends nothing new: refused at the door, ended in the queue; cancels pass."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import OperationalError, transaction

from accounts import custody
from accounts.journal import Actor
from accounts.pool import get_pool
from opitios.core import database
from opitios.core.errors import Reason
from tests.support.accounts import lease, open_accounts
from tests.support.orders import asked, entries, kinds, place, placed_row, row_of
from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until
from tests.trading.desks import running_desk
from tests.trading.knowing import knowing_nothing, refusal
from trading import executions, orders, sweeps
from trading.executions import Claimed

pytestmark = pytest.mark.django_db

ME = Actor("staff", "jane")


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    with knowing_nothing():
        yield


def suspend(account_id: str) -> None:
    """Suspend the account, and let this process know."""
    custody.suspend(account_id, actor=ME, reason="strange orders")
    get_pool().refresh_standings()


def resume(account_id: str) -> None:
    """Resume the account, and let this process know."""
    custody.resume(account_id, actor=ME, reason="explained")
    get_pool().refresh_standings()


def test_a_new_order_is_refused_at_the_door_and_nothing_is_stored() -> None:
    suspended, free = open_accounts(2)
    suspend(suspended)

    assert refusal(suspended) is Reason.ACCOUNT_SUSPENDED

    assert kinds(suspended) == ["account.suspended"]
    assert row_of(place(free))["status"] == "queued"
    resume(suspended)
    assert row_of(place(suspended))["status"] == "queued"


def test_a_repeat_of_an_order_accepted_before_gets_its_answer(account: str) -> None:
    first = place(account, "key-1")
    suspend(account)

    again = place(account, "key-1")

    assert again.replayed
    assert again.body == first.body


def test_what_was_accepted_all_the_same_ends_as_denied_and_is_not_sent_after_resuming(
    trading_account: str, sandbox: SandboxProcess
) -> None:
    with running_desk(trading_account) as desk:
        # A web server hears of it within a second: what it accepts meanwhile is not sent either.
        custody.suspend(trading_account, actor=ME, reason="strange orders")
        desk.desk._pool.refresh_standings()
        waiting = place(trading_account)

        row = desk.wait_for(waiting, "denied")

        resume(trading_account)
        desk.desk._pool.refresh_standings()
        desk.wait_for(place(trading_account), "filled")
    assert (row["reason"], row["attempts"], row["final"]) == ("suspended-before-send", 0, True)
    assert row_of(waiting)["status"] == "denied"
    ids = [each.get("client_order_id") for each in sandbox.ledger(account=trading_account)]
    assert row["client_order_id"] not in ids
    [denied] = [entry for entry in entries(trading_account) if entry["kind"] == "order.denied"]
    assert denied["note"] == "its account is suspended"
    assert denied["actor"]["on_behalf_of"]["sub"] == "bot-7"


def test_one_that_may_be_at_the_broker_is_looked_for_and_never_denied(account: str) -> None:
    waiting = place(account)
    database.rows("UPDATE trading_order SET ambiguous = true WHERE id = %s", (waiting.order_id,))
    suspend(account)

    sweeps.deny_suspended([account])

    row = row_of(waiting)
    assert (row["status"], row["reason"]) == ("lapsed", "not-at-broker")


def test_a_worker_ends_what_waits_where_no_desk_is(account: str) -> None:
    waiting = place(account)
    suspend(account)

    sweeps.deny_suspended_forsaken()

    assert row_of(waiting)["status"] == "denied"


def test_cancels_pass_before_and_at_the_broker(
    trading_account: str, sandbox: SandboxProcess
) -> None:
    with running_desk(trading_account) as desk:
        resting = desk.wait_for(place(trading_account, limit_price="1"), "new")
        suspend(trading_account)

        orders.cancel_order(resting, asked())

        row = desk.wait_for(resting, "canceled")
    assert row["status"] == "canceled"
    assert sandbox.trade(trading_account, "GET", "/v2/orders").json() == []


def test_a_queued_order_of_a_suspended_account_may_be_canceled(account: str) -> None:
    waiting = place(account)
    suspend(account)

    canceled = orders.cancel_order(row_of(waiting), asked())

    assert canceled.never_sent
    assert row_of(waiting)["status"] == "canceled"


def claim(row: dict[str, Any]) -> Claimed | None:
    """Claim as its desk would, however long a lock is held."""
    try:
        while True:
            try:
                return executions.claim(row, owner="desk-1/a", process="desk-1")
            except OperationalError:
                continue
    finally:
        database.release()


def test_g2_an_order_of_a_suspended_account_cannot_be_claimed(account: str) -> None:
    lease(account, "desk-1/a")
    row = placed_row(account)
    custody.suspend(account, actor=ME, reason="strange orders")
    told = kinds(account)

    assert claim(row) is None

    assert (row_of(row), kinds(account)) == (row, told)
    custody.resume(account, actor=ME, reason="explained")
    claimed = claim(row)
    assert claimed is not None
    assert claimed.attempt == 1


@pytest.mark.races
def test_g2_no_claim_commits_after_a_suspension_that_it_had_not_seen(account: str) -> None:
    lease(account, "desk-1/a")
    row = placed_row(account)

    with ThreadPoolExecutor(1) as threads:
        with transaction.atomic():
            custody.suspend(account, actor=ME, reason="strange orders")
            claiming = threads.submit(claim, row)
            # It found the order, and waits: to it the account is not suspended yet.
            until(lambda: database.rows(_WAITS), seconds=20)
        assert claiming.result(30) is None

    assert row_of(row) == row
    assert kinds(account)[-1] == "account.suspended"


_WAITS = """
SELECT 1 FROM pg_locks WHERE NOT granted
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
UNION ALL SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'
AND datname = current_database()
"""


def test_a_desk_that_has_not_heard_sends_nothing_either(
    trading_account: str, sandbox: SandboxProcess
) -> None:
    with running_desk(trading_account) as desk:
        custody.suspend(trading_account, actor=ME, reason="strange orders")

        row = desk.wait_for(place(trading_account), "denied")

    assert row["attempts"] == 0
    ids = [each.get("client_order_id") for each in sandbox.ledger(account=trading_account)]
    assert row["client_order_id"] not in ids


def test_a_desk_that_knows_lets_nothing_of_the_account_go(trading_account: str) -> None:
    with running_desk(trading_account) as desk:
        [account] = desk.desk._owned()
        suspend(trading_account)
        desk.desk._pool.refresh_standings()

        assert desk.desk.keys.admit(account) > 0

        resume(trading_account)
        desk.desk._pool.refresh_standings()
        assert until(lambda: desk.desk.keys.admit(account) == 0.0)
        account.guard.withdraw()
