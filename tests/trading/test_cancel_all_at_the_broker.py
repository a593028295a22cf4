"""Cancelling all is cancelling each: the broker is asked order by order, by the desk alone."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from accounts.pool import get_pool
from tests.api.calls import Api, read
from tests.support.accounts import token
from tests.support.orders import place, row_of
from tests.support.sandbox_process import SandboxProcess
from tests.trading.desks import RunningDesk, asking_once, running_desk

pytestmark = pytest.mark.django_db

RESTING: dict[str, Any] = {"limit_price": Decimal(1)}
STOP = {"type": "stop", "limit_price": None, "stop_price": Decimal(900)}
TRAIL = {"type": "trailing_stop", "limit_price": None, "trail_percent": Decimal(50)}


@pytest.fixture
def api(trading_account: str) -> Api:
    """The API, for the account at the sandbox."""
    get_pool().refresh()
    return Api(trading_account, token([trading_account]))


@pytest.fixture
def desk(trading_account: str) -> Iterator[RunningDesk]:
    """A desk at work for that account alone."""
    with running_desk(trading_account, config=asking_once()) as running:
        yield running


def deletes(sandbox: SandboxProcess, account_id: str) -> list[str]:
    """The paths the broker was asked to delete."""
    heard = sandbox.ledger(account=account_id)
    return [each["path"] for each in heard if each["method"] == "DELETE"]


def test_each_working_order_is_cancelled_by_itself(
    sandbox: SandboxProcess, api: Api, desk: RunningDesk
) -> None:
    working = [
        desk.wait_for(place(api.account, **fields), "new")
        for fields in (RESTING, STOP, TRAIL, RESTING)
    ]
    filled = desk.wait_for(place(api.account), "filled")

    body = read(api.call("DELETE", api.orders))

    assert body["summary"] == {"items": 4, "canceled": 0, "requested": 4, "refused": 0}
    for row in working:
        desk.wait_for(row, "canceled")
    paths = [f"/v2/orders/{row['broker_order_id']}" for row in working]
    assert sorted(deletes(sandbox, api.account)) == sorted(paths)
    assert row_of(filled)["status"] == "filled"


def test_nothing_is_sent_before_a_desk_is_there(sandbox: SandboxProcess, api: Api) -> None:
    with running_desk(api.account, config=asking_once()) as desk:
        working = desk.wait_for(place(api.account, **RESTING), "new")
    waiting = place(api.account, **RESTING)

    body = read(api.call("DELETE", api.orders))

    assert body["summary"] == {"items": 2, "canceled": 1, "requested": 1, "refused": 0}
    assert deletes(sandbox, api.account) == []
    with running_desk(api.account, config=asking_once()) as desk:
        desk.wait_for(working, "canceled")
    assert deletes(sandbox, api.account) == [f"/v2/orders/{working['broker_order_id']}"]
    assert sandbox.ledger(client_order_id=row_of(waiting)["client_order_id"]) == []
