"""A file that is refused changes nothing, and every line to correct is named."""

import base64
import json
from io import StringIO
from pathlib import Path

import psycopg
import pytest
from django.core.management import CommandError, call_command
from psycopg.rows import TupleRow

from accounts import vault
from accounts.models import Account
from accounts.roster import versions
from tests.accounts.refusals import last_entry, refused, written
from tests.accounts.rosters import entry, roster, write


@pytest.mark.django_db
def test_each_complaint_is_one_line_with_file_line_key_and_allowed(tmp_path: Path) -> None:
    text = roster(entry("ref-A", account_type="boss"), entry("ref-B", environment="prod"))
    path = write(tmp_path, text)

    out, err = refused(path)

    assert out == ""
    assert err.splitlines() == [
        f"{path}:3: accounts[0].account_type: not one of the allowed words; "
        "allowed: master, trading, data, backup",
        f"{path}:9: accounts[1].environment: not one of the allowed words; "
        "allowed: sandbox, paper, live",
    ]


@pytest.mark.django_db
def test_complaints_as_json(tmp_path: Path) -> None:
    out, err = refused(write(tmp_path, "accounts:\naccounts:\n"), "--json")

    assert err == ""
    assert json.loads(out)["errors"] == [
        {
            "line": 2,
            "key": "accounts",
            "message": "this key stands twice, first in line 1",
            "allowed": [],
        }
    ]


@pytest.mark.usefixtures("roster_alone")
def test_one_account_that_changes_its_environment_stops_the_whole_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_KEY", "PKREAL")
    call_command("import_accounts", str(write(tmp_path, roster(entry("ref-A")))), stdout=StringIO())
    keys = '{api_key: "env:SOME_KEY", secret_key: "env:SOME_KEY"}'
    moved = entry("ref-A", environment="paper", url=None, alpaca_credentials=keys)

    _out, err = refused(write(tmp_path, roster(entry("ref-B"), moved)))

    assert "accounts[1].environment: an account never changes its environment" in err
    assert Account.objects.get(pk="ref-A").environment == "sandbox"


@pytest.mark.usefixtures("roster_alone")
def test_a_failure_half_way_takes_everything_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = base64.b64encode(bytes(32)).decode()
    monkeypatch.setattr(vault, "key_ring", lambda: vault.read_ring(f"k1:{good},k1:{good}"))
    before = written()

    with pytest.raises(CommandError, match="'k1' stands twice"):
        call_command("import_accounts", str(write(tmp_path, roster(entry("ref-A")))))

    assert written() == before


@pytest.mark.usefixtures("roster_alone")
def test_a_database_that_does_not_answer_in_time_is_told(
    tmp_path: Path, owner_connection: psycopg.Connection[TupleRow]
) -> None:
    before = written()

    with owner_connection.transaction():
        owner_connection.execute("LOCK TABLE accounts_rosterversion IN EXCLUSIVE MODE")
        with pytest.raises(CommandError, match="nothing was changed, the database refused"):
            call_command("import_accounts", str(write(tmp_path, roster(entry("ref-A")))))

    assert written() == before


@pytest.mark.django_db
def test_an_import_that_waits_too_long_for_another_is_refused(
    tmp_path: Path,
    application_connection: psycopg.Connection[TupleRow],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = written()
    application_connection.execute("SELECT pg_advisory_lock(hashtext('opitios roster'))")
    hold = versions.hold
    monkeypatch.setattr(versions, "hold", lambda **_: hold(patience_seconds=0.05))

    with pytest.raises(CommandError, match="another import is running"):
        call_command("import_accounts", str(write(tmp_path, roster(entry("ref-A")))))

    assert written() == before


@pytest.mark.django_db
def test_a_refused_file_leaves_one_entry_with_actor_reason_and_lines(tmp_path: Path) -> None:
    path = write(tmp_path, roster(entry("ref-A", account_type="boss")))

    refused(path, "--reason", "new desk")

    said = last_entry()
    assert (said["kind"], said["reason"]) == ("roster.refused", "new desk")
    assert said["actor"]["name"].startswith("import_accounts:")
    assert said["note"].endswith("accounts.yaml")
    assert said["after"]["errors_in_all"] == 1
    assert (said["after"]["errors"][0]["line"], said["after"]["errors"][0]["key"]) == (
        3,
        "accounts[0].account_type",
    )


@pytest.mark.django_db
@pytest.mark.parametrize("reason", ["", "  ", "two\nlines", "x" * 201])
def test_a_reason_that_is_none_is_refused_as_misuse(tmp_path: Path, reason: str) -> None:
    path = write(tmp_path, roster(entry("ref-A")))

    with pytest.raises(CommandError, match="--reason") as caught:
        call_command("import_accounts", str(path), "--reason", reason)

    assert caught.value.returncode == 2


@pytest.mark.django_db
def test_without_a_file_the_command_says_where_to_name_one() -> None:
    with pytest.raises(CommandError, match="OPITIOS_ACCOUNTS_FILE") as caught:
        call_command("import_accounts")

    assert caught.value.returncode == 2


@pytest.mark.django_db
def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"absent\.yaml: No such file"):
        call_command("import_accounts", str(tmp_path / "absent.yaml"))
