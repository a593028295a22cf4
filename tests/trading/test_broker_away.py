"""With the broker gone nothing new waits behind its back; when it is back, all goes on (C17)."""

import secrets
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from accounts.pool import get_pool
from opitios.core.config import Config, get_config
from opitios.core.embedded import ports
from opitios.core.errors import Reason
from tests.support.accounts import open_accounts
from tests.support.crowd import patient
from tests.support.orders import asked, kinds, place, row_of, soon
from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until
from tests.trading.desks import running_desk
from tests.trading.knowing import knowing_nothing, refusal, wait_for_pressure
from tests.trading.searches import let_it_be_late
from trading import orders

pytestmark = pytest.mark.django_db


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[SandboxProcess]:
    """A broker of the test's own, to be killed."""
    # Below the ports of outgoing connections: it gets its own again.
    port = ports.choose(None, key=secrets.token_hex(3))
    with SandboxProcess(tmp_path / "sandbox", port=port) as process:
        process.pin_price("AAPL", "187.20", "187.21")
        with knowing_nothing():
            yield process


def slowly_judged() -> Config:
    """The tests' settings, but for the time in which twenty calls fail: two accounts make few."""
    timers = get_config().timers.model_copy(update={"breaker_window": 10.0})
    return get_config().model_copy(update={"timers": timers})


def test_c17_a_broker_that_is_down_refuses_new_orders_keeps_cancels_and_lets_the_late_lapse(
    db: None, mortal: SandboxProcess
) -> None:
    account_id, other = open_accounts(2, url=mortal.url)
    with running_desk(account_id, other, config=slowly_judged()) as desk:
        resting = desk.wait_for(place(account_id, limit_price=Decimal(1)), "new", "accepted")
        mortal.kill()
        late = row_of(place(account_id))
        waiting = place(account_id, not_after=soon(patient(60)))

        wait_for_pressure(account_id, breaker="open")
        wait_for_pressure(other, breaker="open")
        let_it_be_late(late)
        canceled = orders.cancel_order(row_of(resting), asked())

        # The host is away, for whomever it is asked.
        assert [refusal(each) for each in (account_id, other)] == [Reason.BROKER_UNAVAILABLE] * 2
        assert canceled.row["status"] == "pending_cancel"
        lapsed = desk.wait_for(late, "lapsed")
        assert (lapsed["reason"], lapsed["ambiguous"]) == ("deadline-before-send", False)
        assert row_of(waiting)["status"] == "queued"

        mortal.restart()
        desk.wait_for(waiting, "filled", seconds=15)
        desk.wait_for(resting, "canceled", seconds=15)
        # Half-open for some seconds, closed after them.
        until(lambda: all(is_let_in(each) for each in (account_id, other)))
        desk.wait_for(place(account_id), "filled")
        desk.wait_for(place(other), "filled")

    assert len(mortal.ledger(client_order_id=late["client_order_id"])) == 0
    sent = mortal.ledger(client_order_id=row_of(waiting)["client_order_id"])
    assert [entry["method"] for entry in sent] == ["POST"]


def is_let_in(account_id: str) -> bool:
    """Whether the account's desk has told that its breaker is open no more."""
    get_pool().refresh_standings()
    standing = get_pool().standing(account_id)
    return standing is not None and standing.pressure.breaker != "open"


def test_five_lost_answers_leave_the_account_alone_and_its_neighbour_trades(
    db: None, mortal: SandboxProcess
) -> None:
    account_id, other = open_accounts(2, url=mortal.url)
    with running_desk(account_id, other) as desk:
        mortal.fault("504", account=account_id, times=0)
        placed = [place(account_id, symbol=symbol) for symbol in ("AAPL", "MSFT", "TSLA", "NVDA")]

        wait_for_pressure(account_id, breaker="open")

        assert refusal(account_id) is Reason.BROKER_UNAVAILABLE
        desk.wait_for(place(other), "filled")
        mortal.clear_faults()
        for order in placed:
            desk.wait_for(order, "filled", "new", "accepted", "partially_filled", seconds=20)
        wait_for_pressure(account_id, breaker="closed")

    posts = [entry for entry in mortal.ledger(account=account_id) if entry["method"] == "POST"]
    accepted = [entry["client_order_id"] for entry in posts if entry["status"] == 200]
    assert len(accepted) == len(set(accepted)) == 4
    assert "order.rejected" not in kinds(account_id)


def test_a_gap_that_could_not_be_read_at_once_is_read_later(
    db: None, mortal: SandboxProcess
) -> None:
    [account_id] = open_accounts(1, url=mortal.url)
    with running_desk(account_id) as desk:
        desk.wait_for(place(account_id), "filled")
        mortal.fault("503", account=account_id, route="GET /v2/orders", times=2)

        mortal.fault("stream_drop", account=account_id)

        until(lambda: desk.desk._behind == {account_id})
        until(lambda: not desk.desk._behind, seconds=10)

    assert [fault["hits"] for fault in mortal.get("faults")["faults"]] == [2]


def test_a_desk_writes_nothing_while_nothing_changes(db: None, mortal: SandboxProcess) -> None:
    [account_id] = open_accounts(1, url=mortal.url)
    with running_desk(account_id) as desk:
        desk.wait_for(place(account_id), "filled")
        pressures = desk.desk._pressures
        until(lambda: pressures.tell(desk.desk._owned()) == 0)

        assert pressures.tell(desk.desk._owned()) == 0
