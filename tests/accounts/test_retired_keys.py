"""A key that `replace_key` took out of use comes back by `replace_key` alone, never by a file."""

import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.db import transaction

from accounts import custody, vault
from accounts.models import Account, AccountRevision, Credential, RosterVersion
from opitios.broker.port import Credentials
from opitios.core import database
from tests.accounts.custodial import ME, current_key, key_of
from tests.accounts.refusals import last_entry, noted, written
from tests.accounts.rosters import entry, roster, write
from tests.support.sandbox_process import SandboxProcess
from tests.trading.desks import only

pytestmark = pytest.mark.django_db


class File:
    """The account file of a test, with one account at the sandbox."""

    def __init__(self, folder: Path, name: str, url: str) -> None:
        self._folder = folder
        self.name = name
        self._url = url

    def key(self, number: int) -> Credentials:
        """The account's first key, or a later one."""
        return key_of(self.name, number)

    def present(self) -> Credentials:
        """The key pair in use."""
        return vault.open_pair(current_key(self.name))

    def replace(self, number: int) -> None:
        """Replace the key as an operator does."""
        custody.replace_key(self.name, self.key(number), actor=ME, reason="ninety days old")

    def path(self, key: int, **changed: str) -> Path:
        """The file, written with the account's first key or a later one."""
        pair = self.key(key)
        keys = f'{{api_key: "{pair.key_id}", secret_key: "{pair.secret}"}}'
        one = entry(self.name, url=f'"{self._url}"', alpaca_credentials=keys, **changed)
        return write(self._folder, roster(one))

    def imported(self, key: int, **changed: str) -> dict[str, Any]:
        """Import it; what the command answers."""
        return ran(self.path(key, **changed))


def ran(*words: object) -> dict[str, Any]:
    """The answer of `import_accounts --json`."""
    out = StringIO()
    call_command("import_accounts", *map(str, words), "--json", stdout=out, stderr=StringIO())
    found: dict[str, Any] = json.loads(out.getvalue())
    return found


@pytest.fixture
def file(db: None, tmp_path: Path, sandbox: SandboxProcess) -> Iterator[File]:
    """A file whose first key was imported and then replaced by the second.

    The account is one of the test's own, on a roster of nobody else: all of it is committed.
    """
    name = f"ret-{uuid4().hex[:8]}"
    sandbox.clear_faults()
    with only():
        file = File(tmp_path, name, sandbox.url)
        file.imported(1)
        file.replace(2)
        yield file
        Account.objects.filter(account_id__startswith=name).update(enabled=False, closing=False)


def test_the_file_s_old_key_is_not_taken_and_the_warning_names_account_and_line(
    file: File,
) -> None:
    newest, path = RosterVersion.objects.latest("version"), file.path(1)

    done = ran(path)

    assert file.present() == file.key(2)
    assert (done["version"], done["kept_keys"], done["unchanged"]) == (None, [file.name], 1)
    [warning] = done["warnings"]
    assert (warning["key"], warning["line"]) == (file.name, 6)
    assert "api_key" in path.read_text().splitlines()[5]
    assert RosterVersion.objects.latest("version") == newest
    said = last_entry()
    assert said["kind"] == "roster.kept_keys"
    assert said["after"] == {"version": None, "kept": [{"account_id": file.name, "line": 6}]}
    assert file.key(1).key_id not in json.dumps([said, done])


def test_a_person_reads_it_on_standard_error(file: File) -> None:
    path, err = file.path(1), StringIO()

    call_command("import_accounts", str(path), stdout=StringIO(), stderr=err)

    assert f"warning: {path}:6: {file.name}: replace_key took this key out of use" in err.getvalue()


def test_what_else_the_file_changes_of_the_account_is_applied(file: File) -> None:
    done = file.imported(1, connection_pool="{priority: high}")

    assert done["changed"] == [{"account_id": file.name, "fields": ["priority"]}]
    account = Account.objects.get(pk=file.name)
    assert (account.priority, account.key_version) == ("high", 2)
    assert file.present() == file.key(2)
    assert last_entry()["after"]["version"] == done["version"]


def test_a_dry_run_warns_and_writes_nothing(file: File) -> None:
    path, before, head = file.path(1), written(), noted()

    done = ran(path, "--dry-run")

    assert [warning["key"] for warning in done["warnings"]] == [file.name]
    assert (written(), noted()) == (before, head)


def test_the_newer_key_in_the_file_is_quiet_and_a_third_one_is_taken(file: File) -> None:
    same = file.imported(2)
    third = file.imported(3)

    assert (same["version"], same["warnings"]) == (None, [])
    assert third["changed"] == [{"account_id": file.name, "fields": ["key"]}]
    assert file.present() == file.key(3)


def test_a_key_that_a_file_replaced_comes_back_with_a_file(file: File) -> None:
    file.imported(3)
    file.imported(4)

    done = file.imported(3)

    assert (done["kept_keys"], file.present()) == ([], file.key(3))


def test_replace_key_itself_brings_an_old_key_back(file: File) -> None:
    file.replace(1)

    done = file.imported(1)

    assert (done["version"], done["warnings"], file.present()) == (None, [], file.key(1))
    assert file.imported(2)["kept_keys"] == [file.name]


def test_an_account_that_left_comes_back_with_its_newer_key(file: File, tmp_path: Path) -> None:
    ran(write(tmp_path, roster(entry(f"{file.name}-other")), "other.yaml"))

    done = file.imported(1)

    assert {"account_id": file.name, "fields": ["enabled"]} in done["changed"]
    assert (done["kept_keys"], file.present()) == ([file.name], file.key(2))


def test_a_rollback_keeps_the_newer_key_and_says_so(file: File) -> None:
    first = RosterVersion.objects.latest("version").version - 1
    file.imported(2, connection_pool="{priority: high}")

    with transaction.atomic():
        # Nobody else's accounts come back.
        AccountRevision.objects.exclude(account_id=file.name).update(enabled=False)
        done = ran("--rollback", first)

        assert done["changed"] == [{"account_id": file.name, "fields": ["priority"]}]
        assert [warning["key"] for warning in done["warnings"]] == [file.name]
        assert last_entry()["kind"] == "roster.kept_keys"
        assert file.present() == file.key(2)
        assert Account.objects.get(pk=file.name).priority == "normal"
        transaction.set_rollback(True)


def test_where_the_newer_key_opens_no_more_the_file_s_repairs_it(file: File) -> None:
    Credential.objects.filter(account_id=file.name, version=2).update(
        sealed_api_key=b"\1" + bytes(40)
    )

    done = file.imported(1)

    assert done["changed"] == [{"account_id": file.name, "fields": ["key"]}]
    assert file.present() == file.key(1)


def test_an_old_key_that_opens_no_more_is_known_by_its_digest(file: File) -> None:
    database.rows(
        "UPDATE accounts_credential SET master_key_id = 'gone'"
        " WHERE account_id = %s AND version = 1",
        (file.name,),
    )

    assert file.imported(1)["kept_keys"] == [file.name]
    assert file.present() == file.key(2)
