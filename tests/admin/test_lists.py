"""Lists stay fast at a thousand rows, and find an order by any of its names."""

from collections.abc import Callable
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


def test_a_thousand_accounts_cost_as_many_queries_as_one(
    superuser: Client, django_assert_num_queries: Counted
) -> None:
    from tests.support.accounts import open_accounts  # noqa: PLC0415

    first, *_ = open_accounts(1)
    open_accounts(120)
    superuser.get("/admin/accounts/account/")
    # Session, user, badge; the list counted twice and read once.
    expected = 6

    with django_assert_num_queries(expected):
        one = listed(superuser, "accounts/account", q=first)
    with django_assert_num_queries(expected):
        page = listed(superuser, "accounts/account")

    assert one.count("op-badge") == 1
    assert page.count("op-badge") == 100


def test_an_account_s_row_says_what_its_desk_saw(superuser: Client, account: str) -> None:
    from accounts.models import AccountState  # noqa: PLC0415
    from opitios.core import clock  # noqa: PLC0415
    from tests.support.accounts import lease  # noqa: PLC0415

    AccountState.objects.update_or_create(
        account_id=account,
        defaults={
            "state": "suspect", "state_since": clock.now(), "checked_at": clock.now(),
            "check_ms": 22.1, "stream_state": "listening",
        },
    )  # fmt: skip
    lease(account, f"desk-{account}/7")

    row = listed(superuser, "accounts/account", q=account)

    for text in ("SANDBOX", "op-warn", "suspect", "22.1 ms", "listening", f"desk-{account}"):
        assert text in row


def test_without_an_owner_nobody_listens(superuser: Client, account: str) -> None:
    from accounts.models import AccountState  # noqa: PLC0415
    from tests.support.accounts import lease  # noqa: PLC0415

    AccountState.objects.update_or_create(
        account_id=account, defaults={"state": "ready", "stream_state": "listening"}
    )
    lease(account, "desk-gone/7", seconds=-1)

    row = listed(superuser, "accounts/account", q=account)

    assert 'op-idle">closed<' in row
    assert 'op-good">listening<' not in row


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
        ({"account": account, "status": "filled"}, True),
        ({"account": account, "status": "new"}, False),
        ({"account": account, "settled": "open"}, False),
        ({"account": account, "settled": "closed"}, True),
        ({"account": account, "environment": "live"}, False),
        ({"account": account, "created_at_from": today, "created_at_to": today}, True),
        ({"account": account, "created_at_to": "2020-01-01"}, False),
        ({"account": account, "created_at_from": "9999-12-31"}, False),
        ({"account": account, "created_at_to": "9999-12-31"}, True),
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
    # Session, user, badge, the rows: a table that grows for ever is never counted.
    expected = 4

    with django_assert_num_queries(expected):
        listed(superuser, "trading/order", q="n-1")
    with django_assert_num_queries(expected):
        page = listed(superuser, "trading/order", account=account)

    assert page.count("op-badge") == 50
