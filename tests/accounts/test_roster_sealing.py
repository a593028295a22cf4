"""`seal` puts sealed keys in the place of plain ones; everything else of the file stays."""

import base64
import json
import os
import re
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from accounts import vault
from accounts.management.commands.import_accounts import offers
from accounts.roster.document import BadRoster
from accounts.roster.files import accounts_in
from accounts.roster.sealing import plain_values, seal_file
from opitios.core.config import get_config
from tests.accounts.rosters import write

ORIGINAL = """\
# Konten des Büros 🏦 — nicht ändern
accounts:
  - account_id: "A"        # the first
    account_type: trading
    environment: paper
    alpaca_credentials:
        api_key:   PKPLAIN      # plain, unquoted
        secret_key: 'it/is+single='
  - {account_id: "B", account_type: data, environment: paper,
     alpaca_credentials: {api_key: "env:KEY_B",   secret_key: "file:b.secret"}}

  # the last
  - account_id: "C"
    account_type: trading
    environment: live
    alpaca_credentials: {api_key: "PKLIVE", secret_key: "live-secret"}
"""
OTHER_KEY = base64.b64encode(bytes(32)).decode()


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file, and what it names."""
    monkeypatch.setenv("KEY_B", "PKNAMED")
    write(tmp_path, "named-secret\n", "b.secret")
    return write(tmp_path, ORIGINAL)


def sealed(path: Path, *options: str) -> str:
    """Run the command; its output."""
    out = StringIO()
    call_command("seal", str(path), *options, stdout=out)
    return out.getvalue()


def keys(path: Path) -> dict[str, tuple[str, str]]:
    """The keys of a file, as an import finds them."""
    config = get_config().model_copy(update={"allow_live": True})
    found = accounts_in(path, config=config, environ=os.environ)
    return {account.account_id: (account.api_key, account.secret_key) for account in found}


def skeleton(text: str) -> str:
    """The text without the values that are or were keys."""
    for value in ("PKPLAIN", "'it/is+single='", '"PKLIVE"', '"live-secret"'):
        text = text.replace(value, "KEY")
    return re.sub('"sealed:[^"]+"', "KEY", text)


def test_plain_keys_are_sealed_and_comments_and_layout_stay(path: Path) -> None:
    path.chmod(0o640)

    said = sealed(path)

    text = path.read_text()
    assert "4 values sealed" in said
    assert skeleton(text) == skeleton(ORIGINAL)
    assert not [clear for clear in ("PKPLAIN", "it/is", "PKLIVE", "live-secret") if clear in text]
    assert path.stat().st_mode & 0o777 == 0o640
    assert keys(path) == {
        "A": ("PKPLAIN", "it/is+single="),
        "B": ("PKNAMED", "named-secret"),
        "C": ("PKLIVE", "live-secret"),
    }
    assert [name for name in os.listdir(path.parent) if name.startswith(".")] == []  # noqa: PTH208


def test_sealing_again_changes_nothing(path: Path) -> None:
    sealed(path)
    before = path.read_bytes()

    assert json.loads(sealed(path, "--json")) == {"sealed": 0, "dry_run": False}
    assert path.read_bytes() == before


def test_a_dry_run_counts_and_writes_nothing(path: Path) -> None:
    assert "4 values would be sealed" in sealed(path, "--dry-run")
    assert path.read_text() == ORIGINAL


def test_with_all_what_is_named_is_sealed_too(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "6 values sealed" in sealed(path, "--all")

    monkeypatch.delenv("KEY_B")
    (path.parent / "b.secret").unlink()
    assert keys(path)["B"] == ("PKNAMED", "named-secret")


def test_values_under_an_older_master_key_are_sealed_anew(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed(path)
    ring = get_config().master_keys.get_secret_value()
    monkeypatch.setattr(vault, "key_ring", lambda: vault.read_ring(f"new:{OTHER_KEY},{ring}"))

    assert "4 values sealed" in sealed(path)

    monkeypatch.setattr(vault, "key_ring", lambda: vault.read_ring(f"new:{OTHER_KEY}"))
    assert keys(path)["C"] == ("PKLIVE", "live-secret")


def test_a_sealed_value_opens_only_in_its_place(path: Path) -> None:
    sealed(path)
    text = path.read_text()
    mine, my_secret, other, _ = re.findall('"sealed:[^"]+"', text)

    moved = {
        "another account": text.replace('"file:b.secret"', my_secret),
        "another field": text.replace('"file:b.secret"', other),
        "another id": text.replace('"A"', '"A2"'),
        "cut": text.replace(mine, mine[:-9] + '"'),
        "changed": text.replace(mine, mine[:-2] + ("A" if mine[-2] != "A" else "B") + '"'),
        "another master key": text.replace("sealed:k1:", "sealed:k9:"),
    }
    for what, spoiled in moved.items():
        path.write_text(spoiled)
        with pytest.raises(BadRoster) as caught:
            keys(path)
        assert "sealed" in str(caught.value) or "master key" in str(caught.value), what
        assert "PK" not in str(caught.value)


def test_a_file_with_a_fault_is_not_touched(path: Path) -> None:
    path.write_text(ORIGINAL.replace("data", "date"))
    before = path.read_bytes()
    err = StringIO()

    with pytest.raises(SystemExit):
        call_command("seal", str(path), stderr=err)

    assert f"{path}:9: accounts[1].account_type" in err.getvalue()
    assert path.read_bytes() == before


def test_a_key_in_a_block_is_told_to_stand_in_one_line(path: Path) -> None:
    path.write_text(ORIGINAL.replace("  PKPLAIN      # plain, unquoted", "|-\n          PKPLAIN"))

    with pytest.raises(BadRoster, match="in one line"):
        seal_file(path, environ=os.environ)


def test_a_link_stays_a_link_and_its_target_is_sealed(path: Path) -> None:
    link = path.with_name("link.yaml")
    link.symlink_to(path.name)

    sealed(link)

    assert link.is_symlink()
    assert plain_values(path) == 0


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="No such file"):
        call_command("seal", str(tmp_path / "absent.yaml"))


def test_lines_that_end_as_on_windows_stay_so(path: Path) -> None:
    path.write_bytes(ORIGINAL.replace("\n", "\r\n").encode())

    sealed(path)

    assert skeleton(path.read_bytes().decode()) == skeleton(ORIGINAL.replace("\n", "\r\n"))


def test_an_import_offers_it_where_keys_stand_in_clear(path: Path) -> None:
    asked: list[str] = []

    def answer(question: str) -> str:
        asked.append(question)
        return "y"

    assert offers(path, answer)
    assert asked == ["4 keys stand in clear. Seal them? [y/N] "]
    assert not offers(path, lambda _question: "")
    sealed(path)
    assert not offers(path, answer)
    assert len(asked) == 1
