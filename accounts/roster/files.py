"""From an account file on the disk to accounts with their keys in clear."""

import os
import stat
from collections.abc import Mapping
from io import FileIO
from pathlib import Path
from typing import BinaryIO

from accounts.roster.document import MAX_BYTES, BadRoster, Complaint
from accounts.roster.reading import Policy, RosterAccount, parse
from accounts.roster.references import resolve
from opitios.core.config import Config


def accounts_in(path: Path, *, config: Config, environ: Mapping[str, str]) -> list[RosterAccount]:
    """Read, judge and complete an account file.

    References to files are relative to the file's own folder. Raises BadRoster with everything
    that is wrong, and OSError where the file cannot be opened.
    """
    with path.open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        raw = read_whole(file)
    if mode & stat.S_IWOTH:
        raise BadRoster([Complaint(1, "", "everybody may write this file: chmod o-w")])
    return resolve(parse(raw, policy_of(config, mode)), environ=environ, folder=path.parent)


def policy_of(config: Config, mode: int) -> Policy:
    """Say what this installation allows a file with this mode to hold."""
    refusal = None
    if not config.debug:
        refusal = "keys stand in clear only for the sandbox: seal them with `manage.py seal FILE`"
    elif mode & stat.S_IRWXO:
        refusal = "keys stand in clear only where others cannot read the file: chmod 600"
    return Policy(allow_live=config.allow_live, plain_refused=refusal)


def read_whole(file: BinaryIO | FileIO) -> bytes:
    """Read an open file of at most MAX_BYTES. Raises BadRoster where it is written meanwhile."""
    before = os.fstat(file.fileno())
    if not stat.S_ISREG(before.st_mode):
        raise BadRoster([Complaint(1, "", "this is not a plain file")])
    raw = file.read(MAX_BYTES + 1)
    after = os.fstat(file.fileno())
    # Half a file can be valid YAML, and would disable every account of the other half.
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise BadRoster([Complaint(1, "", "the file is being written: import it when it is done")])
    return raw
