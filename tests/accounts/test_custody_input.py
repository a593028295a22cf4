"""How `replace_key` is told a key, and that nothing it prints, stores or raises shows one."""

import io
import json
import logging
import os
import pty
import subprocess
import sys
import traceback
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from accounts import vault
from tests.accounts.custodial import (
    current_key,
    everything_stored,
    key_of,
    last_system_seq,
    lines_of,
)
from tests.api.processes import ROOT
from tests.support.accounts import NOWHERE, open_account
from tests.support.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db

CANARY = "CANARY-secret/of+the=broker"


def tell(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Let this be what standard input holds."""
    monkeypatch.setattr(sys, "stdin", StringIO(text))


def run(account_id: str, *options: str) -> dict[str, Any]:
    """The command's answer."""
    out = StringIO()
    call_command("replace_key", account_id, "--json", *options, stdout=out, stderr=StringIO())
    told: dict[str, Any] = json.loads(out.getvalue())
    return told


def test_two_lines_of_standard_input_are_a_pair(
    trading_account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = key_of(trading_account, 2)
    tell(monkeypatch, lines_of(new))

    told = run(trading_account, "--reason", "ninety days old")

    assert told["key"] == {"hint": vault.hint_of(new.key_id), "version": 2}
    assert (told["account_id"], told["identity_compared"]) == (trading_account, False)
    assert vault.open_pair(current_key(trading_account)) == new


def test_references_name_the_environment_and_files(
    trading_account: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    new = key_of(trading_account, 2)
    monkeypatch.setenv("NEW_KEY", new.key_id)
    (tmp_path / "secret").write_text(f"{new.secret}\n")

    run(
        trading_account, "--api-key", "env:NEW_KEY", "--secret-key", f"file:{tmp_path / 'secret'}"
    )  # fmt: skip

    assert vault.open_pair(current_key(trading_account)) == new


def test_a_terminal_is_asked_without_echo(trading_account: str) -> None:
    new = key_of(trading_account, 2)
    ours, theirs = pty.openpty()
    command = [sys.executable, "manage.py", "replace_key", trading_account]
    with subprocess.Popen(  # noqa: S603 - our own command
        ["setsid", "--ctty", "--wait", *command],  # noqa: S607 - of util-linux
        cwd=ROOT,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        terminal = os.fdopen(ours, "r+b", buffering=0)
        shown = read_until(terminal, b"api_key (not shown): ")
        terminal.write(f"{new.key_id}\n".encode())
        shown += read_until(terminal, b"secret_key (not shown): ")
        terminal.write(f"{new.secret}\n".encode())
        shown += read_until(terminal, b"version 2")
        assert process.wait(60) == 0
        terminal.close()

    assert new.key_id.encode() not in shown
    assert new.secret.encode() not in shown
    assert vault.open_pair(current_key(trading_account)) == new


def read_until(terminal: io.FileIO, end: bytes) -> bytes:
    """What a terminal shows up to this."""
    shown = b""
    while end not in shown:
        shown += terminal.read(1)
    return shown


def wrong(account_id: str, tmp_path: Path, _: pytest.MonkeyPatch) -> list[str]:
    """A secret the broker does not take."""
    (tmp_path / "key").write_text(SandboxProcess.key(account_id))
    (tmp_path / "secret").write_text(CANARY)
    return ["--api-key", f"file:{tmp_path / 'key'}", "--secret-key", f"file:{tmp_path / 'secret'}"]


def on_the_command_line(*_: object) -> list[str]:
    """A pair as arguments."""
    return ["PKCANARY", CANARY]


def as_an_option(*_: object) -> list[str]:
    """A key where a reference belongs."""
    return ["--api-key", "PKCANARY", "--secret-key", CANARY]


def half_a_pair(_: str, __: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One reference of two."""
    monkeypatch.setenv("HALF", CANARY)
    return ["--secret-key", "env:HALF"]


def unreadable(_: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Bytes that are no text, and a name that is not there."""
    (tmp_path / "key").write_bytes(b"PKCANARY\xff")
    return ["--api-key", f"file:{tmp_path / 'key'}", "--secret-key", "env:NOT_THERE"]


def not_a_key(_: str, __: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two words on a line."""
    tell(monkeypatch, f"PKCANARY {CANARY}\n{CANARY}\n")
    return []


def nothing(_: str, __: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """An end of input."""
    tell(monkeypatch, "")
    return []


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (wrong, "does not accept this key"),
        (on_the_command_line, "never given on the command line"),
        (as_an_option, "never given on the command line"),
        (half_a_pair, "give both"),
        (unreadable, "is not text"),
        (not_a_key, "visible ASCII"),
        (nothing, "visible ASCII"),
    ],
)
def test_h121_a_refused_pair_is_shown_nowhere_and_changes_nothing(
    trading_account: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    options: Callable[[str, Path, pytest.MonkeyPatch], list[str]],
    says: str,
) -> None:
    words, since = options(trading_account, tmp_path, monkeypatch), last_system_seq()

    with caplog.at_level(logging.DEBUG), pytest.raises(CommandError, match=says) as caught:
        run(trading_account, *words)

    chain = "".join(traceback.format_exception(caught.value))
    shown = f"{caught.value!r} {chain} {caplog.text} {capfd.readouterr()}"
    assert "CANARY" not in shown.replace("PKCANARY\xff", "").replace(f'"{CANARY}', "")
    assert "CANARY" not in everything_stored(trading_account, since)
    assert current_key(trading_account).version == 1


def test_h121_a_pair_that_is_taken_is_shown_nowhere_either(
    trading_account: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    new = key_of(trading_account, 2)
    tell(monkeypatch, lines_of(new))

    with caplog.at_level(logging.DEBUG):
        told = run(trading_account)

    shown = f"{told} {caplog.text} {capfd.readouterr()} {everything_stored(trading_account)}"
    assert new.secret not in shown
    assert new.key_id not in shown


def test_h121_a_broker_that_is_away_makes_no_error_that_shows_the_pair(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    account_id, since = open_account(url=NOWHERE), last_system_seq()
    tell(monkeypatch, f"PKCANARY\n{CANARY}\n")

    with pytest.raises(CommandError, match="could not be asked") as caught:
        run(account_id)

    assert "CANARY" not in "".join(traceback.format_exception(caught.value))
    assert "CANARY" not in everything_stored(account_id, since)
