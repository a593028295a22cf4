"""Staff import the account file again from the roster's page: operators, and with a reason."""

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from django.test import Client

from tests.accounts.refusals import last_entry, noted, written
from tests.accounts.rosters import entry, roster, write

pytestmark = pytest.mark.django_db

PAGE = "/admin/accounts/rosterversion/reload/"
SignIn = Callable[..., Client]


@pytest.fixture
def ids(db: None) -> Iterator[list[str]]:
    """Two ids of the test's own, on a roster of nobody else: what is reloaded is committed."""
    from accounts.models import Account  # noqa: PLC0415
    from tests.trading.desks import only  # noqa: PLC0415

    name = f"adm-{uuid4().hex[:8]}"
    with only():
        yield [f"{name}-A", f"{name}-B"]
        Account.objects.filter(account_id__startswith=name).update(enabled=False, closing=False)


@pytest.fixture
def path(tmp_path: Path, ids: list[str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The account file of the installation."""
    from accounts import reloading  # noqa: PLC0415
    from opitios.core.config import get_config  # noqa: PLC0415

    path = write(tmp_path, roster(*map(entry, ids)))
    config = get_config().model_copy(update={"accounts_file": path})
    monkeypatch.setattr(reloading, "get_config", lambda: config)
    return path


@pytest.fixture
def operator(signed_in: SignIn) -> Client:
    """One who may import the account file, and see the versions."""
    return signed_in("reload_roster", "view_rosterversion")


def pressed(client: Client, act: str = "reload", reason: str = "two <new> desks") -> str:
    """The page after a button."""
    answer = client.post(PAGE, {"act": act, "reason": reason})
    assert answer.status_code == 200
    return answer.content.decode()


def test_a_reload_shows_what_changed_and_leaves_its_entry(
    path: Path, ids: list[str], operator: Client
) -> None:
    shown = pressed(operator)

    assert "Done: 2 added, 0 changed, 0 disabled, 0 unchanged." in shown
    assert all(f'<td class="">{each}</td><td class="">added</td>' in shown for each in ids)
    said = last_entry()
    assert (said["kind"], said["reason"]) == ("roster.reloaded", "two <new> desks")
    assert said["actor"]["kind"] == "staff"
    assert said["actor"]["name"].startswith("s-")
    assert said["after"]["added"] == ids
    write(path.parent, roster(entry(ids[1], connection_pool="{priority: low}")))
    assert f'<td class="">{ids[0]}</td><td class="">disabled</td>' in pressed(operator)


def test_looking_writes_nothing(path: Path, ids: list[str], operator: Client) -> None:
    before, head = written(), noted()

    shown = pressed(operator, "look")

    assert "A reload would make it so: 2 added" in shown
    assert ids[0] in shown
    assert (written(), noted()) == (before, head)


@pytest.mark.parametrize(
    ("act", "reason"), [("reload", ""), ("reload", "x" * 201), ("reload", "a\nb"), ("other", "why")]
)
def test_without_a_proper_reason_nothing_is_read(
    path: Path, operator: Client, act: str, reason: str
) -> None:
    before, head = written(), noted()

    shown = pressed(operator, act, reason)

    assert "added" not in shown
    assert (written(), noted()) == (before, head)


def test_a_broken_file_is_told_with_its_lines_and_changes_nothing(
    path: Path, ids: list[str], operator: Client
) -> None:
    pressed(operator)
    before = written()
    write(path.parent, roster(entry(ids[0], account_type="<b>wrong</b>")))

    shown = pressed(operator)

    assert "The account file was refused; nothing was changed." in shown
    assert "line 3:" in shown
    assert "<b>wrong" not in shown
    assert written() == before
    assert last_entry()["kind"] == "roster.refused"


def test_without_a_file_the_page_says_which_setting_names_it(
    ids: list[str], operator: Client
) -> None:
    assert "OPITIOS_ACCOUNTS_FILE" in pressed(operator)
    assert "The operator has named no account file." in pressed(operator)


def test_a_key_that_was_not_taken_is_shown_with_its_line(
    path: Path, ids: list[str], operator: Client
) -> None:
    from accounts.models import Account, Credential  # noqa: PLC0415
    from accounts.vault import credential_of  # noqa: PLC0415
    from opitios.broker.port import Credentials  # noqa: PLC0415

    pressed(operator)
    # As replace_key leaves it.
    Credential.objects.filter(account_id=ids[0]).update(retired_at="2026-01-01T00:00:00Z")
    pair = Credentials(key_id=f"NEWER{ids[0]}", secret="newer")  # noqa: S106 - nobody's
    credential_of(account_id=ids[0], version=2, pair=pair).save(force_insert=True)
    Account.objects.filter(pk=ids[0]).update(key_version=2)

    shown = pressed(operator)

    assert "Keys that were not taken" in shown
    assert f'<td class="">{ids[0]}</td><td class="op-number">6</td>' in shown


def test_only_who_may_reload_finds_the_page(path: Path, signed_in: SignIn) -> None:
    before, reader = written(), signed_in("view_rosterversion", "suspend_account")

    assert "Reload" not in reader.get("/admin/accounts/rosterversion/").content.decode()
    assert reader.get(PAGE).status_code == 403
    assert reader.post(PAGE, {"act": "reload", "reason": "because"}).status_code == 403
    assert written() == before
    assert "Reload the account file" in (
        signed_in("view_rosterversion", "reload_roster")
        .get("/admin/accounts/rosterversion/")
        .content.decode()
    )


@pytest.mark.parametrize(("role", "status"), [("compliance", 403), ("operator", 200)])
def test_compliance_reloads_nothing_and_an_operator_does(role: str, status: int) -> None:
    from django.contrib.auth.models import Group, User  # noqa: PLC0415

    user = User.objects.create_user(f"{role}-{uuid4().hex[:8]}", is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    client = Client()
    client.force_login(user)

    assert client.get(PAGE).status_code == status
