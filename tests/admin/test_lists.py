"""Lists stay fast however long, and find an order by any of its names."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

pytestmark = pytest.mark.django_db

Counted = Callable[[int], Any]


def listed(client: Client, page: str, **query: str) -> str:
    """A list's HTML."""
    answer = client.get(f"/admin/{page}/", query)
    assert answer.status_code == 200
    return answer.content.decode()


def test_an_order_is_found_by_each_of_its_names(superuser: Client, account: str) -> None:
    from tests.admin.stories import filled  # noqa: PLC0415

    row = filled(account, client_order_id=f"mine-{account}")
    mark = f"/admin/trading/order/{row['id']}/change/"

    for name in (str(row["id"]), row["broker_order_id"], row["client_order_id"], account):
        assert mark in listed(superuser, "trading/order", q=f" {name} "), name
    assert mark not in listed(superuser, "trading/order", q="mine")
    assert mark in listed(superuser, "trading/fill", q=str(row["id"]))
    assert mark in listed(superuser, "trading/attempt", q=str(row["id"]))


def test_orders_are_narrowed_by_account_state_and_day(superuser: Client, account: str) -> None:
    from tests.admin.stories import filled  # noqa: PLC0415

    row = filled(account)
    mark = f"/admin/trading/order/{row['id']}/change/"
    today = f"{row['created_at']:%Y-%m-%d}"

    for query, found in (
        ({"account": account}, True),
        ({"account": account[:9]}, True),
        ({"account": account[1:]}, False),
        ({"account": account, "status": "filled"}, True),
        ({"account": account, "status": "new"}, False),
        ({"account": account, "settled": "open"}, False),
        ({"account": account, "settled": "closed"}, True),
        ({"account": account, "environment": "live"}, False),
        ({"account": account, "created_at_from": today, "created_at_to": today}, True),
        ({"account": account, "created_at_to": "2020-01-01"}, False),
        ({"account": account, "created_at_from": "9999-12-31"}, False),
        ({"account": account, "created_at_to": "9999-12-31"}, True),
        ({"account": account, "created_at_from": "0001-01-01"}, True),
        ({"account": account, "created_at_from": "soon"}, True),
    ):
        assert (mark in listed(superuser, "trading/order", **query)) is found, query


def test_orders_cost_as_many_queries_as_one(
    superuser: Client, account: str, django_assert_num_queries: Counted
) -> None:
    from tests.support.orders import place  # noqa: PLC0415

    for number in range(60):
        place(account, symbol="MSFT", client_order_id=f"n-{number}")
    superuser.get("/admin/trading/order/")
    # Session, user, badge, the rows: a table that grows for ever is never counted. An account's id
    # and an order's name are looked up first.
    with django_assert_num_queries(4):
        listed(superuser, "trading/order")
    with django_assert_num_queries(6):
        listed(superuser, "trading/order", q="n-1")
    with django_assert_num_queries(5):
        page = listed(superuser, "trading/order", account=account)

    assert page.count("op-badge") == 50


DAYS = (
    ("trading/order", "created_at", "trading_order"),
    ("trading/fill", "recorded_at", "trading_fill"),
    ("trading/attempt", "sent_at", "trading_attempt"),
    ("accounts/journalentry", "recorded_at", "accounts_journalentry"),
)


@pytest.mark.parametrize(("page", "column", "table"), DAYS)
def test_a_day_is_read_by_the_primary_key(
    superuser: Client, account: str, page: str, column: str, table: str
) -> None:
    from django.db import connection  # noqa: PLC0415
    from django.test.utils import CaptureQueriesContext  # noqa: PLC0415

    from opitios.core import clock  # noqa: PLC0415
    from tests.admin.stories import filled  # noqa: PLC0415

    filled(account)
    day = f"{clock.now():%Y-%m-%d}"

    with CaptureQueriesContext(connection) as sent:
        listed(superuser, page, **{f"{column}_from": day, f"{column}_to": day})

    read = [query["sql"] for query in sent if f'FROM "{table}"' in query["sql"]][-1]
    assert f'"{table}"."id" >= ' in read
    assert f'"{table}"."id" < ' in read


def test_the_first_id_of_an_instant_is_found_by_halving(account: str) -> None:
    from accounts.filters import first_id  # noqa: PLC0415
    from accounts.models import JournalEntry  # noqa: PLC0415
    from tests.admin.stories import filled  # noqa: PLC0415

    filled(account)
    entries = list(JournalEntry.objects.order_by("id").values_list("id", "recorded_at"))

    for number, at in entries[-4:]:
        found = first_id(JournalEntry, "recorded_at", at)
        assert found <= number
        assert all(recorded < at for id_, recorded in entries if id_ < found)
    later = entries[-1][1] + timedelta(days=366)
    assert first_id(JournalEntry, "recorded_at", later) == entries[-1][0] + 1


def test_an_account_s_id_means_that_account_alone(superuser: Client) -> None:
    from accounts.filters import accounts_named  # noqa: PLC0415
    from tests.support.accounts import open_accounts  # noqa: PLC0415

    one, other = open_accounts(2)

    assert accounts_named(one) == [one]
    assert {one, other} <= set(accounts_named("t-"))
    assert accounts_named("%") == accounts_named("nobody") == []
