"""Keys that a file only names are found, or the line says why not; they are never shown."""

import os
from io import FileIO
from pathlib import Path

import pytest

from accounts.roster.document import BadRoster
from accounts.roster.files import accounts_in, policy_of, read_whole
from accounts.roster.reading import RosterAccount
from accounts.roster.references import resolve
from opitios.core.config import Config, get_config
from tests.accounts.rosters import GOOD, about, entry, read, roster, write

PAPER = {"environment": "paper", "url": None}


def account(api_key: str, secret: str = "env:S") -> RosterAccount:  # noqa: S107 - a reference
    """A paper account whose keys are references."""
    keys = f'{{api_key: "{api_key}", secret_key: "{secret}"}}'
    return read(roster(entry("A", **PAPER, alpaca_credentials=keys)))[0]


def refusal(found: RosterAccount, folder: Path, **environ: str) -> str:
    """The one complaint about references that lead nowhere."""
    with pytest.raises(BadRoster) as caught:
        resolve([found], environ={"S": "secret", **environ}, folder=folder)
    (complaint,) = caught.value.complaints
    assert about(complaint) == (5, "accounts[0].alpaca_credentials.api_key")
    return complaint.message


def test_keys_come_from_the_environment_and_from_files(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "a").write_text("s3cret\n")

    (found,) = resolve(
        [account("env:KEY", "file:secrets/a")], environ={"KEY": "PKREAL"}, folder=tmp_path
    )

    assert (found.api_key, found.secret_key) == ("PKREAL", "s3cret")


def test_a_variable_that_is_not_set_is_told(tmp_path: Path) -> None:
    assert "no variable KEY" in refusal(account("env:KEY"), tmp_path)


@pytest.mark.parametrize("value", ["", "two words", "CANARY\nline", "ключ", "x" * 257])
def test_what_is_found_must_be_a_key_and_is_not_shown(tmp_path: Path, value: str) -> None:
    message = refusal(account("env:KEY"), tmp_path, KEY=value)

    assert "no key" in message
    assert not value or value not in message


def test_files_that_hold_no_key_are_told(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "huge").write_bytes(b"x" * 5000)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")

    for name in ("binary", "huge", "folder", "pipe", "absent"):
        assert name in refusal(account(f"file:{name}"), tmp_path)


def test_two_references_to_one_key_are_refused(tmp_path: Path) -> None:
    keys = '{{api_key: "env:{}", secret_key: "env:S"}}'
    accounts = read(
        roster(*(entry(n, **PAPER, alpaca_credentials=keys.format(n)) for n in ("A", "B")))
    )

    with pytest.raises(BadRoster) as caught:
        resolve(accounts, environ={"A": "PKSAME", "B": "PKSAME", "S": "s"}, folder=tmp_path)

    assert [c.key for c in caught.value.complaints] == ["accounts[1].alpaca_credentials.api_key"]
    assert "PKSAME" not in str(caught.value)


def test_a_file_is_read_from_the_disk(tmp_path: Path) -> None:
    found = accounts_in(write(tmp_path, GOOD), config=get_config(), environ={})

    assert [a.account_id for a in found] == ["A"]


def test_a_file_that_is_no_plain_file_is_refused() -> None:
    with pytest.raises(BadRoster, match="plain file"):
        accounts_in(Path(os.devnull), config=get_config(), environ={})


def test_a_file_that_is_being_written_is_refused(tmp_path: Path) -> None:
    class Written(FileIO):
        """A file whose writer goes on while it is read."""

        def read(self, size: int | None = -1, /) -> bytes:
            half = super().read(size)
            path.write_text(GOOD + entry("B"))
            return half

    path = write(tmp_path, GOOD)

    with Written(path) as file, pytest.raises(BadRoster, match="being written"):
        read_whole(file)


@pytest.mark.parametrize(
    ("debug", "mode", "says"),
    [(False, 0o600, "sandbox"), (True, 0o604, "chmod 600"), (True, 0o640, None)],
)
def test_keys_in_clear_need_debug_and_a_private_file(
    debug: bool, mode: int, says: str | None
) -> None:
    config: Config = get_config().model_copy(update={"debug": debug, "allow_live": True})

    policy = policy_of(config, mode)

    assert policy.allow_live
    assert (policy.plain_refused is None) == (says is None)
    assert says is None or says in str(policy.plain_refused)
