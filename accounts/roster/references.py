"""Finds the keys a roster does not show: `sealed:…`, `env:NAME` and `file:PATH`."""

import re
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from accounts import vault
from accounts.roster.document import BadRoster, Complaint
from accounts.roster.reading import KEYS, RosterAccount, is_plain, twice

# A key is some forty characters; a file beyond this is another file.
MAX_KEY_FILE = 4096

# What a broker key may look like once it is found: it travels in an HTTP header.
_KEY = re.compile(r"[!-~]{1,256}")


class Unresolved(Exception):
    """A reference leads nowhere; the message never shows what was found."""


def resolve(
    accounts: Sequence[RosterAccount], *, environ: Mapping[str, str], folder: Path
) -> list[RosterAccount]:
    """Replace references by the keys they name; relative paths start at `folder`.

    Raises BadRoster with every reference that fails, and every api key that two accounts share.
    """
    complaints: list[Complaint] = []
    resolved = []
    for account in accounts:
        keys = []
        for name in KEYS:
            try:
                keys.append(_find(account, name, environ, folder))
            except Unresolved as error:
                line, key = getattr(account.lines, name), f"{account.lines.keys_path}.{name}"
                complaints.append(Complaint(line, key, str(error)))
                keys.append("")
        resolved.append(account.with_keys(*keys))
    complaints = complaints or twice(resolved, "api_key")
    if complaints:
        raise BadRoster(complaints)
    return resolved


def _find(account: RosterAccount, name: str, environ: Mapping[str, str], folder: Path) -> str:
    value: str = getattr(account, name)
    if is_plain(value):
        return value
    if value.startswith(vault.SEALED):
        found = _from_seal(value, account.account_id, name)
    else:
        found = find_named(value, environ=environ, folder=folder)
    if not _KEY.fullmatch(found):
        raise Unresolved("what it names is empty or no key (visible ASCII, at most 256)")
    return found


def find_named(reference: str, *, environ: Mapping[str, str], folder: Path) -> str:
    """Read what `env:NAME` or `file:PATH` names. Raises Unresolved."""
    kind, _, name = reference.partition(":")
    return _from_environment(name, environ) if kind == "env" else _from_file(folder / name)


def _from_seal(value: str, account_id: str, name: str) -> str:
    try:
        return vault.open_value(value, account_id=account_id, field=name)
    except vault.SealBroken as error:
        raise Unresolved(f"{error}; it opens only where and as it was sealed") from error


def _from_environment(name: str, environ: Mapping[str, str]) -> str:
    if name not in environ:
        raise Unresolved(f"the environment has no variable {name}")
    return environ[name]


def _from_file(path: Path) -> str:
    try:
        about = path.stat()
        # A pipe or device would block or never end.
        if not stat.S_ISREG(about.st_mode) or about.st_size > MAX_KEY_FILE:
            raise Unresolved(f"{path.name} is not a plain file of at most {MAX_KEY_FILE} bytes")
        return path.read_text("utf-8").rstrip("\r\n")
    except OSError as error:
        raise Unresolved(f"{path.name} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        # The cause holds the bytes.
        raise Unresolved(f"{path.name} is not text") from None
