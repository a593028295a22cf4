"""DELETE one order in every state it can be in: what is answered, and what the broker sees."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from accounts.pool import get_pool
from opitios.broker.alpaca.transport import TransportTimers
from tests.api.calls import Api, problem, read
from tests.support.accounts import open_account, token
from tests.support.orders import kinds, place, placed_row, row_of
from tests.support.proxy import Proxy
from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until
from tests.trading.desks import CALLS, SHORT, RunningDesk, asking_once, running_desk
from tests.trading.searches import at_broker, look_up, lost
from tests.trading.sending import OWNER, Step
from trading.resolver import ABSENT_AFTER_LOOK_UPS
from trading.sender import Sender

pytestmark = pytest.mark.django_db

Row = dict[str, Any]
SUBMIT = "POST /v2/orders"
READS = ("GET /v2/orders", "GET /v2/orders:by_client_order_id")
# AAPL stands at 187.20 to 187.21: a buy at a dollar rests.
RESTING = {"limit_price": "1"}


@pytest.fixture
def way(sandbox: SandboxProcess) -> Iterator[Proxy]:
    """The way to the broker, on which a call is kept for as long as a test takes."""
    with Proxy(("127.0.0.1", sandbox.port)) as proxy:
        yield proxy


@pytest.fixture
def trading_account(db: None, sandbox: SandboxProcess, way: Proxy) -> str:
    """An account of the test's own at the end of that way."""
    sandbox.clear_faults()
    return open_account(url=f"http://127.0.0.1:{way.port}")


@pytest.fixture
def desk(trading_account: str, calls: TransportTimers) -> Iterator[RunningDesk]:
    """A desk at work for that account alone."""
    with running_desk(trading_account, config=asking_once(), calls=calls) as running:
        yield running


@pytest.fixture
def api(trading_account: str) -> Api:
    """The API, for the account at the sandbox."""
    get_pool().refresh()
    return Api(trading_account, token([trading_account]))


def canceled(api: Api, row: Any, status: int) -> Row:
    """Ask for the cancel; the order as it was answered."""
    response = api.delete(str(row_of(row)["id"]))
    assert response.status_code == status
    body: Row = read(response)
    return body


def seen(sandbox: SandboxProcess, account_id: str) -> list[str]:
    """What the broker heard of the account, and how it answered."""
    return [f"{each['method']} {each['status']}" for each in sandbox.ledger(account=account_id)]


def test_queued_ends_here_and_the_broker_never_hears_of_it(
    sandbox: SandboxProcess, api: Api
) -> None:
    order = place(api.account)

    body = canceled(api, order, 200)
    with running_desk(api.account) as desk:
        desk.wait_for(place(api.account), "filled")

    assert (body["status"], body["reason"]) == ("canceled", "canceled-before-send")
    assert sandbox.ledger(client_order_id=body["client_order_id"]) == []
    assert row_of(order)["attempts"] == 0


def test_queued_again_after_a_doubt_lapses_and_is_not_sent_again(
    sandbox: SandboxProcess, api: Api, step: Step
) -> None:
    row = look_up(step, lost(sandbox, step, placed_row(api.account)), ABSENT_AFTER_LOOK_UPS)
    assert (row["status"], row["ambiguous"]) == ("queued", True)

    body = canceled(api, row, 202)
    after = step.send(row_of(row))

    assert (body["status"], body["final"], body["reason"]) == ("lapsed", True, "not-at-broker")
    assert after == row_of(row)
    # The one POST is the one that was lost before it arrived.
    assert seen(sandbox, api.account) == ["POST None"]
    assert at_broker(sandbox, row) == []


def test_submitting_is_cancelled_as_soon_as_the_broker_has_answered(
    sandbox: SandboxProcess, api: Api, desk: RunningDesk, way: Proxy
) -> None:
    way.keep_back(b"POST /v2/orders")
    row = desk.wait_for(api_order(api), "submitting")

    body = canceled(api, row, 202)
    way.let_go()

    assert (body["status"], body["broker_order_id"]) == ("submitting", None)
    assert desk.wait_for(row, "canceled")["reason"] is None
    assert seen(sandbox, api.account) == ["POST 200", "DELETE 204"]
    words = kinds(api.account)
    assert words[:3] == ["order.queued", "order.submitting", "order.cancel_requested"]


def api_order(api: Api) -> Row:
    """A resting order, placed over the API."""
    accepted = api.place({"symbol": "AAPL", "side": "buy", "type": "limit", "qty": "10",
                          "time_in_force": "day", **RESTING})  # fmt: skip
    assert accepted.status_code == 202
    order: Row = read(accepted)
    return order


