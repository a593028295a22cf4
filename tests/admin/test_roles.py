"""What each role of staff may see and do (design.md §8)."""

from collections.abc import Callable
from uuid import uuid4

import pytest
from django.test import Client

pytestmark = pytest.mark.django_db

As = Callable[[str], Client]
READ = (
    "accounts/account", "accounts/account/fleet", "accounts/journalentry", "accounts/journalhead",
    "accounts/processrow", "accounts/rosterversion", "accounts/halt", "accounts/limits",
    "trading/order", "trading/fill", "trading/attempt", "stream",
)  # fmt: skip


@pytest.fixture
def as_role(db: None) -> As:
    """Sign a member of one group in, under the group's name and a number."""
    from django.contrib.auth.models import Group, User  # noqa: PLC0415

    def sign_in(role: str) -> Client:
        user = User.objects.create_user(f"{role}-{uuid4().hex[:8]}", is_staff=True)
        user.groups.add(Group.objects.get(name=role))
        client = Client()
        client.force_login(user)
        return client

    return sign_in


def test_a_migrated_database_has_the_groups_with_their_rights() -> None:
    from django.contrib.auth.models import Group  # noqa: PLC0415

    from accounts import roles  # noqa: PLC0415

    for name, rights in roles.ROLES.items():
        held = Group.objects.get(name=name).permissions.select_related("content_type")
        found = {f"{one.content_type.app_label}.{one.codename}" for one in held}
        assert found == set(rights)


def test_what_an_administrator_added_to_a_group_stays(db: None) -> None:
    from django.contrib.auth.models import Group, Permission  # noqa: PLC0415

    from accounts import roles  # noqa: PLC0415

    group = Group.objects.get(name=roles.COMPLIANCE)
    more = Permission.objects.get(codename="view_session")
    group.permissions.add(more)

    roles.ensure()

    assert more in group.permissions.all()
    group.permissions.remove(more)


@pytest.mark.parametrize("role", ["compliance", "operator", "admin"])
def test_every_role_reads_everything(as_role: As, role: str) -> None:
    client = as_role(role)

    for page in READ:
        assert client.get(f"/admin/{page}/").status_code == 200, page
    assert b"Latest orders" in client.get("/admin/").content


def test_only_admins_appoint_staff(as_role: As) -> None:
    for role, status in (("compliance", 403), ("operator", 403), ("admin", 200)):
        client = as_role(role)

        assert client.get("/admin/auth/user/").status_code == status
        assert client.get("/admin/auth/group/").status_code == status


def test_compliance_changes_no_account(as_role: As, account: str) -> None:
    from accounts.models import Account, JournalEntry  # noqa: PLC0415

    client, page = as_role("compliance"), f"/admin/accounts/account/{account}"

    assert "Suspend" not in client.get(f"{page}/change/").content.decode()
    for act in ("suspend", "resume"):
        assert client.get(f"{page}/{act}/").status_code == 403
        assert client.post(f"{page}/{act}/", {"reason": "because"}).status_code == 403
    assert Account.objects.get(pk=account).suspended_at is None
    assert not JournalEntry.objects.filter(account_id=account).exists()


@pytest.mark.parametrize("role", ["operator", "admin"])
def test_an_operator_suspends_and_resumes_with_a_reason(
    as_role: As, account: str, role: str
) -> None:
    import orjson  # noqa: PLC0415

    from accounts.models import Account, JournalEntry  # noqa: PLC0415

    client, page = as_role(role), f"/admin/accounts/account/{account}"

    done = client.post(f"{page}/suspend/", {"reason": "its <owner> asked"}, follow=True)

    assert done.redirect_chain == [(f"{page}/change/", 302)]
    assert Account.objects.get(pk=account).suspended_reason == "its <owner> asked"
    shown = done.content.decode()
    assert "its &lt;owner&gt; asked" in shown
    assert "account.suspended" in shown
    assert f"{page}/resume/" in shown
    assert f"{page}/suspend/" not in shown
    client.post(f"{page}/resume/", {"reason": "over"})
    assert Account.objects.get(pk=account).suspended_at is None
    told = [orjson.loads(entry.body) for entry in JournalEntry.objects.filter(account_id=account)]
    assert [entry["actor"]["kind"] for entry in told] == ["staff", "staff"]
    assert all(entry["actor"]["name"].startswith(f"{role}-") for entry in told)


@pytest.mark.parametrize("reason", ["", "   ", "x" * 201, "two\nlines"])
def test_without_a_proper_reason_nothing_happens(as_role: As, account: str, reason: str) -> None:
    from accounts.models import Account  # noqa: PLC0415

    page = f"/admin/accounts/account/{account}/suspend/"

    answer = as_role("operator").post(page, {"reason": reason})

    assert answer.status_code == 200
    assert 'role="alert"' in answer.content.decode()
    assert Account.objects.get(pk=account).suspended_at is None


def test_what_is_so_already_is_said(as_role: As, account: str) -> None:
    client, page = as_role("operator"), f"/admin/accounts/account/{account}"

    again = client.post(f"{page}/resume/", {"reason": "over"}).content.decode()

    assert f"{account} is not suspended" in again
    assert client.get("/admin/accounts/account/nobody/suspend/").status_code == 404


def test_asking_for_the_form_changes_nothing(as_role: As, account: str) -> None:
    from accounts.models import Account  # noqa: PLC0415

    page = f"/admin/accounts/account/{account}/suspend/?reason=because"

    assert as_role("operator").get(page).status_code == 200
    assert Account.objects.get(pk=account).suspended_at is None
