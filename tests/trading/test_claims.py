"""No byte of an order leaves before its claim is committed (law 4), and most claims say no (G2)."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from threading import Barrier
from typing import Any

import psycopg
import pytest
from psycopg.rows import TupleRow

from accounts import custody
from accounts.models import Account
from opitios.core import clock
from tests.support.accounts import lease
from tests.support.crowd import patient
from tests.support.orders import CAUSE, asked, entries, kinds, placed_row, row_of, soon
from tests.support.until import until
from tests.trading.crowds import come_again
from trading import executions, orders
from trading.executions import Claimed

pytestmark = pytest.mark.django_db

Owner = psycopg.Connection[TupleRow]


def claim(row: dict[str, Any], owner: str = "desk-1/a") -> Claimed | None:
    """Claim as that desk would."""
    return executions.claim(row, owner=owner, process="desk-1")


@pytest.fixture
def row(account: str) -> dict[str, Any]:
    """A queued order of an account that desk-1/a holds."""
    lease(account, "desk-1/a")
    return placed_row(account)


def assert_refused(row: dict[str, Any], owner: str = "desk-1/a") -> None:
    """A claim says no, and nothing was written."""
    before, told = row_of(row), entries(row["account_id"])

    assert claim(row, owner) is None

    assert row_of(row) == before
    assert entries(row["account_id"]) == told


def test_a_claim_is_a_row_an_entry_and_an_attempt_in_one(row: dict[str, Any]) -> None:
    claimed = claim(row)

    now = row_of(row)
    assert claimed is not None
    assert claimed.attempt == 1
    assert claimed.row == now
    assert (now["status"], now["attempts"], now["seq"]) == ("submitting", 1, 2)
    entry = entries(row["account_id"])[-1]
    assert entry["kind"] == "order.submitting"
    assert (entry["before"]["status"], entry["after"]["status"]) == ("queued", "submitting")
    assert entry["actor"]["kind"] == "system"
    assert entry["actor"]["on_behalf_of"]["sub"] == "bot-7"


def test_an_order_is_claimed_once(row: dict[str, Any]) -> None:
    assert claim(row) is not None

    assert_refused(row)
    assert_refused(row_of(row))


def test_a_desk_without_the_lease_claims_nothing(row: dict[str, Any]) -> None:
    assert_refused(row, "desk-2/b")


def test_a_desk_whose_lease_ran_out_claims_nothing(row: dict[str, Any]) -> None:
    lease(row["account_id"], "desk-1/a", seconds=-0.001)

    assert_refused(row)


def test_an_account_nobody_leases_sends_nothing(account: str) -> None:
    assert_refused(placed_row(account))


def test_a_canceled_order_is_not_claimed(row: dict[str, Any]) -> None:
    orders.cancel_order(row, asked())

    assert_refused(row)
    assert_refused(row_of(row))


def test_an_order_that_changed_since_it_was_read_is_not_claimed(row: dict[str, Any]) -> None:
    executions.change(row, "order.queued", {"status": "queued"}, CAUSE)

    assert_refused(row)
    assert claim(row_of(row)) is not None


def test_g3_an_order_past_its_deadline_is_not_claimed_by_the_database_s_clock(
    account: str, owner_connection: Owner
) -> None:
    lease(account, "desk-1/a")
    row = placed_row(account, not_after=soon(3600))
    owner_connection.execute(
        "UPDATE trading_order SET not_after = clock_timestamp() WHERE id = %s", [row["id"]]
    )

    assert row["not_after"] > clock.now() + timedelta(minutes=30)
    assert_refused({**row_of(row)})


def test_a_suspended_account_sends_nothing_until_it_is_resumed(row: dict[str, Any]) -> None:
    custody.suspend(row["account_id"], actor=CAUSE.actor, reason="odd orders")
    assert_refused(row)

    custody.resume(row["account_id"], actor=CAUSE.actor, reason="looked at")
    assert claim(row) is not None


def test_an_account_that_left_the_roster_sends_nothing_more(row: dict[str, Any]) -> None:
    Account.objects.filter(account_id=row["account_id"]).update(closing=True, enabled=False)

    assert_refused(row)


@pytest.mark.races
def test_no_claim_commits_after_a_suspension_is_confirmed(account: str) -> None:
    lease(account, "desk-1/a")
    rows = [placed_row(account) for _ in range(24)]
    together = Barrier(5)

    def claim_all(mine: list[dict[str, Any]]) -> None:
        together.wait(60)
        for row in mine:
            come_again(partial(claim, row))

    with ThreadPoolExecutor(4) as threads:
        claiming = [threads.submit(claim_all, rows[number::4]) for number in range(4)]
        together.wait(60)
        until(lambda: "order.submitting" in kinds(account))
        custody.suspend(account, actor=CAUSE.actor, reason="odd orders")
        confirmed = len(kinds(account))
        for each in claiming:
            each.result(patient(30))

    told = kinds(account)
    assert "order.submitting" in told[:confirmed]
    assert "order.submitting" not in told[told.index("account.suspended") :]
    assert "order.submitting" not in told[confirmed:]


def test_an_order_put_back_is_claimed_as_its_next_attempt(row: dict[str, Any]) -> None:
    first = claim(row)
    assert first is not None
    executions.change(first.row, "order.queued", {"status": "queued"}, CAUSE)

    second = claim(row_of(row))

    assert second is not None
    assert second.attempt == 2
    assert second.row["client_order_id"] == row["client_order_id"]
    assert kinds(row["account_id"])[1:] == ["order.submitting", "order.queued", "order.submitting"]


@pytest.mark.races
def test_of_twenty_claims_at_once_one_wins(row: dict[str, Any]) -> None:
    together = Barrier(20)

    def run(_number: int) -> Claimed | None:
        together.wait(60)
        return come_again(lambda: claim(row))

    with ThreadPoolExecutor(20) as threads:
        claims = list(threads.map(run, range(20)))

    assert sum(each is not None for each in claims) == 1
    assert kinds(row["account_id"]) == ["order.queued", "order.submitting"]
