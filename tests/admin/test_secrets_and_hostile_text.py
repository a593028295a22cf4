"""Nothing sealed is shown, and nothing a program or a broker wrote becomes HTML."""

from typing import Any

import pytest
from django.test import Client

pytestmark = pytest.mark.django_db

SCRIPT = "<script>alert('x')</script>"
ESCAPED = b"&lt;script&gt;"


@pytest.fixture
def hostile(account: str) -> dict[str, Any]:
    """An order whose every text is an attack."""
    from tests.admin.stories import rejected  # noqa: PLC0415

    return rejected(account, SCRIPT, client_order_id=SCRIPT, tags={SCRIPT: SCRIPT})


def pages_about(row: dict[str, Any]) -> list[str]:
    """Every page that shows something of the order."""
    from accounts.models import JournalEntry  # noqa: PLC0415
    from trading.models import Attempt  # noqa: PLC0415

    entries = JournalEntry.objects.filter(order_id=row["id"])
    attempt = Attempt.objects.get(order_id=row["id"])
    return [
        "/admin/",
        "/admin/trading/order/",
        f"/admin/trading/order/{row['id']}/change/",
        f"/admin/trading/order/?account={row['account_id']}",
        f"/admin/trading/attempt/{attempt.pk}/change/",
        "/admin/trading/attempt/",
        f"/admin/accounts/journalentry/?account={row['account_id']}",
        *(f"/admin/accounts/journalentry/{entry.pk}/change/" for entry in entries),
    ]


def test_no_text_becomes_a_script(superuser: Client, hostile: dict[str, Any]) -> None:
    for page in pages_about(hostile):
        answer = superuser.get(page)

        assert answer.status_code == 200, page
        assert SCRIPT.encode() not in answer.content, page
        assert b"<script>alert" not in answer.content, page


def test_the_order_s_page_shows_every_text_escaped(
    superuser: Client, hostile: dict[str, Any]
) -> None:
    content = superuser.get(f"/admin/trading/order/{hostile['id']}/change/").content

    # client_order_id, tag and its name, refusal, the broker's request id, the journal's note.
    assert content.count(ESCAPED) >= 6


def test_a_search_for_a_script_is_shown_escaped(superuser: Client) -> None:
    for page in ("trading/order", "trading/fill", "accounts/journalentry", "accounts/account"):
        answer = superuser.get(f"/admin/{page}/", {"q": SCRIPT, "account": SCRIPT})

        assert answer.status_code in {200, 302}
        assert SCRIPT.encode() not in answer.content


def test_no_byte_of_a_sealed_key_is_shown(superuser: Client, account: str) -> None:
    from accounts.models import Credential  # noqa: PLC0415

    key = Credential.objects.get(account_id=account)
    pages = (f"/admin/accounts/account/{account}/change/", f"/admin/accounts/account/?q={account}")
    content = b"".join(superuser.get(page).content for page in pages)

    assert key.hint.encode() in content
    for secret in (key.sealed_api_key, key.sealed_secret_key, key.wrapped_data_key):
        raw = bytes(secret)
        for shown in (raw, raw.hex().encode(), repr(raw).encode(), raw[:12].hex().encode()):
            assert shown not in content
    assert f"sandbox-secret-{account}".encode() not in content
    assert key.fingerprint.encode() not in content
