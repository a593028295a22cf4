"""One account that is slow, or ten times as busy, has its own troubles (C28, C12)."""

from collections.abc import Iterator
from decimal import Decimal

import pytest

from opitios.core import clock
from opitios.core.config import Config, get_config
from opitios.core.errors import Reason
from tests.support.accounts import open_accounts
from tests.support.crowd import patient
from tests.support.orders import asked, place, row_of, soon
from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until
from tests.trading.desks import SHORT, RunningDesk, running_desk
from tests.trading.knowing import knowing_nothing, refusal, wait_for_pressure
from trading import orders

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _calm(sandbox: SandboxProcess) -> Iterator[None]:
    with knowing_nothing():
        yield
    sandbox.clear_faults()
    sandbox.post("limits", {"enforced": False, "per_minute": 200})


def with_budget(per_minute: int) -> Config:
    """The tests' settings with so many calls for a desk."""
    return get_config().model_copy(update={"desk_calls_per_minute": per_minute})


def test_c28_an_account_whose_calls_hang_keeps_nobody_else_waiting(
    db: None, sandbox: SandboxProcess
) -> None:
    slow, *quick = open_accounts(4, url=sandbox.url)
    with running_desk(slow, *quick, calls=SHORT) as desk:
        sandbox.fault("hang", account=slow, route="*orders*", times=0)
        symbols = ("AAPL", "MSFT", "TSLA", "NVDA", "AMZN", "META", "GOOG", "AMD")
        stuck = [place(slow, symbol=symbol, not_after=soon(300)) for symbol in symbols]
        until(lambda: desk.desk.books.flying() == 4)

        placed = [place(account_id) for account_id in quick for _ in range(10)]
        for order in placed:
            desk.wait_for(order, "filled", seconds=20)

        assert all(not row_of(order)["final"] for order in stuck)
        assert sum(row_of(order)["attempts"] for order in stuck) <= 4 + 4
        wait_for_pressure(slow, breaker="open")
        assert refusal(slow) is Reason.BROKER_UNAVAILABLE
        desk.wait_for(place(quick[0]), "filled")


def test_c28_an_account_ten_times_as_busy_is_refused_and_its_neighbour_is_not(
    db: None, sandbox: SandboxProcess
) -> None:
    busy, calm = open_accounts(2, url=sandbox.url)
    with running_desk(busy, calm, config=with_budget(40)) as desk:
        began = clock.monotonic()
        placed = [place(busy, not_after=soon(patient(60))) for _ in range(60)]
        wait_for_pressure(busy, submits_left=0)

        assert refusal(busy, not_after=soon(1)) is Reason.WOULD_LAPSE
        desk.wait_for(place(calm, not_after=soon(patient(5))), "filled")
        unsent = [order for order in placed if row_of(order)["status"] == "queued"]
        # Half of a minute's forty is kept for cancels; more is earned by and by.
        earned = (clock.monotonic() - began) * 40 / 60
        assert len(placed) - len(unsent) <= 20 + earned + 1
        # What waits was never claimed: it waits in its place, without a trace of a try.
        assert {row_of(order)["attempts"] for order in unsent} == {0}


def test_c12_the_brokers_headers_are_believed_and_no_call_is_refused(
    db: None, sandbox: SandboxProcess
) -> None:
    [account_id] = open_accounts(1, url=sandbox.url)
    sandbox.post("limits", {"enforced": True, "per_minute": 45})
    with running_desk(account_id) as desk:
        # The first ones may wait for the machine, the others for the budget.
        placed = [place(account_id, not_after=soon(patient(60))) for _ in range(10)]
        placed += [place(account_id, not_after=soon(3)) for _ in range(60)]

        for order in placed:
            desk.wait_for(order, "filled", "lapsed", seconds=20)

    received = sandbox.ledger(account=account_id)
    assert [entry for entry in received if entry["status"] == 429] == []
    sent = {row_of(order)["status"] for order in placed}
    assert sent == {"filled", "lapsed"}


def test_a_cancel_goes_out_while_orders_wait_for_the_budget(
    db: None, sandbox: SandboxProcess
) -> None:
    [account_id] = open_accounts(1, url=sandbox.url)
    with running_desk(account_id, config=with_budget(40)) as desk:
        resting = resting_order(desk, account_id)
        for _ in range(40):
            place(account_id, not_after=soon(120))
        wait_for_pressure(account_id, submits_left=0)

        orders.cancel_order(row_of(resting), asked())

        desk.wait_for(resting, "canceled")
        assert desk.desk.books.depth() > 0


def resting_order(desk: RunningDesk, account_id: str) -> dict[str, object]:
    """An order that waits at the broker."""
    return desk.wait_for(place(account_id, limit_price=Decimal(1)), "new", "accepted")
