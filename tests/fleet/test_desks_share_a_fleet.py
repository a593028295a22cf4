"""Two desks and a fleet: shared evenly, taken over from the dead, handed over by the living.

Issue 4: a killed desk's accounts trade again within 5 s, and nothing is lost (G1, G2, C04).
"""

from collections.abc import Iterator
from signal import SIGKILL

import pytest
from pytest_django import DjangoDbBlocker

from tests.fleet.fleet import (
    READY_SECONDS,
    TRADES_AGAIN_SECONDS,
    Fleet,
    assert_each_once,
    fleet_at,
)
from tests.support.crowd import Stopwatch
from tests.support.orders import row_of
from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until
from trading import queries

pytestmark = [pytest.mark.django_db, pytest.mark.journeys]

# So long that nothing in a test can come from a lease that ran out.
FOR_EVER = {"OPITIOS_TIMERS__LEASE_VALID": "600"}


@pytest.fixture(scope="module")
def fleet(
    django_db_setup: None,
    django_db_blocker: DjangoDbBlocker,
    sandbox: SandboxProcess,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Fleet]:
    """Accounts for all tests here: a desk that one left running is another's first."""
    with (
        django_db_blocker.unblock(),
        fleet_at(sandbox, tmp_path_factory.mktemp("fleet")) as made,
    ):
        yield made


def test_a_killed_desks_accounts_trade_again_and_nothing_is_lost(
    sandbox: SandboxProcess, fleet: Fleet
) -> None:
    stays, dies = fleet.desks_at_work(2)
    orphans = fleet.owned_by(dies)
    before = fleet.place_everywhere(orphans)

    with Stopwatch() as watch:
        dies.kill()
        # As its supervisor does within a second.
        again = fleet.start_desk()
        after = fleet.place_everywhere(orphans)
        sent = [order["id"] for order in after]
        until(lambda: _all_were_sent(sent), seconds=TRADES_AGAIN_SECONDS)

    print(f"{len(orphans)} accounts of a killed desk traded again after {watch}")  # noqa: T201
    assert dies.ended() == -SIGKILL
    assert watch.is_within(TRADES_AGAIN_SECONDS)
    fleet.wait_until_final([*before, *after], seconds=READY_SECONDS)
    assert {row_of(order)["status"] for order in [*before, *after]} == {"filled"}
    assert_each_once(sandbox, [*before, *after])
    fleet.wait_until_ready(stays, again)


def test_orders_flow_while_desks_join_end_and_die_and_each_is_sent_once(
    sandbox: SandboxProcess, fleet: Fleet
) -> None:
    [first] = fleet.desks_at_work(1)
    with fleet.orders_flowing() as orders:
        second = fleet.start_desk()
        until(lambda: fleet.is_shared_by(first, second), seconds=READY_SECONDS)
        first.ask_to_end()
        assert first.ended() == 0
        until(lambda: fleet.is_shared_by(second), seconds=READY_SECONDS)
        third = fleet.start_desk()
        until(lambda: fleet.is_shared_by(second, third), seconds=READY_SECONDS)
        second.kill()
        until(lambda: fleet.is_shared_by(third), seconds=READY_SECONDS)

    fleet.wait_until_final(orders, seconds=READY_SECONDS)
    assert {row_of(order)["status"] for order in orders} == {"filled"}
    assert_each_once(sandbox, orders)


def test_a_desk_that_joins_gets_its_share_and_disturbs_no_order_in_flight(
    sandbox: SandboxProcess, fleet: Fleet
) -> None:
    [first] = fleet.desks_at_work(1, **FOR_EVER)
    sandbox.fault("delay", route="POST /v2/orders", ms=4000, times=0, account="*")
    flying = fleet.place_everywhere(fleet.accounts)
    until(lambda: _all_were_sent([order["id"] for order in flying[:4]]), seconds=READY_SECONDS)

    second = fleet.start_desk(**FOR_EVER)
    until(lambda: fleet.is_shared_by(first, second), seconds=READY_SECONDS)
    sandbox.clear_faults()
    later = fleet.place_everywhere(fleet.accounts)

    fleet.wait_until_final([*flying, *later], seconds=READY_SECONDS)
    rows = [row_of(order) for order in [*flying, *later]]
    assert {(row["status"], row["attempts"]) for row in rows} == {("filled", 1)}
    assert_each_once(sandbox, [*flying, *later])
    fleet.wait_until_ready(first, second)


def test_a_desk_that_is_told_to_end_hands_its_accounts_over(
    sandbox: SandboxProcess, fleet: Fleet
) -> None:
    stays, ends = fleet.desks_at_work(2, **FOR_EVER)
    left = fleet.owned_by(ends)

    ends.ask_to_end()
    orders = fleet.place_everywhere(left)

    assert ends.ended() == 0
    fleet.wait_until_final(orders, seconds=READY_SECONDS)
    assert {row_of(order)["status"] for order in orders} == {"filled"}
    assert_each_once(sandbox, orders)
    fleet.wait_until_ready(stays)


def _all_were_sent(order_ids: list[str]) -> bool:
    waiting = queries.orders_where("status = 'queued' AND id = ANY(%s::uuid[])", (order_ids,))
    return not waiting
