"""A desk stands still past its lease and wakes: what it does then changes nothing (C08, G6)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from accounts.models import Lease
from opitios.core.config import Config, get_config
from tests.matrix.nodes import desk_node, listens, running
from tests.support.accounts import open_account
from tests.support.orders import entries, place, row_of
from tests.support.proxy import Proxy
from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until
from tests.trading.desks import only, running_desk
from tests.trading.test_desk_sends import detail_of, held, posts

pytestmark = [pytest.mark.django_db, pytest.mark.journeys]

Row = dict[str, Any]


@pytest.fixture
def way(sandbox: SandboxProcess) -> Iterator[Proxy]:
    """The way to the broker."""
    sandbox.clear_faults()
    with Proxy(("127.0.0.1", sandbox.port)) as proxy:
        yield proxy


def quick() -> Config:
    """A next desk that believes an absence after a second."""
    timers = get_config().timers.model_copy(update={"absent_after": 1.0})
    return get_config().model_copy(update={"timers": timers})


def submits(row: Row) -> list[Row]:
    """The order's attempts to be sent."""
    found: list[Row] = detail_of(row_of(row))["attempts"]
    return [attempt for attempt in found if attempt["kind"] == "submit"]


def test_c08_a_frozen_desks_order_is_sent_by_the_next_and_its_own_late_bytes_are_a_duplicate(
    db: None, sandbox: SandboxProcess, way: Proxy, tmp_path: Path
) -> None:
    account_id = open_account(url=f"http://127.0.0.1:{way.port}")
    with only(account_id):
        frozen = desk_node(tmp_path)
        with running(frozen):
            listens(account_id)
            way.keep_back(b"POST /v2/orders")
            row = row_of(place(account_id))
            assert way.keeps.wait(10)
            frozen.freeze()

            # Its lease dies, its order counts as absent: the next desk sends it.
            with running_desk(account_id, config=quick()) as desk:
                desk.wait_for(row, "filled", seconds=20)
                told = entries(account_id)
                way.let_go()
                until(lambda: len(posts(sandbox, row)) == 2)
                frozen.thaw()
                until(lambda: all(each["outcome"] for each in submits(row)), seconds=20)

                # It wrote how its attempt ended, and nothing else; its account is not its own.
                assert entries(account_id) == told
                assert Lease.objects.get(account_id=account_id).owner == desk.desk.owner

    assert [order["status"] for order in held(sandbox, account_id)] == ["filled"]
    assert [post["status"] for post in posts(sandbox, row)] == [200, 422]
    first, second = submits(row)
    assert (first["outcome"], second["outcome"]) in {
        ("duplicate", "accepted"),
        # It slept longer than its own patience.
        ("timeout", "accepted"),
    }
    assert row_of(row)["status"] == "filled"


def test_a_frozen_desk_that_wakes_sends_nothing_of_what_it_had_in_its_books(
    sandbox: SandboxProcess, trading_account: str, tmp_path: Path
) -> None:
    with only(trading_account):
        frozen = desk_node(tmp_path)
        with running(frozen):
            listens(trading_account)
            frozen.freeze()
            with running_desk(trading_account) as desk:
                placed = [place(trading_account) for _ in range(3)]
                rows = [desk.wait_for(each, "filled", seconds=20) for each in placed]
                told = entries(trading_account)
                frozen.thaw()
                # It is awake once it counts as a desk again, and then holds no account.
                until(lambda: is_present(frozen.log))

                assert Lease.objects.get(account_id=trading_account).owner == desk.desk.owner
                assert entries(trading_account) == told

    assert all(len(posts(sandbox, row)) == 1 for row in rows)
