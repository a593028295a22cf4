"""Nobody, superusers included, can add, change or delete what the pages show."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

pytestmark = pytest.mark.django_db

READ_ONLY = [
    "accounts_account", "accounts_journalentry", "accounts_journalhead", "accounts_processrow",
    "accounts_rosterversion", "accounts_halt", "accounts_limits", "trading_order",
    "trading_attempt", "trading_fill",
]  # fmt: skip


@pytest.fixture
def rows(account: str) -> dict[str, Any]:
    """One row of each table that has a page, by the page's name."""
    from accounts.models import JournalEntry, ProcessRow, RosterVersion  # noqa: PLC0415
    from opitios.core import clock  # noqa: PLC0415
    from tests.admin.stories import filled  # noqa: PLC0415
    from tests.support.halting import ME, halted  # noqa: PLC0415
    from trading import limits  # noqa: PLC0415
    from trading.models import Attempt, Fill, Order  # noqa: PLC0415

    order = filled(account)
    with halted(account) as halt:
        limits.change(account, {"orders_per_day": 7}, actor=ME, reason="as agreed")
    now = clock.now()
    process = ProcessRow.objects.create(
        name=f"desk-{account}", role="desk", pid=1, started_at=now, seen_at=now, snapshot={}
    )
    return {
        "accounts_account": account,
        "accounts_journalhead": account,
        "accounts_journalentry": JournalEntry.objects.filter(account_id=account)[0].pk,
        "accounts_processrow": process.pk,
        "accounts_rosterversion": RosterVersion.objects.all()[0].pk,
        "accounts_halt": halt["id"],
        "accounts_limits": account,
        "trading_order": Order.objects.get(pk=order["id"]).pk,
        "trading_attempt": Attempt.objects.get(order_id=order["id"]).pk,
        "trading_fill": Fill.objects.get(order_id=order["id"]).pk,
    }


def address(page: str, pk: Any, what: str) -> str:
    """The address of an object's page."""
    from django.urls import reverse  # noqa: PLC0415

    return reverse(f"admin:{page}_{what}", args=[pk])


@pytest.mark.parametrize("page", READ_ONLY)
def test_a_page_is_seen_and_cannot_be_written(
    superuser: Client, rows: dict[str, Any], page: str
) -> None:
    from django.urls import reverse  # noqa: PLC0415

    change, add = address(page, rows[page], "change"), reverse(f"admin:{page}_add")
    before = superuser.get(change)

    assert before.status_code == 200
    assert b'name="_save"' not in before.content
    assert superuser.post(change, {"account_id": "other", "status": "new"}).status_code == 403
    assert superuser.get(add).status_code == 403
    assert superuser.post(add, {}).status_code == 403
    for method in (superuser.get, superuser.post):
        assert method(address(page, rows[page], "delete"), {"post": "yes"}).status_code == 403
    assert superuser.get(change).status_code == 200


@pytest.mark.parametrize("page", READ_ONLY)
def test_a_list_offers_no_action(superuser: Client, rows: dict[str, Any], page: str) -> None:
    from django.urls import reverse  # noqa: PLC0415

    listing = reverse(f"admin:{page}_changelist")
    shown = superuser.get(listing)
    tried = {"action": "delete_selected", "_selected_action": [str(rows[page])], "post": "yes"}

    assert shown.status_code == 200
    assert b'name="action"' not in shown.content
    assert b'name="_selected_action"' not in shown.content
    superuser.post(listing, tried)
    assert superuser.get(address(page, rows[page], "change")).status_code == 200


def test_what_the_register_holds_is_what_this_file_tests() -> None:
    from django.contrib import admin  # noqa: PLC0415

    shown = {
        f"{model._meta.app_label}_{model._meta.model_name}"
        for model in admin.site._registry
        if model._meta.app_label != "auth"
    }

    assert shown == set(READ_ONLY)


def test_a_member_of_staff_sees_only_what_is_allowed(
    signed_in: Callable[..., Client], rows: dict[str, Any]
) -> None:
    client = signed_in("view_order")

    assert client.get(address("trading_order", rows["trading_order"], "change")).status_code == 200
    for page in ("accounts_account", "accounts_journalentry"):
        assert client.get(address(page, rows[page], "change")).status_code == 403
    verify = f"/admin/accounts/account/{rows['accounts_account']}/verify/"
    assert client.get(verify).status_code == 403
    front = client.get("/admin/")
    assert front.status_code == 200
    assert b"may see neither accounts nor orders" in front.content


def test_without_a_sign_in_every_page_leads_to_it(rows: dict[str, Any]) -> None:
    for page in READ_ONLY:
        answer = Client().get(address(page, rows[page], "change"))

        assert answer.status_code == 302
        assert answer["Location"].startswith("/admin/login/?next=")
