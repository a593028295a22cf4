"""Each import that changes something is a numbered version, and any of them can be brought back."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from accounts import journal, vault
from accounts.models import Account, Credential, RosterVersion
from opitios.core.config import get_config
from tests.accounts.refusals import last_entry, noted, written
from tests.accounts.rosters import entry, roster, write
from tests.support.orders import entries

pytestmark = pytest.mark.usefixtures("roster_alone")


def ran(*words: object) -> str:
    """The command's output."""
    out = StringIO()
    call_command("import_accounts", *map(str, words), stdout=out, stderr=StringIO())
    return out.getvalue()


def imported(folder: Path, *accounts: str) -> dict[str, Any]:
    """Import a file of these accounts."""
    found: dict[str, Any] = json.loads(ran(write(folder, roster(*accounts)), "--json"))
    return found


def pair(account_id: str) -> tuple[str, str]:
    """The present key pair, opened."""
    version = Account.objects.get(pk=account_id).key_version
    opened = vault.open_pair(Credential.objects.get(account_id=account_id, version=version))
    return opened.key_id, opened.secret


NEW_KEY = '{api_key: "ANOTHERKEY", secret_key: "another"}'


@pytest.fixture
def first(tmp_path: Path) -> int:
    """Three versions of a roster: the number of the first, which the others undid."""
    version: int = imported(tmp_path, entry("ver-A"), entry("ver-B"))["version"]
    imported(tmp_path, entry("ver-A", alpaca_credentials=NEW_KEY), entry("ver-C"))
    imported(tmp_path, entry("ver-C", connection_pool="{priority: high}"))
    return version


def test_a_rollback_brings_the_accounts_back_as_a_new_version_with_its_entry(first: int) -> None:
    newest = RosterVersion.objects.latest("version").version

    done = json.loads(ran("--rollback", first, "--json", "--reason", "wrong file"))

    assert done["version"] > newest
    assert done["changed"] == [
        {"account_id": "ver-A", "fields": ["key", "enabled"]},
        {"account_id": "ver-B", "fields": ["enabled"]},
    ]
    assert (done["added"], done["disabled"]) == ([], ["ver-C"])
    enabled = Account.objects.filter(enabled=True)
    assert sorted(enabled.values_list("pk", flat=True)) == ["ver-A", "ver-B"]
    assert pair("ver-A") == ("SANDBOX_ver-A", "s-ver-A")
    assert Account.objects.get(pk="ver-A").key_version == 3
    said = last_entry()
    assert (said["kind"], said["reason"]) == ("roster.rolled_back", "wrong file")
    assert said["actor"]["name"].startswith("import_accounts:")
    assert said["after"]["rolled_back_to"] == first
    assert said["after"]["version"] == done["version"]
    assert RosterVersion.objects.get(pk=done["version"]).source == f"version {first}"


def test_a_rollback_can_be_rolled_back(first: int) -> None:
    newest = RosterVersion.objects.latest("version").version
    ran("--rollback", first)

    done = json.loads(ran("--rollback", newest, "--json"))

    assert (done["disabled"], [c["account_id"] for c in done["changed"]]) == (
        ["ver-A", "ver-B"],
        ["ver-C"],
    )
    account = Account.objects.get(pk="ver-C")
    assert (account.enabled, account.priority) == (True, "high")


def test_a_dry_run_of_a_rollback_shows_and_changes_nothing(first: int) -> None:
    before, head = written(), noted()

    shown = ran("--rollback", first, "--dry-run")

    assert "0 added, 2 changed, 1 disabled, 0 unchanged; nothing was written" in shown
    assert (written(), noted()) == (before, head)


def test_a_rollback_to_what_is_there_makes_no_version(first: int) -> None:
    newest = RosterVersion.objects.latest("version").version
    before = written()

    assert json.loads(ran("--rollback", newest, "--json"))["version"] is None
    assert written() == before


@pytest.mark.parametrize("version", [0, -1, 10**9])
def test_a_version_that_never_was_is_told(version: int) -> None:
    before = written()

    with pytest.raises(CommandError, match=f"there is no roster version {version}"):
        ran(f"--rollback={version}")

    assert written() == before


def test_a_key_that_opens_no_more_is_told_and_nothing_is_changed(first: int) -> None:
    Credential.objects.filter(account_id="ver-B").update(sealed_secret_key=b"\x01broken")
    before = written()

    with pytest.raises(CommandError, match=r"ver-B v1.*import the account file instead"):
        ran("--rollback", first)

    assert written() == before


def test_live_accounts_come_back_only_where_they_are_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = '{api_key: "env:USER_KEY", secret_key: "env:USER_KEY"}'
    monkeypatch.setenv("USER_KEY", "PKLIVE")
    allowing = get_config().model_copy(update={"allow_live": True})
    command = "accounts.management.commands.import_accounts.get_config"
    with monkeypatch.context() as patch:
        patch.setattr(command, lambda: allowing)
        live = entry("ver-L", environment="live", url=None, alpaca_credentials=keys)
        version = imported(tmp_path, live)["version"]
    imported(tmp_path, entry("ver-A"))

    with pytest.raises(CommandError, match=r"ver-L is live.*OPITIOS_ALLOW_LIVE"):
        ran("--rollback", version)

    assert not Account.objects.get(pk="ver-L").enabled


def test_the_versions_are_listed_newest_first(first: int) -> None:
    found = json.loads(ran("--versions", "--json"))

    assert [each["version"] for each in found[:3]] == [first + 2, first + 1, first]
    assert found[1]["disabled"] == ["ver-B"]
    shown = ran("--versions")
    assert [number for number in range(first, first + 3) if f" {number} " not in shown] == []


def test_an_account_s_own_journal_tells_that_it_went_came_back_and_got_another_key(
    tmp_path: Path,
) -> None:
    imported(tmp_path, entry("ver-A"), entry("ver-B"))
    done = imported(tmp_path, entry("ver-A", alpaca_credentials=NEW_KEY))
    imported(tmp_path, entry("ver-A", alpaca_credentials=NEW_KEY), entry("ver-B"))

    (replaced,) = entries("ver-A")
    assert replaced["kind"] == "account.key_replaced"
    assert replaced["after"] == {"roster_version": done["version"], "key_version": 2}
    assert replaced["actor"]["kind"] == "staff"
    assert "ANOTHERKEY" not in str(replaced)
    went, came = entries("ver-B")
    assert (went["kind"], went["note"]) == ("account.suspended", "not in the roster")
    assert (came["kind"], came["after"]["enabled"]) == ("account.resumed", True)
    assert journal.verify("ver-A").ok
    assert journal.verify("ver-B").ok
