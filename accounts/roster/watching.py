"""Follows the account file: says when it, or a key file that it names, has changed."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

# Every `file:…` of the text. One that stands in a comment is looked at for nothing.
_NAMED = re.compile(rb"file:([^\x00\n\"',}#]+)")

# What tells one state of a file from another; None: it is not there, or out of reach.
Stamp = tuple[int, int, int] | None


@dataclass(slots=True)
class Watch:
    """One followed file. `look` often: it says once of each change that the file may be read.

    A change counts when two looks in a row found the same: a file that is being written is left
    alone until its writer is done.
    """

    path: Path
    _named: tuple[Path, ...] = ()
    _file: Stamp = None
    _seen: tuple[Stamp, ...] = ()
    _told: tuple[Stamp, ...] | None = field(default=None)

    def look(self) -> bool:
        """Say whether there is something new to import."""
        self._find_named()
        now = (self._file, *map(stamp, self._named))
        is_still = now == self._seen
        self._seen = now
        if not is_still or now == self._told:
            return False
        self._told = now
        return True

    def again(self) -> None:
        """Let the next look tell of the present state again: it could not be used for now."""
        self._told = None

    def _find_named(self) -> None:
        found = stamp(self.path)
        if found != self._file:
            self._file = found
            self._named = tuple(_paths(_NAMED.findall(_bytes(self.path)), self.path.parent))


def stamp(path: Path) -> Stamp:
    """What tells one state of a file from another; of a link: its target's."""
    try:
        about = path.stat()
    except OSError:
        return None
    # The change time moves with the mode, too: a file that may be read now is worth a look.
    return about.st_ino, about.st_size, about.st_ctime_ns


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        # The import that follows says why.
        return b""


def _paths(names: Iterable[bytes], folder: Path) -> Iterable[Path]:
    return (folder / name.decode("utf-8", "replace").strip() for name in sorted(set(names)))
