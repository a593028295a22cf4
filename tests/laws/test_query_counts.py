"""Hot endpoints have a pinned number of statements: accepting an order is one (design.md §4)."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.api.calls import Api, new_key
from tests.support.accounts import token
from tests.support.orders import place

pytestmark = pytest.mark.django_db


@pytest.fixture
def counted(api: Api, statements: list[str]) -> Callable[[Callable[[], Any]], list[str]]:
    """Run a call on a warm connection; the statements it sent."""
    api.get()

    def run(call: Callable[[], Any]) -> list[str]:
        statements.clear()
        assert call().status_code < 400
        return list(statements)

    return run


Counted = Callable[[Callable[[], Any]], list[str]]


def test_placing_an_order_is_one_statement_and_so_is_its_replay(api: Api, counted: Counted) -> None:
    key = new_key()

    first = counted(lambda: api.place(key=key))
    again = counted(lambda: api.place(key=key))

    assert len(first) == len(again) == 1
    assert "order_accept" in first[0]


def test_a_refused_body_costs_none(api: Api, counted: Counted, statements: list[str]) -> None:
    statements.clear()

    assert api.place({"symbol": "aapl"}).status_code == 422
    assert api.place(b"{").status_code == 400
    assert Api("foreign", api.token).get().status_code == 404

    assert statements == []


def test_a_list_is_two_statements_however_long_it_is(api: Api, counted: Counted) -> None:
    short = counted(lambda: api.get("?status=all"))
    for _ in range(7):
        place(api.account)

    assert len(counted(lambda: api.get("?status=all"))) == len(short) == 2


def test_reading_an_order_is_four_statements(api: Api, counted: Counted) -> None:
    order = place(api.account)

    assert len(counted(lambda: api.get(f"/{order.order_id}"))) == 4


def test_cancelling_an_order_never_sent_is_three_statements(api: Api, counted: Counted) -> None:
    order = place(api.account)

    assert len(counted(lambda: api.delete(str(order.order_id)))) == 3


def test_events_fills_and_journal_are_few(api: Api, counted: Counted) -> None:
    order = place(api.account)

    assert len(counted(lambda: api.get(f"/{order.order_id}/events"))) == 3
    assert len(counted(lambda: api.get(f"/api/v1/accounts/{api.account}/fills"))) == 2
    assert len(counted(lambda: api.get(f"/api/v1/accounts/{api.account}/journal"))) == 2


@pytest.mark.parametrize("rest", ["account/configurations", "portfolio/history", "activities"])
def test_what_the_broker_is_asked_for_costs_one_statement(
    api: Api, statements: list[str], rest: str
) -> None:
    api.get()
    statements.clear()

    # Nobody answers at this account's address: what is counted is all that was asked of Postgres.
    assert api.get(f"/api/v1/accounts/{api.account}/{rest}").status_code == 503

    assert len(statements) == 1


def test_the_token_costs_none_its_accounts_one_and_the_pool_two(
    api: Api, statements: list[str]
) -> None:
    watcher = Api(api.account, token([api.account], permissions=["monitor"]))
    costs = []

    for caller, path in ((api, "token"), (api, "accounts"), (watcher, "pool")):
        statements.clear()
        assert caller.get(f"/api/v1/{path}").status_code == 200
        costs.append(len(statements))

    assert costs == [0, 1, 2]
