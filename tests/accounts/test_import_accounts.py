"""`import_accounts`: a good file is applied whole, in one numbered version with one entry."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from accounts import journal, vault
from accounts.models import (
    SYSTEM_JOURNAL,
    Account,
    AccountState,
    Credential,
    JournalEntry,
    JournalHead,
    RosterVersion,
)
from tests.accounts.rosters import entry, roster, write

pytestmark = pytest.mark.usefixtures("roster_alone")


def run(path: Path, *options: str) -> str:
    """The command's output."""
    out = StringIO()
    call_command("import_accounts", str(path), *options, stdout=out, stderr=StringIO())
    return out.getvalue()


def imported(path: Path) -> dict[str, Any]:
    """The command's answer as JSON."""
    found: dict[str, Any] = json.loads(run(path, "--json"))
    return found


def pair(account_id: str) -> tuple[str, str]:
    """The present key pair, opened."""
    version = Account.objects.get(pk=account_id).key_version
    credential = Credential.objects.get(account_id=account_id, version=version)
    opened = vault.open_pair(credential)
    return opened.key_id, opened.secret


def last_entry() -> JournalEntry:
    """The newest entry of the system journal."""
    return JournalEntry.objects.filter(account_id=SYSTEM_JOURNAL).latest("seq")


def test_new_accounts_arrive_with_keys_state_and_journal(tmp_path: Path) -> None:
    path = write(tmp_path, roster(entry("imp-A"), entry("imp-B", account_type="data")))

    done = imported(path)

    assert (done["added"], done["disabled"]) == (["imp-A", "imp-B"], [])
    account = Account.objects.get(pk="imp-A")
    assert (account.environment, account.url) == ("sandbox", "http://127.0.0.1:8092")
    assert (account.enabled, account.key_version) == (True, 1)
    assert account.roster_version == done["version"]
    assert pair("imp-A") == ("SANDBOX_imp-A", "s-imp-A")
    assert Credential.objects.get(account_id="imp-A").hint == "SA…mp-A"
    assert AccountState.objects.get(pk="imp-A").state == "warming"
    assert JournalHead.objects.get(pk="imp-A").seq == 0
    assert journal.verify("imp-B").ok


def test_the_import_is_one_entry_of_the_system_journal_without_keys(tmp_path: Path) -> None:
    done = imported(write(tmp_path, roster(entry("imp-A"))))

    entry_ = last_entry()
    body = json.loads(entry_.body)
    assert entry_.kind == "roster.imported"
    assert body["after"] == {
        "added": ["imp-A"],
        "changed": [],
        "disabled": [],
        "unchanged": 0,
        "kept_keys": [],
        "version": done["version"],
    }
    assert body["actor"]["name"].startswith("import_accounts:")
    assert "SANDBOX_imp-A" not in entry_.body
    version = RosterVersion.objects.get(pk=done["version"])
    assert version.actor == body["actor"]["name"]
    assert version.source.endswith("accounts.yaml")


def test_the_same_file_again_writes_nothing(tmp_path: Path) -> None:
    path = write(tmp_path, roster(entry("imp-A")))
    imported(path)
    before = RosterVersion.objects.count(), last_entry().seq, Credential.objects.count()

    again = imported(path)

    assert (again["version"], again["unchanged"]) == (None, 1)
    assert (RosterVersion.objects.count(), last_entry().seq, Credential.objects.count()) == before


def test_a_changed_key_is_sealed_as_a_new_version(tmp_path: Path) -> None:
    imported(write(tmp_path, roster(entry("imp-A"), entry("imp-B"))))
    keys = '{api_key: "NEWKEY", secret_key: "new"}'

    done = imported(
        write(tmp_path, roster(entry("imp-A", alpaca_credentials=keys), entry("imp-B")))
    )

    assert done["changed"] == [{"account_id": "imp-A", "fields": ["key"]}]
    assert pair("imp-A") == ("NEWKEY", "new")
    assert list(
        Credential.objects.filter(account_id="imp-A").values_list("version", flat=True)
    ) == [
        1,
        2,
    ]
    assert Account.objects.get(pk="imp-A").roster_version == done["version"]
    assert Account.objects.get(pk="imp-B").roster_version < done["version"]


def test_a_changed_field_leaves_the_key_alone(tmp_path: Path) -> None:
    imported(write(tmp_path, roster(entry("imp-A"))))
    pool = "{max_connections: 9, priority: high}"

    done = imported(write(tmp_path, roster(entry("imp-A", connection_pool=pool))))

    assert done["changed"][0]["fields"] == ["priority", "max_connections"]
    account = Account.objects.get(pk="imp-A")
    assert (account.priority, account.max_connections, account.key_version) == ("high", 9, 1)
    assert Credential.objects.filter(account_id="imp-A").count() == 1


def test_an_account_that_leaves_is_disabled_and_may_return(tmp_path: Path) -> None:
    both, one = roster(entry("imp-A"), entry("imp-B")), roster(entry("imp-A"))
    imported(write(tmp_path, both))

    assert imported(write(tmp_path, one))["disabled"] == ["imp-B"]
    gone = Account.objects.get(pk="imp-B")
    assert (gone.enabled, gone.state.state) == (False, "disabled")
    assert gone.state.state_reason == "not in the roster"

    back = imported(write(tmp_path, both))
    assert back["changed"] == [{"account_id": "imp-B", "fields": ["enabled"]}]
    returned = Account.objects.get(pk="imp-B")
    assert (returned.enabled, returned.state.state, returned.key_version) == (True, "warming", 1)


def test_a_pair_that_no_longer_opens_is_repaired(tmp_path: Path) -> None:
    path = write(tmp_path, roster(entry("imp-A")))
    imported(path)
    Credential.objects.filter(account_id="imp-A").update(sealed_secret_key=b"\x01broken")

    assert imported(path)["changed"] == [{"account_id": "imp-A", "fields": ["key"]}]
    assert pair("imp-A") == ("SANDBOX_imp-A", "s-imp-A")


def test_a_dry_run_shows_and_writes_nothing(tmp_path: Path) -> None:
    before = RosterVersion.objects.count()

    shown = run(write(tmp_path, roster(entry("imp-A"))), "--dry-run")

    assert "imp-A" in shown
    assert "1 added, 0 changed, 0 disabled, 0 unchanged; nothing was written" in shown
    assert not Account.objects.filter(pk="imp-A").exists()
    assert RosterVersion.objects.count() == before


def test_a_thousand_accounts_take_seconds_and_a_short_table(tmp_path: Path) -> None:
    path = write(tmp_path, roster(*(entry(f"imp-{n:04d}") for n in range(1000))))

    shown = run(path)

    assert Account.objects.filter(enabled=True).count() == 1000
    assert "970 more" in shown
    assert "1000 added" in shown
    assert len(shown.splitlines()) < 50
