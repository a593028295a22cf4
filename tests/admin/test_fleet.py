"""The fleet's picture: counts, cells, desks and processes, for staff only, in a few queries."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

pytestmark = pytest.mark.django_db

PAGE, PICTURE = "/admin/accounts/account/fleet/", "/admin/accounts/account/fleet.json"
SCRIPT = "</script><script>alert('x')</script>"


def picture(client: Client) -> dict[str, Any]:
    """The picture as it is now."""
    answer = client.get(PICTURE)
    assert answer.status_code == 200
    assert "no-store" in answer["Cache-Control"]
    told: dict[str, Any] = answer.json()
    return told


def cell(told: dict[str, Any], account: str) -> list[Any]:
    """An account's row of the picture, without its id."""
    found: list[Any] = next(row for row in told["accounts"] if row[0] == account)
    return found[1:]


def test_every_account_has_a_cell(superuser: Client, account: str) -> None:
    from accounts.models import Account  # noqa: PLC0415
    from tests.admin.fleets import told  # noqa: PLC0415

    new = picture(superuser)
    assert cell(new, account) == ["warming", "closed", None, None, None, None]
    told(account, f"desk-{account}", state="suspect", breaker="open")

    seen = picture(superuser)

    assert cell(seen, account) == ["suspect", "listening", "open", f"desk-{account}", 25, 0]
    assert len(seen["accounts"]) == Account.objects.count()
    assert sum(count for _, count in seen["states"]) == Account.objects.count()
    assert dict(seen["states"])["suspect"] == dict(new["states"])["suspect"] + 1


def test_a_minute_that_is_over_is_whole_again(superuser: Client, account: str) -> None:
    from tests.admin.fleets import told  # noqa: PLC0415

    told(account, budget={"limit": 200, "remaining": 0, "resets_at": 1_700_000_000.5})

    assert cell(picture(superuser), account)[4] == 100


def test_desks_are_told_with_what_they_own(superuser: Client, account: str) -> None:
    from tests.admin.fleets import process, told  # noqa: PLC0415
    from tests.support.accounts import open_account  # noqa: PLC0415

    told(account, f"desk-{account}")
    told(open_account(), f"dead-{account}")
    open_account()
    senders = {"busy": 1, "max": 20}
    process(f"desk-{account}", "desk", queue={"depth": 4}, senders=senders, version="1.2.3")
    process(f"late-{account}", "web", seen=60)

    seen = picture(superuser)

    desks = {desk["name"]: desk for desk in seen["desks"]}
    assert desks[f"desk-{account}"] == {
        "name": f"desk-{account}", "accounts": 1, "alive": True, "waiting": 4, "senders": senders,
    }  # fmt: skip
    assert desks[f"dead-{account}"]["alive"] is False
    assert desks[None]["accounts"] >= 1
    processes = {one["name"]: one for one in seen["processes"]}
    assert processes[f"desk-{account}"]["version"] == "1.2.3"
    assert processes[f"late-{account}"]["alive"] is False
    assert 60 <= processes[f"late-{account}"]["beat"] < 90


def test_what_is_worst_comes_first(superuser: Client, account: str) -> None:
    from datetime import timedelta  # noqa: PLC0415

    from opitios.core import clock  # noqa: PLC0415
    from tests.admin.fleets import process, told  # noqa: PLC0415
    from tests.support.accounts import open_account  # noqa: PLC0415
    from tests.trading.desks import only  # noqa: PLC0415

    suspect, early = open_account(), clock.now() - timedelta(days=9000)
    told(suspect, state="suspect", breaker="half-open")
    told(account, state="quarantined", state_reason="why", checked_at=early, breaker="open")
    process("desk-1", "desk", upstreams=[{"host": "h:1", "breaker": "open"}])

    # Fifty are named: what other tests left in trouble is not to be among them.
    with only(account, suspect):
        seen = picture(superuser)

    names = [one["account"] for one in seen["attention"]]
    assert names.index(account) < names.index(suspect)
    told_why = next(one for one in seen["attention"] if one["account"] == account)
    assert told_why == {"account": account, "state": "quarantined", "why": "why", "desk": "desk-1"}
    breakers = [(one["of"], one["breaker"]) for one in seen["breakers"]]
    assert breakers.index(("h:1", "open")) < breakers.index((account, "open"))
    assert breakers.index((account, "open")) < breakers.index((suspect, "half-open"))
    assert seen["oldest_check"]["account"] == account


def test_more_accounts_cost_no_more_queries(
    superuser: Client, django_assert_num_queries: Callable[[int], Any]
) -> None:
    from tests.admin.fleets import told  # noqa: PLC0415
    from tests.support.accounts import open_accounts  # noqa: PLC0415

    for account in open_accounts(30):
        told(account)
    superuser.get(PAGE)

    # Session, user, accounts, processes; the page has its badge beside.
    with django_assert_num_queries(4):
        superuser.get(PICTURE)
    with django_assert_num_queries(5):
        superuser.get(PAGE)


def test_the_fleet_is_for_staff_who_may_see_accounts(signed_in: Callable[..., Client]) -> None:
    for path in (PAGE, PICTURE):
        assert Client().get(path)["Location"].startswith("/admin/login/?next=")
        assert signed_in("view_order").get(path).status_code == 403
        assert signed_in("view_account").get(path).status_code == 200


def test_hostile_text_does_not_leave_its_place(superuser: Client, account: str) -> None:
    from tests.admin.fleets import process, told  # noqa: PLC0415

    told(account, state="suspect", state_reason=SCRIPT)
    process(SCRIPT, "desk", version=SCRIPT, upstreams=[{"host": SCRIPT, "breaker": "open"}])

    page = superuser.get(PAGE).content

    assert SCRIPT.encode() not in page
    assert b"\\u003C/script\\u003E" in page
    assert picture(superuser)["attention"]


def test_the_side_bar_marks_the_page_that_is_open(account: str) -> None:
    from django.test import RequestFactory  # noqa: PLC0415

    from opitios import console  # noqa: PLC0415

    def marked(path: str) -> list[str]:
        groups = console.navigation(RequestFactory().get(path))
        return [item["title"] for group in groups for item in group["items"] if item["active"]]

    assert marked(PAGE) == ["Fleet"]
    assert marked(f"/admin/accounts/account/{account}/change/") == ["Accounts"]
    assert marked("/admin/") == ["Dashboard"]
    assert marked("/admin/password_change/") == []
