"""G16: under a halt nothing is claimed, what waits is denied, and cancels pass."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction

from accounts import custody, journal
from accounts.journal import Actor
from accounts.models import Halt
from opitios.core import database
from tests.support.accounts import lease, open_account
from tests.support.halting import ME, halted
from tests.support.orders import asked, entries, kinds, place, placed_row, row_of
from tests.support.until import until
from trading import executions, halts, orders, sweeps
from trading.executions import Claimed, Halted
from trading.halts import Target

pytestmark = pytest.mark.django_db

DESK = "desk-1/a"


def claim(row: dict[str, Any]) -> Claimed | None:
    """Claim as the account's desk would, however long a lock is held."""
    try:
        while True:
            try:
                return executions.claim(row, owner=DESK, process="desk-1")
            except OperationalError:
                continue
    finally:
        database.release()


def over(account: str, what: str) -> AbstractContextManager[dict[str, Any]]:
    """A halt of each kind that stands over an order for AAPL of the account."""
    return halted(account if "account" in what else None, "AAPL" if "symbol" in what else None)


KINDS = ["everything", "the account", "the symbol", "the account's symbol"]


@pytest.mark.parametrize("what", KINDS)
def test_g16_an_order_under_a_halt_cannot_be_claimed(account: str, what: str) -> None:
    lease(account, DESK)
    row = placed_row(account)

    with over(account, what), pytest.raises(Halted) as caught:
        claim(row)

    assert caught.value.mode == "halt"
    assert row_of(row) == row
    claimed = claim(row)
    assert claimed is not None
    assert claimed.attempt == 1


def test_a_halt_of_something_else_holds_nothing_back(account: str) -> None:
    other = open_account()
    lease(account, DESK)
    row = placed_row(account)

    with halted(other), halted(symbol="MSFT"), halted(account, "MSFT"), halted(other, "AAPL"):
        claimed = claim(row)

    assert claimed is not None


@pytest.mark.races
@pytest.mark.parametrize("account_too", [False, True])
def test_g16_no_claim_commits_after_a_halt_that_it_had_not_seen(
    account: str, account_too: bool
) -> None:
    lease(account, DESK)
    row = placed_row(account)
    target = Target(account if account_too else None)

    with ThreadPoolExecutor(1) as threads:
        with transaction.atomic():
            found = halts.set_halt(target, mode="halt", actor=ME, reason="strange orders").row
            claiming = threads.submit(claim, row)
            # It waits: for it the halt is not there yet.
            until(lambda: database.rows(_WAITS), seconds=20)
        with pytest.raises(Halted):
            claiming.result(30)

    assert row_of(row) == row
    halts.lift(found["id"], actor=ME, reason="explained")


_WAITS = """
SELECT 1 FROM pg_locks WHERE NOT granted
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
UNION ALL SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'
AND datname = current_database()
"""


@pytest.mark.races
def test_g16_a_halt_of_everything_waits_for_a_claim_in_progress(account: str) -> None:
    lease(account, DESK)
    row = placed_row(account)

    def halt_all() -> dict[str, Any]:
        try:
            return halts.set_halt(Target(), mode="halt", actor=ME, reason="strange orders").row
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as threads:
        with transaction.atomic():
            claimed = executions.claim(row, owner=DESK, process="desk-1")
            halting = threads.submit(halt_all)
            until(lambda: database.rows(_WAITS), seconds=20)
            assert not halting.done()
        found = halting.result(30)
    halts.lift(found["id"], actor=ME, reason="explained")

    assert claimed is not None
    assert row_of(row)["updated_at"] < found["set_at"]


def test_what_waits_is_denied_and_not_sent_when_the_halt_is_lifted(account: str) -> None:
    lease(account, DESK)
    row = placed_row(account)

    with halted(account):
        assert sweeps.deny_halted([account]) == 1
        denied = row_of(row)
        assert sweeps.deny_halted([account]) == 0

    assert (denied["status"], denied["reason"], denied["final"]) == ("denied", "halted", True)
    assert claim(denied) is None
    [entry] = [entry for entry in entries(account) if entry["kind"] == "order.denied"]
    assert entry["note"] == "under a halt: halt"
    assert entry["actor"]["on_behalf_of"]["sub"] == "bot-7"


def test_a_worker_denies_what_waits_where_no_desk_is(account: str) -> None:
    row = placed_row(account)

    with halted(account, "AAPL"):
        sweeps.deny_halted_forsaken()

    assert row_of(row)["status"] == "denied"


def test_one_that_may_be_at_the_broker_is_looked_for_and_never_denied(account: str) -> None:
    row = placed_row(account)
    database.rows("UPDATE trading_order SET ambiguous = true WHERE id = %s", (row["id"],))

    with halted(account):
        sweeps.deny_halted([account])

    after = row_of(row)
    assert (after["status"], after["reason"]) == ("lapsed", "not-at-broker")


