"""The journal is browsed by account, kind and day, and proved by a button."""

from collections.abc import Callable

import psycopg
import pytest
from django.test import Client
from psycopg.rows import TupleRow

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


@pytest.fixture
def tampered(owner_connection: psycopg.Connection[TupleRow]) -> Callable[[str], None]:
    """Run a statement with every guard of the two journal tables off, as an owner could."""

    def run(sql: str) -> None:
        with owner_connection.transaction():
            for table in (ENTRIES, HEADS):
                owner_connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL".encode())
            owner_connection.execute(sql.encode())
            for table in (ENTRIES, HEADS):
                owner_connection.execute(f"ALTER TABLE {table} ENABLE TRIGGER ALL".encode())

    return run


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
