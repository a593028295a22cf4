"""A desk stands still past its lease and wakes: what it does then changes nothing (C08, G6)."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from accounts.models import DeskPresence, Lease
from opitios.core import clock
from opitios.core.config import Config, get_config
from tests.matrix.nodes import Node, desk_node, listens, running
from tests.support.accounts import open_account
from tests.support.orders import entries, place, row_of, soon
from tests.support.proxy import Proxy
from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until
from tests.trading.desks import only, running_desk
from tests.trading.test_desk_sends import detail_of, held, posts

pytestmark = [pytest.mark.django_db, pytest.mark.journeys]

Row = dict[str, Any]

# Long enough that it is not lost before the desk is frozen.
LEASE_SECONDS = 2.0


@pytest.fixture
def way(sandbox: SandboxProcess) -> Iterator[Proxy]:
    """The way to the broker."""
    sandbox.clear_faults()
    with Proxy(("127.0.0.1", sandbox.port)) as proxy:
        yield proxy


def patient() -> Config:
    """A next desk that believes an absence after a second, and never loses its lease to a crowd."""
    timers = get_config().timers.model_copy(update={"absent_after": 1.0, "lease_valid": 30.0})
    return get_config().model_copy(update={"timers": timers})


def submits(row: Row) -> list[Row]:
    """The order's attempts to be sent."""
    found: list[Row] = detail_of(row_of(row))["attempts"]
    return [attempt for attempt in found if attempt["kind"] == "submit"]


def is_whole(row: Row) -> bool:
    """Whether all of its fills are told."""
    found = detail_of(row_of(row))["executions"]
    return bool(sum(Decimal(each["qty"]) for each in found) == row["qty"])


def is_counted(desk: Node) -> bool:
    """Whether a desk has shown, of late, that it is alive."""
    return DeskPresence.objects.filter(
        owner__startswith=f"{desk.name}/", expires_at__gt=clock.now()
    ).exists()


def test_c08_a_frozen_desks_order_is_sent_by_the_next_and_its_own_late_bytes_are_a_duplicate(
    db: None, sandbox: SandboxProcess, way: Proxy, tmp_path: Path
) -> None:
    account_id = open_account(url=f"http://127.0.0.1:{way.port}")
    frozen = desk_node(tmp_path, OPITIOS_TIMERS__LEASE_VALID=f"{LEASE_SECONDS}")
    with only(account_id), running(frozen):
        listens(account_id)
        way.keep_back(b"POST /v2/orders")
        # The first is on its way, the others wait behind it in the desk's books.
        rows = [row_of(place(account_id, not_after=soon(250))) for _ in range(3)]
        assert way.keeps.wait(60)
        frozen.freeze()

        # Its lease dies, its order counts as absent: the next desk sends it.
        with running_desk(account_id, config=patient()) as desk:
            for row in rows:
                desk.wait_for(row, "filled", seconds=20)
                until(lambda row=row: is_whole(row))  # type: ignore[misc]
            told = entries(account_id)
            assert not is_counted(frozen)
            way.let_go()
            until(lambda: len(posts(sandbox, rows[0])) == 2)
            frozen.thaw()
            until(lambda: all(each["outcome"] for each in submits(rows[0])), seconds=20)
            until(lambda: is_counted(frozen))

            # It wrote how its own attempt ended: the account is not its own. A fill its stream had
            # told it takes the place of one that was completed without, and is counted once.
            later = entries(account_id)[len(told) :]
            assert {each["kind"] for each in later} <= {"order.fill"}
            assert all(is_whole(row) for row in rows)
            assert Lease.objects.get(account_id=account_id).owner == desk.desk.owner

    assert [order["status"] for order in held(sandbox, account_id)] == ["filled"] * 3
    assert [post["status"] for post in posts(sandbox, rows[0])] == [200, 422]
    # A timeout where it slept longer than its patience with the broker.
    assert [each["outcome"] for each in submits(rows[0])] in [
        ["duplicate", "accepted"],
        ["timeout", "accepted"],
    ]
    assert [len(submits(row)) for row in rows[1:]] == [1, 1]
