"""A desk that does not get round to orders says so; those on a budget are not told of."""

from datetime import timedelta

import pytest

from accounts import standings
from accounts.pool import PooledAccount, get_pool
from opitios.broker.budget import Lane
from opitios.core import clock, database
from tests.support.accounts import lease
from tests.support.orders import place
from tests.support.until import until
from trading.pressure import NONE_WAITS, WORTH_A_LOOK, Pressures, Waiting, pressure_on

pytestmark = pytest.mark.django_db

OWNER = "desk-1/overdue"


@pytest.fixture
def owned(account: str) -> PooledAccount:
    get_pool().refresh()
    lease(account, OWNER)
    found = get_pool().get(account)
    assert found is not None
    return found


def age(account_id: str, *, seconds: float, lives: float) -> None:
    """Let the account's orders have come so long ago, for a deadline of so many seconds."""
    came = clock.now() - timedelta(seconds=seconds)
    database.rows(
        "UPDATE trading_order SET created_at = %s, not_after = %s WHERE account_id = %s",
        (came, came + timedelta(seconds=lives), account_id),
    )


def told_of_young_ones(owned: PooledAccount, *, seconds: float, lives: float) -> None:
    """Tell of the account while its orders are of that age; again where that took too long."""

    def tell() -> bool:
        aged_at = clock.monotonic()
        age(owned.account_id, seconds=seconds, lives=lives)
        Pressures(OWNER).tell([owned])
        return clock.monotonic() - aged_at < WORTH_A_LOOK - seconds

    until(tell)


def overdue(account_id: str) -> float | None:
    """What every process knows of the account."""
    return standings.of([account_id])[account_id].overdue


def test_g20_a_desk_tells_how_much_of_its_deadline_the_oldest_has_waited(
    owned: PooledAccount,
) -> None:
    place(owned.account_id)
    place(owned.account_id)
    told_of_young_ones(owned, seconds=0, lives=60)
    assert overdue(owned.account_id) is None

    pressures = Pressures(OWNER)
    age(owned.account_id, seconds=30, lives=100)
    pressures.tell([owned])
    assert overdue(owned.account_id) == pytest.approx(0.3, abs=0.05)

    database.rows(
        "UPDATE trading_order SET status = 'new' WHERE account_id = %s", (owned.account_id,)
    )
    pressures.tell([owned])
    assert overdue(owned.account_id) is None


def test_what_was_told_without_the_lease_is_told_again_with_it(owned: PooledAccount) -> None:
    pressures = Pressures(OWNER)
    place(owned.account_id)
    lease(owned.account_id, OWNER, seconds=-1)
    unheard = pressures.tell([owned])
    before = standings.of([owned.account_id])[owned.account_id].waiting

    lease(owned.account_id, OWNER)
    told = pressures.tell([owned])

    assert (unheard, before) == (0, 0)
    assert (told, standings.of([owned.account_id])[owned.account_id].waiting) == (1, 1)
    assert pressures.tell([owned]) == 0


def test_an_order_that_has_a_moment_to_live_is_not_overdue_in_half_of_it(
    owned: PooledAccount,
) -> None:
    place(owned.account_id)

    told_of_young_ones(owned, seconds=0.3, lives=0.6)

    assert overdue(owned.account_id) is None


def test_orders_that_wait_for_the_account_s_own_budget_are_not_overdue(
    owned: PooledAccount,
) -> None:
    now, budget = clock.monotonic(), owned.guard.budget
    late = Waiting(5, 0.9)
    assert budget is not None
    assert pressure_on(owned, late, now, clock.now()).overdue == 0.9

    while budget.submits_left(now) > 3:
        budget.take(Lane.SUBMIT, now)

    assert pressure_on(owned, late, now, clock.now()).overdue is None
    assert pressure_on(owned, NONE_WAITS, now, clock.now()).overdue is None