def test_what_is_being_sent_is_named(account: str) -> None:
    lease(account, DESK)
    claimed = claim(placed_row(account))
    placed_row(account)
    assert claimed is not None

    with halted(account) as halt, halted(account, "MSFT") as other:
        [flying] = halts.in_flight(halt)
        assert halts.in_flight(other) == []

    assert flying["order_id"] == str(claimed.row["id"])
    assert flying["client_order_id"] == claimed.row["client_order_id"]


def test_a_queued_order_under_a_halt_may_be_canceled(account: str) -> None:
    row = placed_row(account)

    with halted(account):
        canceled = orders.cancel_order(row, asked())

    assert canceled.never_sent


def test_open_orders_are_cancelled_where_a_halt_asks_for_it_and_later_ones_are_not(
    account: str,
) -> None:
    lease(account, DESK)
    claimed = claim(placed_row(account))
    assert claimed is not None

    with halted(account):
        assert sweeps.cancel_halted([account]) == 0
    with halted(account, mode="reduce_only", cancel_orders=True):
        assert sweeps.cancel_halted([account]) == 1
        assert sweeps.cancel_halted([account]) == 0
        later = placed_row(account)
        database.rows("UPDATE trading_order SET status = 'new' WHERE id = %s", (later["id"],))
        assert sweeps.cancel_halted([account]) == 0

    assert row_of(claimed.row)["cancel_requested_at"] is not None


def test_the_same_halt_again_is_the_one_that_stands_and_each_lifts_his_own(account: str) -> None:
    other = Actor("principal", "bot-7", {"sub": "bot-7"})
    with halted(account) as first, halted(account, actor=other) as his:
        told = kinds(account)
        again = halts.set_halt(Target(account), mode="halt", actor=ME, reason="once more")

        assert (again.row["id"], again.is_new) == (first["id"], False)
        assert again.row["reason"] == "strange orders"
        assert kinds(account) == told
        assert his["id"] != first["id"]
        halts.lift(his["id"], actor=other, reason=None)
        assert [row["id"] for row in standing(account)] == [first["id"]]


def standing(account: str) -> list[dict[str, Any]]:
    """The account's own halts that stand."""
    found = halts.list_halts(frozenset([account]), standing=True, limit=50)
    return [row for row in found if row["account_id"] == account]


def test_the_trader_reads_of_his_account_s_halts_and_the_system_s_journal_has_the_others(
    account: str,
) -> None:
    before = journal.head("_system")["seq"]

    with halted(account, "AAPL"):
        pass
    with halted():
        pass

    [put, lifted] = entries(account)
    assert (put["kind"], put["reason"], put["symbol"]) == (
        "account.halted", "strange orders", "AAPL",
    )  # fmt: skip
    assert (lifted["kind"], lifted["reason"]) == ("account.halt_lifted", "explained")
    assert lifted["after"]["lifted_by"] == put["actor"]["name"] == "jane"
    told = [entry.kind for entry in journal.entries("_system", after=before, kind=None, limit=50)]
    assert [kind for kind in told if kind.startswith("halt.")] == ["halt.set", "halt.lifted"]


def test_lifting_again_changes_nothing_and_no_such_halt_is_said(account: str) -> None:
    with halted(account) as halt:
        pass
    first = halts.find(halt["id"])
    told = kinds(account)

    assert halts.lift(halt["id"], actor=ME, reason="again") == first

    assert kinds(account) == told
    with pytest.raises(custody.Refused, match="no halt"):
        halts.lift(placed_row(account)["id"], actor=ME, reason=None)


@pytest.mark.parametrize("reason", ["", " ", "two\nlines", "x" * 201])
def test_a_halt_without_a_reason_is_refused_and_nothing_is_halted(
    account: str, reason: str
) -> None:
    with pytest.raises(custody.Refused, match="say why"):
        halts.set_halt(Target(account), mode="halt", actor=ME, reason=reason)

    assert not Halt.objects.filter(account_id=account).exists()
    assert kinds(account) == []


def test_a_new_order_under_a_halt_is_denied_and_its_replay_says_the_same(account: str) -> None:
    with halted(account):
        first = place(account, "key-1")
    again = place(account, "key-1")

    assert first.denied is not None
    assert (first.replayed, again.replayed) == (False, True)
    assert first.body == again.body
    assert (first.body["status"], first.body["reason"]) == (422, "halted")
    assert first.body["order_id"] == str(first.order_id)
    row = row_of(first)
    assert (row["status"], row["reason"], row["attempts"]) == ("denied", "halted", 0)
    assert kinds(account) == ["account.halted", "order.denied", "account.halt_lifted"]
    assert place(account, "key-2").denied is None
