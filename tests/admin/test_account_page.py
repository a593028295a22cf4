"""One account's page: all that is known of it, to those who may see it, and no secret of it."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

pytestmark = pytest.mark.django_db

SCRIPT = "<script>alert('x')</script>"


def page_of(client: Client, account: str) -> str:
    """The page's HTML."""
    answer = client.get(f"/admin/accounts/account/{account}/change/")
    assert answer.status_code == 200
    return answer.content.decode()


def note(account: str, kind: str, **about: Any) -> None:
    """Write an entry about the account into its journal."""
    from accounts import journal  # noqa: PLC0415

    journal.append(account, kind, journal.body(actor=journal.system("desk"), **about))


def test_the_page_tells_the_account_s_history(superuser: Client, account: str) -> None:
    from tests.admin.stories import filled  # noqa: PLC0415

    assert "never quarantined, released or suspended" in page_of(superuser, account)
    note(account, "account.quarantined", note="refused three times", after={"state": "quarantined"})
    filled(account)

    page = page_of(superuser, account)

    assert "account.quarantined" in page
    assert "state: – → quarantined" in page
    assert "refused three times" in page
    assert "order.fill" not in page


def test_the_page_shows_open_orders_and_fills(superuser: Client, account: str) -> None:
    from tests.admin.stories import filled  # noqa: PLC0415
    from tests.support.orders import place, row_of  # noqa: PLC0415

    done, waits = filled(account, symbol="MSFT"), row_of(place(account, symbol="NVDA"))

    page = page_of(superuser, account)

    assert f"/admin/trading/order/{waits['id']}/change/" in page
    assert "buy 10 NVDA limit 187.25" in page
    assert "buy 10 MSFT" not in page
    assert page.count(f"/admin/trading/order/{done['id']}/change/") == 1
    assert f"/admin/trading/order/drift/{account}/" in page


def test_the_page_shows_every_process_s_view(superuser: Client, account: str) -> None:
    from tests.admin.fleets import process, told  # noqa: PLC0415

    told(account, f"desk-{account}")
    calls = {account: {"in_flight": 3, "budget": None}}
    process(f"desk-{account}", "desk", warm=5, version="9.8.7", accounts=calls)
    process(f"web-{account}", "web", warm=5)
    process(f"gone-{account}", "web", warm=5, seen=60)

    page = page_of(superuser, account)

    assert "owns it, 3 calls in flight" in page
    assert "9.8.7" in page
    assert "reads for it" in page
    assert f"gone-{account}" not in page


def test_the_page_says_why_an_account_is_not_ready(superuser: Client, account: str) -> None:
    from accounts.models import Account  # noqa: PLC0415
    from tests.admin.fleets import told  # noqa: PLC0415

    told(account, state="quarantined", state_reason="the key was refused")
    assert '<section class="op-alarm op-bad"><b>the key was refused</b>' in page_of(
        superuser, account
    )

    Account.objects.filter(pk=account).update(enabled=False)
    assert "It is not in the roster" in page_of(superuser, account)


def test_more_orders_cost_no_more_queries(
    superuser: Client, account: str, django_assert_num_queries: Callable[[int], Any]
) -> None:
    from tests.admin.fleets import told  # noqa: PLC0415
    from tests.admin.stories import filled  # noqa: PLC0415
    from tests.support.orders import place  # noqa: PLC0415

    told(account)
    page_of(superuser, account)
    for _ in range(3):
        filled(account)
        place(account)
    # Session, user, badge; the account twice, whether it is suspended, its keys; one a card.
    with django_assert_num_queries(11):
        page_of(superuser, account)


def test_a_page_shows_no_orders_to_whom_may_not_see_them(
    signed_in: Callable[..., Client], account: str
) -> None:
    from tests.admin.stories import filled  # noqa: PLC0415

    filled(account)

    page = page_of(signed_in("view_account"), account)

    assert "Open orders" not in page
    assert "Latest fills" not in page
    assert "History of its state" in page


def test_hostile_text_is_shown_as_text(superuser: Client, account: str) -> None:
    from tests.admin.fleets import process, told  # noqa: PLC0415
    from tests.support.orders import place  # noqa: PLC0415

    told(account, f"desk-{account}", state="suspect", state_reason=SCRIPT,
         broker_account={"equity": SCRIPT, "status": SCRIPT})  # fmt: skip
    process(f"desk-{account}", "desk", warm=SCRIPT, version=SCRIPT)
    note(account, "account.quarantined", note=SCRIPT, after={SCRIPT: SCRIPT})
    place(account, client_order_id=SCRIPT)

    page = page_of(superuser, account)

    assert SCRIPT not in page
    assert page.count("&lt;script&gt;") >= 8


def test_no_byte_of_a_secret_is_on_any_page_of_accounts(superuser: Client, account: str) -> None:
    from accounts.models import Credential  # noqa: PLC0415
    from tests.admin.fleets import told  # noqa: PLC0415
    from tests.support.sandbox_process import SandboxProcess  # noqa: PLC0415

    told(account)
    key = Credential.objects.get(account_id=account)
    sealed = (key.sealed_api_key, key.sealed_secret_key, key.wrapped_data_key)
    canaries = [SandboxProcess.key(account), SandboxProcess.secret(account), key.fingerprint]
    canaries += [bytes(each).hex() for each in sealed]

    for path in (f"?q={account}", f"{account}/change/", "fleet/", "fleet.json"):
        answer = superuser.get(f"/admin/accounts/account/{path}")
        assert answer.status_code == 200
        for canary in canaries:
            assert canary.encode() not in answer.content, path
