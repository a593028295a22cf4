"""The journal is browsed by account, kind and day, and proved by a button."""

from collections.abc import Callable

import pytest
from django.test import Client

pytestmark = pytest.mark.django_db

ENTRIES, HEADS = "accounts_journalentry", "accounts_journalhead"


def entries(client: Client, **query: str) -> str:
    """The list's HTML."""
    answer = client.get("/admin/accounts/journalentry/", query)
    assert answer.status_code == 200
    return answer.content.decode()


def test_entries_are_narrowed_by_account_kind_and_day(superuser: Client, account: str) -> None:
    from tests.admin.stories import filled  # noqa: PLC0415

    row = filled(account)
    today = f"{row['updated_at']:%Y-%m-%d}"

    assert entries(superuser, account=account).count("op-when") == 4
    assert entries(superuser, account=account, kind="order.fill").count("op-when") == 1
    assert entries(superuser, account=account, kind="order.new", q=account).count("op-when") == 1
    assert entries(superuser, q=str(row["id"])).count("op-when") == 4
    assert entries(superuser, account=account, recorded_at_from=today).count("op-when") == 4
    assert entries(superuser, account=account, recorded_at_to="2020-01-01").count("op-when") == 0
    assert entries(superuser, account=f"{account}-not").count("op-when") == 0


def test_an_entry_s_page_shows_its_body_and_its_proof(superuser: Client, account: str) -> None:
    from accounts.models import JournalEntry  # noqa: PLC0415
    from tests.support.orders import place  # noqa: PLC0415

    place(account, tags={"strategy": "mr-7"})
    entry = JournalEntry.objects.get(account_id=account)

    page = superuser.get(f"/admin/accounts/journalentry/{entry.pk}/change/").content.decode()

    assert bytes(entry.hash).hex() in page
    assert bytes(entry.prev_hash).hex() in page
    assert "&quot;strategy&quot;: &quot;mr-7&quot;" in page
    assert f"/admin/trading/order/{entry.order_id}/change/" in page


def verdict(client: Client, page: str) -> str:
    """Press the button on an object's page; the page that comes back."""
    answer = client.get(f"/admin/accounts/{page}/verify/", follow=True)
    assert answer.status_code == 200
    assert answer.redirect_chain == [(f"/admin/accounts/{page}/change/", 302)]
    return answer.content.decode()


def test_the_button_proves_a_journal_from_three_pages(superuser: Client, account: str) -> None:
    from accounts.models import JournalEntry  # noqa: PLC0415
    from tests.admin.stories import filled  # noqa: PLC0415

    filled(account)
    entry = JournalEntry.objects.filter(account_id=account)[2]

    for page in (f"account/{account}", f"journalhead/{account}", f"journalentry/{entry.pk}"):
        shown = superuser.get(f"/admin/accounts/{page}/change/").content.decode()
        assert "Verify this journal" in shown
        assert f"The journal of {account} holds: 4 entries verified." in verdict(superuser, page)


def test_the_button_names_the_entry_that_was_changed(
    superuser: Client, account: str, tampered: Callable[[str], None]
) -> None:
    from tests.admin.stories import filled  # noqa: PLC0415

    filled(account)
    tampered(
        f"UPDATE {ENTRIES} SET body = replace(body, '187.25', '187.26')"  # noqa: S608 - our own id
        f" WHERE account_id = '{account}' AND seq = 1"
    )

    page = verdict(superuser, f"account/{account}")

    assert f"The journal of {account} does NOT hold: entry 1" in page
    assert "its content is not what was hashed" in page


def test_there_is_nothing_to_verify_where_there_is_no_account(superuser: Client) -> None:
    assert superuser.get("/admin/accounts/account/nobody/verify/").status_code == 404


def test_a_long_journal_is_proved_slice_by_slice(
    superuser: Client, account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from accounts import journalpages  # noqa: PLC0415
    from tests.admin.stories import filled  # noqa: PLC0415

    filled(account)
    monkeypatch.setattr(journalpages, "SLICE", 3)
    further = f"/admin/accounts/account/{account}/verify/?on=1"

    first = verdict(superuser, f"account/{account}")
    rest = superuser.get(further, follow=True).content.decode()

    assert f"The journal of {account} holds up to entry 3. It has 4 entries." in first
    assert f'href="{further}"' in first
    assert f"The journal of {account} holds: 4 entries verified." in rest
    # What was proved is proved: asked again, it begins anew.
    assert "holds up to entry 3" in superuser.get(further, follow=True).content.decode()


def test_a_slice_goes_on_from_the_hash_that_was_proved(
    superuser: Client,
    account: str,
    monkeypatch: pytest.MonkeyPatch,
    tampered: Callable[[str], None],
) -> None:
    from accounts import journalpages  # noqa: PLC0415
    from tests.admin.stories import filled  # noqa: PLC0415

    filled(account)
    monkeypatch.setattr(journalpages, "SLICE", 2)
    assert "holds up to entry 2" in verdict(superuser, f"account/{account}")
    tampered(
        f"UPDATE {ENTRIES} SET prev_hash = sha256('x'), hash = sha256('y')"  # noqa: S608 - our id
        f" WHERE account_id = '{account}' AND seq = 3"
    )

    page = superuser.get(f"/admin/accounts/account/{account}/verify/?on=1", follow=True)

    assert "does NOT hold: entry 3, it does not follow the entry before it" in page.content.decode()


def test_entries_are_found_by_how_an_account_s_id_begins(superuser: Client, account: str) -> None:
    from tests.support.orders import place  # noqa: PLC0415

    place(account)

    assert entries(superuser, account=account[:10]).count("op-when") == 1
    assert entries(superuser, q=account[:10]).count("op-when") == 1
    assert "op-when" not in entries(superuser, q="order.no_such_kind")
