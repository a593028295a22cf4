"""Finds the keys a roster only names: `env:NAME` in the environment, `file:PATH` on the disk."""

import re
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from accounts.roster.document import BadRoster, Complaint
from accounts.roster.reading import RosterAccount, twice

# A key is some forty characters; a file beyond this is another file.
MAX_KEY_FILE = 4096

# What a broker key may look like once it is found: it travels in an HTTP header.
_KEY = re.compile(r"[!-~]{1,256}")


class _Unresolved(Exception):
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
        for name in ("api_key", "secret_key"):
            try:
                keys.append(_find(getattr(account, name), environ, folder))
            except _Unresolved as error:
                line = getattr(account.lines, name)
                key = f"{account.path}.alpaca_credentials.{name}"
                complaints.append(Complaint(line, key, str(error)))
                keys.append("")
        resolved.append(account.with_keys(*keys))
    complaints = complaints or twice(resolved, "api_key")
    if complaints:
        raise BadRoster(complaints)
    return resolved


def _find(value: str, environ: Mapping[str, str], folder: Path) -> str:
    kind, colon, name = value.partition(":")
    if not colon:
        return value
    found = _from_environment(name, environ) if kind == "env" else _from_file(folder / name)
    if not _KEY.fullmatch(found):
        raise _Unresolved("what it names is empty or no key (visible ASCII, at most 256)")
    return found


def _from_environment(name: str, environ: Mapping[str, str]) -> str:
    if name not in environ:
        raise _Unresolved(f"the environment has no variable {name}")
    return environ[name]


def _from_file(path: Path) -> str:
    try:
        about = path.stat()
        # A pipe or device would block or never end.
        if not stat.S_ISREG(about.st_mode) or about.st_size > MAX_KEY_FILE:
            raise _Unresolved(f"{path.name} is not a plain file of at most {MAX_KEY_FILE} bytes")
        return path.read_text("utf-8").rstrip("\r\n")
    except OSError as error:
        raise _Unresolved(f"{path.name} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        # The cause holds the bytes.
        raise _Unresolved(f"{path.name} is not text") from None
