"""Each process has its share of an account's calls, and keeps it when the roster changes."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from accounts.models import Account, ProcessRow, RosterVersion
from accounts.pool import Pool
from opitios.broker.budget import Lane
from opitios.core import clock
from opitios.core.config import Config, get_config
from tests.support.accounts import open_account

pytestmark = pytest.mark.django_db

READERS = ("web", "market", "worker")


def pool_of(role: str, config: Config | None = None) -> Pool:
    """The accounts of a process of this role, under a name of its own."""
    named = {"role": role, "process": f"shares-{uuid4().hex[:8]}"}
    pool = Pool((config or get_config()).model_copy(update=named))
    pool.refresh()
    return pool


def guard_of(pool: Pool, account_id: str) -> Any:
    """The account's guard."""
    account = pool.get(account_id)
    assert account is not None
    return account.guard


def readers() -> int:
    """How many processes read now: other tests' real ones may be among them."""
    since = clock.now() - timedelta(seconds=15)
    return ProcessRow.objects.filter(role__in=READERS, seen_at__gt=since).count()


@pytest.fixture
def account_id(db: None) -> str:
    """An account of the test's own, and no process that reads."""
    ProcessRow.objects.filter(role__in=READERS).delete()
    return open_account()


def test_a_desk_has_its_calls_with_a_reserve_and_a_slot_for_cancels(account_id: str) -> None:
    guard = guard_of(pool_of("desk"), account_id)

    assert (guard.budget.per_minute, guard.budget.reserve) == (140, 20)
    assert [door.slots for door in guard._doors[:2]] == [4, 5]


def test_reading_processes_share_sixty_calls_a_minute(account_id: str) -> None:
    first, second = pool_of("web"), pool_of("worker")
    first.write_row()
    alone = guard_of(first, account_id).budget.per_minute
    assert alone == 60 / readers()

    second.write_row()
    first.write_row()

    assert guard_of(first, account_id).budget.per_minute == 60 / readers() < alone
    assert guard_of(second, account_id).budget.per_minute == 60 / readers()
    assert guard_of(first, account_id).budget.reserve == 0


def test_web_processes_share_the_calls_for_market_data(account_id: str) -> None:
    first, second, market = pool_of("web"), pool_of("web"), pool_of("market")
    for pool in (first, second, market, first, second):
        pool.write_row()
    since = clock.now() - timedelta(seconds=15)
    webs = ProcessRow.objects.filter(role="web", seen_at__gt=since).count()

    shares = [guard_of(pool, account_id).data_budget.per_minute for pool in (first, second, market)]

    assert shares == [190 / webs, 190 / webs, 10]


def test_a_process_that_is_gone_leaves_its_share(account_id: str) -> None:
    gone, left = pool_of("web"), pool_of("web")
    gone.write_row()
    left.write_row()
    shared = guard_of(left, account_id).budget.per_minute
    ProcessRow.objects.filter(name=gone.name).update(seen_at=clock.now() - timedelta(seconds=16))

    left.write_row()

    assert guard_of(left, account_id).budget.per_minute == 60 / readers() > shared


def test_a_changed_account_keeps_its_guard(account_id: str) -> None:
    pool = pool_of("desk")
    guard = guard_of(pool, account_id)
    guard.budget.take(Lane.SUBMIT, clock.monotonic())
    summary = {"added": [], "changed": [{"account_id": account_id}], "disabled": []}
    version = RosterVersion.objects.create(actor="test", source="test", summary=summary).version
    Account.objects.filter(pk=account_id).update(priority="high", roster_version=version)

    pool.refresh()

    assert pool.get(account_id).priority == "high"  # type: ignore[union-attr] # it is there
    assert guard_of(pool, account_id) is guard


def test_all_processes_together_keep_within_the_connections_in_all(account_id: str) -> None:
    ProcessRow.objects.filter(role="desk").delete()
    # A socket an account: other tests leave as many accounts as they like.
    limit = 1000 + Account.objects.count()
    config = get_config().model_copy(update={"connections_in_all": limit})
    first, second = pool_of("web", config), pool_of("desk", config)
    first.write_row()
    alone = first._bulkhead.slots
    second.write_row()
    first.write_row()

    serving = ("web", "market", "worker", "desk")
    since = clock.now() - timedelta(seconds=15)
    alive = ProcessRow.objects.filter(role__in=serving, seen_at__gt=since).count()
    sockets = len(list(first.all()))
    shares = [pool._bulkhead.slots for pool in (first, second)]
    assert shares == [(limit - sockets) // alive] * 2
    assert shares[0] < alone
    assert alive * shares[0] + sockets <= limit


def test_a_process_can_work_however_many_there_are(account_id: str) -> None:
    config = get_config().model_copy(update={"connections_in_all": 1})
    pool = pool_of("web", config)

    pool.write_row()

    assert pool._bulkhead.slots == 8
