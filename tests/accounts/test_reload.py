"""`POST accounts/reload` imports the installation's account file, for an admin, all or nothing."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pytest
from django.http import HttpResponse
from django.test import Client

from accounts import reloading
from accounts.models import Account
from accounts.roster import versions
from opitios.core.config import get_config
from tests.accounts.refusals import last_entry, noted, written
from tests.accounts.rosters import entry, roster, write
from tests.support.accounts import token
from tests.trading.desks import only

pytestmark = pytest.mark.django_db


@pytest.fixture
def ids(db: None) -> Iterator[list[str]]:
    """Two ids of the test's own, on a roster of nobody else: what is reloaded is committed."""
    name = f"rel-{uuid4().hex[:8]}"
    with only():
        yield [f"{name}-A", f"{name}-B"]
        Account.objects.filter(account_id__startswith=name).update(enabled=False, closing=False)


@pytest.fixture
def path(tmp_path: Path, ids: list[str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The account file of the installation."""
    path = write(tmp_path, roster(*map(entry, ids)))
    config = get_config().model_copy(update={"accounts_file": path})
    monkeypatch.setattr(reloading, "get_config", lambda: config)
    return path


def reloaded(
    body: object = None, *, accounts: list[str] | None = None, permission: str = "admin"
) -> HttpResponse:
    """Ask for a reload; without a body, as curl -X POST does."""
    bearer = token(accounts, permissions=[permission], sub="ops-1")
    response: Any = Client().post(
        "/api/v1/accounts/reload",
        "" if body is None else json.dumps(body),
        content_type="application/x-www-form-urlencoded" if body is None else "application/json",
        HTTP_AUTHORIZATION=f"Bearer {bearer}",
    )
    return cast("HttpResponse", response)


def told(response: HttpResponse) -> dict[str, Any]:
    """The answer's body."""
    found: dict[str, Any] = json.loads(response.content)
    return found


def test_a_reload_imports_the_file_and_leaves_its_entry(path: Path, ids: list[str]) -> None:
    response = reloaded({"reason": "two new desks"})

    body = told(response)
    assert response.status_code == 200
    assert (body["added"], body["changed"], body["disabled"]) == (ids, [], [])
    assert Account.objects.get(pk=ids[0]).roster_version == body["version"]
    said = last_entry()
    assert (said["kind"], said["reason"]) == ("roster.reloaded", "two new desks")
    assert (said["actor"]["kind"], said["actor"]["name"]) == ("principal", "ops-1")
    assert said["actor"]["on_behalf_of"]["permissions"] == ["admin"]
    assert said["request"]["request_id"] == response["X-Request-ID"]
    assert said["note"] == str(path)[-255:]


def test_a_reload_that_changes_nothing_leaves_its_entry_too(path: Path) -> None:
    reloaded()

    response = reloaded()

    assert (told(response)["version"], told(response)["unchanged"]) == (None, 2)
    assert last_entry()["after"] == {"version": None, "unchanged": 2}


def test_a_dry_run_says_what_would_be_and_writes_nothing(path: Path, ids: list[str]) -> None:
    before, head = written(), noted()

    body = told(reloaded({"dry_run": True}))

    assert (body["dry_run"], body["version"], body["added"]) == (True, None, ids)
    assert (written(), noted()) == (before, head)


def test_a_broken_file_is_a_problem_with_each_line_and_changes_nothing(
    path: Path, ids: list[str]
) -> None:
    reloaded()
    before = written()
    path.write_text(roster(entry(ids[0], account_type="boss"), entry(ids[1], url='"http://x"')))

    response = reloaded()

    body = told(response)
    assert (response.status_code, body["reason"]) == (422, "invalid-account-file")
    assert [each["field"] for each in body["errors"]] == [
        "accounts[0].account_type",
        "accounts[1].url",
    ]
    assert body["errors"][0]["message"].startswith("line 3: ")
    assert body["errors"][0]["allowed"] == ["master", "trading", "data", "backup"]
    assert written() == before
    assert (last_entry()["kind"], last_entry()["actor"]["name"]) == ("roster.refused", "ops-1")


def test_without_a_file_the_problem_says_which_setting_names_it(ids: list[str]) -> None:
    response = reloaded()

    assert response.status_code == 422
    assert told(response)["errors"][0]["field"] == "OPITIOS_ACCOUNTS_FILE"


def test_a_file_that_is_gone_is_a_problem(path: Path) -> None:
    path.unlink()

    response = reloaded()

    assert (response.status_code, told(response)["reason"]) == (422, "invalid-account-file")
    assert "No such file" in told(response)["detail"]


@pytest.mark.parametrize("permission", ["trade", "operator", "monitor", "account_read"])
def test_only_an_admin_may(path: Path, permission: str) -> None:
    before = written()

    assert reloaded(permission=permission).status_code == 403
    assert Client().post("/api/v1/accounts/reload").status_code == 401
    assert written() == before


def test_a_token_of_some_accounts_hears_of_those_alone(path: Path, ids: list[str]) -> None:
    body = told(reloaded(accounts=[ids[1]]))

    assert (body["added"], body["unchanged"]) == ([ids[1]], 0)
    assert ids[0] not in json.dumps(body)
    assert told(reloaded(accounts=[ids[1]]))["unchanged"] == 1


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"force": True}, 422, "force"),
        ({"dry_run": "yes"}, 422, "dry_run"),
        ({"dry_run": 1}, 422, "dry_run"),
        ({"reason": ""}, 422, "reason"),
        ({"reason": 7}, 422, "reason"),
        ({"reason": "x" * 201}, 422, "reason"),
        ({"reason": "two\nlines"}, 422, "reason"),
        ([], 400, None),
    ],
)
def test_an_odd_body_is_refused_and_nothing_is_read(
    path: Path, body: object, status: int, field: str | None
) -> None:
    before = written()

    response = reloaded(body)

    assert response.status_code == status
    assert [each["field"] for each in told(response)["errors"]] == ([field] if field else [])
    assert written() == before


def test_while_another_import_runs_the_caller_is_told_to_come_again(
    path: Path, ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(**_: float) -> None:
        raise versions.ImportRunning("another import is running")

    monkeypatch.setattr(versions, "hold", busy)

    response = reloaded()

    assert (response.status_code, response["Retry-After"]) == (503, "2")
    assert not Account.objects.filter(pk=ids[0]).exists()


def test_get_is_not_a_way_to_reload(path: Path) -> None:
    bearer = token(None, permissions=["admin"])
    response = Client().get("/api/v1/accounts/reload", HTTP_AUTHORIZATION=f"Bearer {bearer}")

    assert response.status_code == 405
