"""A refused order leaves no trace, a replay is never refused, and a cancel is no order."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from accounts import standings
from accounts.pool import get_pool
from accounts.standings import Pressure
from opitios.core.errors import Problem, Reason
from tests.support.accounts import lease
from tests.support.orders import CAUSE, asked, command, kinds, place, report, row_of, soon
from tests.trading.knowing import knowing_nothing
from trading import executions, orders, queries, watch
from trading.orders import Accepted

pytestmark = pytest.mark.django_db

OWNER = "desk-1/a"


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    with knowing_nothing():
        yield


def tell(account_id: str, **pressure: Any) -> None:
    """What the account's desk tells, as this process then knows it."""
    lease(account_id, OWNER)
    standings.tell(OWNER, [Pressure(account_id, **pressure)])
    get_pool().refresh_standings()


def quarantine(account_id: str) -> None:
    """Let the account's key be dead."""
    watch.set_state(account_id, "quarantined", "dead", None)
    get_pool().refresh_standings()


def refused(account_id: str, key: str | None = None, **changed: Any) -> Problem:
    """Place an order that is refused."""
    with pytest.raises(Problem) as caught:
        place(account_id, key, **changed)
    return caught.value


def test_an_open_breaker_refuses_and_stores_nothing(account: str) -> None:
    tell(account, breaker="open")

    problem = refused(account, "k", client_order_id="mine")

    assert problem.reason is Reason.BROKER_UNAVAILABLE
    assert problem.body("req_1")["origin"] == "gateway"
    assert kinds(account) == []
    assert queries.find_by_client_order_id(account, "mine") is None


@pytest.mark.parametrize("trouble", ["open", "quarantine", "full"])
def test_a_replay_gets_the_answer_it_got_before(account: str, trouble: str) -> None:
    first = place(account, "k")
    named = place(account, client_order_id="mine")
    match trouble:
        case "open":
            tell(account, breaker="open")
        case "quarantine":
            quarantine(account)
        case _:
            tell(account, waiting=10_000)

    again, named_again = place(account, "k"), place(account, client_order_id="mine")

    assert (again.replayed, again.body) == (True, first.body)
    assert (named_again.replayed, named_again.body) == (True, named.body)
    assert refused(account, str(uuid4())).status in {429, 503}
    assert kinds(account).count("order.queued") == 2


def test_g5_a_replay_whose_deadline_has_passed_gets_the_answer_it_got_before(account: str) -> None:
    wanted = {"account_id": account, "environment": "sandbox"}
    timely, late = soon(0), soon(31)
    mortal = command(not_after=soon(30))

    first = orders.place_order(mortal, asked=asked("k", received_at=timely), **wanted)
    again = orders.place_order(mortal, asked=asked("k", received_at=late), **wanted)

    assert (again.replayed, again.body) == (True, first.body)
    with pytest.raises(Problem) as caught:
        orders.place_order(mortal, asked=asked("another", received_at=late), **wanted)
    assert caught.value.reason is Reason.INVALID_ORDER
    assert kinds(account) == ["order.queued"]


def test_an_id_used_by_another_request_is_still_told_so(account: str) -> None:
    place(account, "k", client_order_id="mine")
    tell(account, breaker="open")

    assert refused(account, "other", client_order_id="mine").reason is Reason.CLIENT_ORDER_ID_USED


def test_a_closed_breaker_lets_orders_in_again(account: str) -> None:
    tell(account, breaker="open")
    refused(account, "k")

    tell(account)

    assert not place(account, "k").replayed


def test_a_queue_that_outlasts_the_deadline_refuses(account: str) -> None:
    tell(account, waiting=2000, submits_left=0)

    problem = refused(account)

    assert problem.reason is Reason.WOULD_LAPSE
    assert problem.retry_after_seconds is not None
    assert kinds(account) == []


def test_a_quarantined_account_refuses_what_needs_the_broker(account: str) -> None:
    queued = place(account)
    quarantine(account)

    assert refused(account).reason is Reason.ACCOUNT_QUARANTINED
    canceled = orders.cancel_order(row_of(queued), asked())

    assert canceled.never_sent
    assert kinds(account) == ["order.queued", "account.quarantined", "order.canceled"]


def test_a_cancel_at_the_broker_says_that_the_key_is_dead(account: str) -> None:
    row = working(place(account))
    quarantine(account)
    before = kinds(account)

    with pytest.raises(Problem) as caught:
        orders.cancel_order(row, asked())

    assert caught.value.reason is Reason.ACCOUNT_QUARANTINED
    assert row_of(row)["cancel_requested_at"] is None
    assert kinds(account) == before


def test_while_the_breaker_is_open_a_cancel_is_kept(account: str) -> None:
    row = working(place(account))
    tell(account, breaker="open")

    canceled = orders.cancel_order(row, asked())

    assert (canceled.never_sent, canceled.row["status"]) == (False, "pending_cancel")
    assert row_of(row)["cancel_requested_at"] is not None


def working(order: Accepted) -> dict[str, Any]:
    """The order's row, once the broker has it."""
    row = row_of(order)
    lease(row["account_id"], OWNER)
    assert executions.claim(row, owner=OWNER, process="desk-1") is not None
    return executions.report(row["id"], report(row, "new"), CAUSE)


def test_only_the_owner_of_an_account_tells(account: str) -> None:
    lease(account, "desk-2/b")
    standings.tell(OWNER, [Pressure(account, breaker="open")])
    get_pool().refresh_standings()

    assert place(account).replayed is False


def test_g16_g20_an_account_whose_orders_wait_too_long_takes_cancels_and_no_orders(
    account: str,
) -> None:
    get_pool().refresh()
    waits = place(account)
    tell(account, waiting=1, overdue=0.5)

    problem = refused(account)
    canceled = orders.cancel_order(row_of(waits), asked())

    assert (problem.reason, problem.status) == (Reason.OVERLOADED, 503)
    assert canceled.never_sent
    assert kinds(account) == ["order.queued", "order.canceled"]
