"""Ctrl-K finds accounts and orders, a few at a time, for staff who may see them."""

from collections.abc import Callable

import pytest
from django.test import Client

pytestmark = pytest.mark.django_db


def found(client: Client, term: str) -> str:
    """What the palette shows."""
    answer = client.get("/admin/search/", {"s": term, "extended": "1"})
    assert answer.status_code == 200
    return answer.content.decode()


def test_an_account_and_an_order_are_found(superuser: Client, account: str) -> None:
    from tests.support.orders import place  # noqa: PLC0415

    order = place(account, client_order_id=f"Mine-{account}")
    mark = f"/admin/trading/order/{order.order_id}/change/"

    assert f"/admin/accounts/account/{account}/change/" in found(superuser, account[:-2])
    assert mark in found(superuser, f"Mine-{account}")
    assert mark in found(superuser, str(order.order_id))
    assert mark not in found(superuser, "AAPL")


def test_no_more_than_a_few_are_shown(superuser: Client) -> None:
    from tests.support.accounts import open_accounts  # noqa: PLC0415

    open_accounts(12)

    assert found(superuser, "t-").count("/admin/accounts/account/t-") == 10


def test_who_may_not_see_accounts_finds_none(
    signed_in: Callable[..., Client], account: str
) -> None:
    assert account not in found(signed_in("view_rosterversion"), account)
