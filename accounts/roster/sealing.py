"""Seals the keys of an account file in their places: comments, quotes and layout stay."""

import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from django.views.decorators.debug import sensitive_variables

from accounts import vault
from accounts.roster.document import BadRoster, Complaint, decode
from accounts.roster.files import read_whole
from accounts.roster.reading import KEYS, Policy, RosterAccount, is_plain, parse
from accounts.roster.references import resolve

# What may not be used may still be sealed.
_ANYTHING = Policy(allow_live=True, plain_refused=None)


@dataclass(frozen=True, slots=True)
class Sealing:
    """What sealing a file does: how many values, and the text it leads to."""

    values: int
    text: str


@dataclass(frozen=True, slots=True)
class _Value:
    """One key of the file that is to be sealed: where it stands, and what takes its place."""

    span: tuple[int, int]
    sealed: str


def plain_values(path: Path) -> int:
    """Count the keys that stand in clear in a file. Raises BadRoster, OSError."""
    accounts = parse(_read(path), _ANYTHING)
    return sum(is_plain(getattr(account, name)) for account in accounts for name in KEYS)


def seal_file(
    path: Path, *, environ: Mapping[str, str], everything: bool = False, dry_run: bool = False
) -> int:
    """Seal the plain keys of a file, and those under an older master key; returns how many.

    everything: also what `env:` and `file:` name, so that the file is enough by itself. The new
    file replaces the old one at once, with its mode and owner; a link stays, its target is
    replaced. Raises BadRoster, OSError, and vault.BadKeyRing.
    """
    target = path.resolve(strict=True)
    before = target.stat()
    raw = _read(target)
    sealing = seal(raw, environ=environ, folder=path.parent, everything=everything)
    if sealing.values and not dry_run:
        _replace(target, sealing.text.encode(), before)
    return sealing.values


@sensitive_variables()
def seal(raw: bytes, *, environ: Mapping[str, str], folder: Path, everything: bool) -> Sealing:
    """Seal the keys in the text of a file. Raises BadRoster."""
    accounts = parse(raw, _ANYTHING)
    clear = resolve(accounts, environ=environ, folder=folder)
    values = [
        value
        for account, opened in zip(accounts, clear, strict=True)
        for name in KEYS
        if (value := _value(account, opened, name, everything=everything)) is not None
    ]
    text = _replaced(decode(raw), values)
    # What is written over was the only copy: the new text must say the same.
    if resolve(parse(text.encode(), _ANYTHING), environ=environ, folder=folder) != clear:
        raise BadRoster([Complaint(1, "", "it cannot be sealed in place: seal it by hand")])
    return Sealing(len(values), text)


def _value(
    account: RosterAccount, opened: RosterAccount, name: str, *, everything: bool
) -> _Value | None:
    written: str = getattr(account, name)
    span: tuple[int, int] | None = getattr(account.lines, f"{name}_span")
    is_old = written.startswith(vault.SEALED) and not vault.is_under_current_key(written)
    if span is None or not (is_plain(written) or is_old or _is_named(written, everything)):
        return None
    clear = getattr(opened, name)
    return _Value(span, vault.seal_value(clear, account_id=account.account_id, field=name))


def _is_named(written: str, everything: bool) -> bool:  # noqa: FBT001 - private
    return everything and written.startswith(("env:", "file:"))


def _replaced(text: str, values: Sequence[_Value]) -> str:
    # From the end on: what stands before keeps its place.
    for value in sorted(values, key=lambda value: value.span, reverse=True):
        start, end = value.span
        text = f'{text[:start]}"{value.sealed}"{text[end:]}'
    return text


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return read_whole(file)


def _replace(target: Path, raw: bytes, before: os.stat_result) -> None:
    """Put new bytes in a file's place, whole or not at all.

    Raises BadRoster where somebody else wrote it since `before`.
    """
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        _write(fresh, raw, before)
        now = target.stat()
        if (now.st_ino, now.st_mtime_ns) != (before.st_ino, before.st_mtime_ns):
            raise BadRoster([Complaint(1, "", "the file was changed meanwhile: seal it again")])
        fresh.replace(target)
    finally:
        fresh.unlink(missing_ok=True)


def _write(path: Path, raw: bytes, like: os.stat_result) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with open(os.open(path, flags, 0o600), "wb") as file:  # noqa: PTH123 - private from the start
        file.write(raw)
        file.flush()
        os.fsync(file.fileno())
        os.fchmod(file.fileno(), stat.S_IMODE(like.st_mode))
        if (like.st_uid, like.st_gid) != (os.geteuid(), os.getegid()):
            os.fchown(file.fileno(), like.st_uid, like.st_gid)
