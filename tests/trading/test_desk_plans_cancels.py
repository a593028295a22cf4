"""A cancel is planned once, however many reads and hints tell the desk of it."""

from collections.abc import Iterator
from typing import Any

import pytest

from accounts.pool import Pool
from opitios.core.config import get_config
from tests.support.accounts import lease
from tests.support.orders import CAUSE, asked, placed_row, report, row_of
from trading import executions, orders, queries
from trading.desk import Desk

pytestmark = pytest.mark.django_db


@pytest.fixture
def asked_for(account: str) -> dict[str, Any]:
    """A working order that is to be cancelled."""
    lease(account, "d")
    row = placed_row(account)
    executions.claim(row, owner="d", process="p")
    executions.report(row["id"], report(row, "new"), CAUSE)
    orders.cancel_order(row_of(row), asked())
    return row_of(row)


@pytest.fixture
def desk(account: str) -> Iterator[Desk]:
    """A desk that owns the account and does nothing by itself."""
    made = Desk(get_config(), Pool(get_config()))
    made.leased = frozenset({account})
    yield made
    # Its sockets' loop ends where it was run.
    made._streams.start()
    made._streams.stop()


def test_hint_and_poll_plan_it_once(desk: Desk, asked_for: dict[str, Any]) -> None:
    desk.take_woken(asked_for["account_id"], asked_for["id"])
    assert desk.books.take_cancel(asked_for["account_id"]) is not None
    desk.books.cancel_landed(asked_for["account_id"])

    desk.take_woken(asked_for["account_id"], asked_for["id"])
    desk.poll()

    assert desk.books.take_cancel(asked_for["account_id"]) is None


def test_a_poll_that_read_too_early_does_not_forget_it(
    desk: Desk, asked_for: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.take_woken(asked_for["account_id"], asked_for["id"])
    assert desk.books.take_cancel(asked_for["account_id"]) is not None
    desk.books.cancel_landed(asked_for["account_id"])

    with monkeypatch.context() as earlier:
        earlier.setattr(queries, "orders_where", lambda *_: [])
        desk.poll()
    desk.poll()

    assert desk.books.take_cancel(asked_for["account_id"]) is None