@pytest.mark.parametrize(
    ("fault", "calls"), [({"fault": "504_after_accept"}, CALLS), ({"fault": "hang"}, SHORT)]
)
def test_unknown_is_cancelled_as_soon_as_it_is_found(
    sandbox: SandboxProcess, api: Api, desk: RunningDesk, fault: dict[str, str]
) -> None:
    sandbox.fault(**fault, account=api.account, route=SUBMIT, when="after")
    # That it arrived is told by nothing else for the time being: no stream, no list, no look-up.
    sandbox.fault("stream_drop", account=api.account, times=1000)
    for route in READS:
        sandbox.fault("500", account=api.account, route=route, times=0)
    row = desk.wait_for(api_order(api), "unknown")

    body = canceled(api, row, 202)
    sandbox.clear_faults()

    assert (body["status"], body["broker_order_id"]) == ("unknown", None)
    assert desk.wait_for(row, "canceled", seconds=20)["filled_qty"] == 0
    assert seen(sandbox, api.account) == ["POST 200", "DELETE 204"]
    [order] = at_broker(sandbox, row)
    assert (order["status"], order["client_order_id"]) == ("canceled", row["client_order_id"])


def test_working_is_pending_until_the_stream_says_canceled(
    sandbox: SandboxProcess, api: Api, desk: RunningDesk
) -> None:
    row = desk.wait_for(api_order(api), "new")

    body = canceled(api, row, 202)

    assert (body["status"], body["final"]) == ("pending_cancel", False)
    now = desk.wait_for(row, "canceled")
    assert (now["final"], now["canceled_at"] is None) == (True, False)
    assert seen(sandbox, api.account) == ["POST 200", "DELETE 204"]


def test_repeated_while_pending_is_one_cancel_at_the_broker(
    sandbox: SandboxProcess, api: Api, desk: RunningDesk, way: Proxy
) -> None:
    row = desk.wait_for(api_order(api), "new")
    way.keep_back(b"DELETE /v2/orders/")

    answers = [canceled(api, row, 202) for _ in range(5)]
    way.let_go()

    assert {answer["status"] for answer in answers} == {"pending_cancel"}
    desk.wait_for(row, "canceled")
    assert seen(sandbox, api.account) == ["POST 200", "DELETE 204"]
    assert kinds(api.account).count("order.cancel_requested") == 1


def test_partially_filled_keeps_what_it_got(
    sandbox: SandboxProcess, api: Api, desk: RunningDesk
) -> None:
    row = half_filled(sandbox, api, desk)

    canceled(api, row, 202)

    now = desk.wait_for(row, "canceled")
    assert (now["filled_qty"], now["qty"]) == (5, 10)
    assert seen(sandbox, api.account)[-2:] == ["POST 200", "DELETE 204"]


def half_filled(sandbox: SandboxProcess, api: Api, desk: RunningDesk) -> Row:
    """An order of which the second half is held: another one where that came too late."""
    for _ in range(10):
        sandbox.post("fills", {"mode": "partial", "delay_ms": 300, "account": api.account})
        row = desk.wait_for(place(api.account), "partially_filled", "filled")
        sandbox.hold_fills(api.account)
        if at_broker(sandbox, row)[0]["status"] == "partially_filled":
            return row
    raise AssertionError("its second half always came too soon")


def test_filled_before_the_cancel_got_there_is_filled_and_no_error(
    sandbox: SandboxProcess, api: Api, step: Step
) -> None:
    sandbox.hold_fills(api.account)
    row = step.send(placed_row(api.account))
    sandbox.release_fills(api.account)
    until(lambda: at_broker(sandbox, row)[0]["status"] == "filled")

    body = canceled(api, row, 202)
    done = Sender(owner=OWNER, process="desk-1", rests=step.rests).cancel(row_of(row), step.account)

    now = row_of(row)
    assert (body["status"], done) == ("pending_cancel", True)
    assert (now["status"], now["final"], now["filled_qty"]) == ("filled", True, 10)
    assert (now["reason"], now["refusal"]) == (None, None)
    assert seen(sandbox, api.account) == ["POST 200", "DELETE 422"]


@pytest.mark.parametrize("end", ["filled", "canceled", "rejected", "lapsed"])
def test_final_is_refused_and_the_broker_hears_nothing(
    sandbox: SandboxProcess, api: Api, step: Step, end: str
) -> None:
    row = ENDS[end](sandbox, api, step)
    told, heard = kinds(api.account), seen(sandbox, api.account)

    body = problem(api.delete(str(row["id"])), 409, "order-final")

    assert (body["order_id"], body["retry"]) == (str(row["id"]), "never")
    assert (kinds(api.account), seen(sandbox, api.account)) == (told, heard)


def _filled(sandbox: SandboxProcess, api: Api, step: Step) -> Row:
    row = lost(sandbox, step, placed_row(api.account), arrived=True)
    until(lambda: at_broker(sandbox, row)[0]["status"] == "filled")
    return look_up(step, row, 1)


def _canceled(_: SandboxProcess, api: Api, _step: Step) -> Row:
    order = place(api.account)
    canceled(api, order, 200)
    return row_of(order)


def _rejected(_: SandboxProcess, api: Api, step: Step) -> Row:
    return step.send(placed_row(api.account, symbol="ZZZZ"))


def _lapsed(sandbox: SandboxProcess, api: Api, step: Step) -> Row:
    row = look_up(step, lost(sandbox, step, placed_row(api.account)), ABSENT_AFTER_LOOK_UPS)
    canceled(api, row, 202)
    return row_of(row)


ENDS: dict[str, Callable[[SandboxProcess, Api, Step], Row]] = {
    "filled": _filled,
    "canceled": _canceled,
    "rejected": _rejected,
    "lapsed": _lapsed,
}
