"""The folder `.run`: what a run of this clone keeps, readable by nobody else."""

import base64
import fcntl
import hashlib
import json
import os
import secrets
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import IO, Any

# struct flock on x86-64: type, whence, start, length, process id (fcntl(2)).
_FLOCK = "hhqqi4x"


class RunFolderError(Exception):
    """The folder cannot be used; the text says what to do."""


@dataclass(frozen=True, slots=True)
class RunSecrets:
    """What is generated once and kept: passwords and keys, none of which a shell needs quoted."""

    secret_key: str
    master_key: str
    jwt_key: str
    postgres: str
    owner: str
    application: str
    redis: str
    staff: str


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Where each file of a run is. `root` is the clone."""

    root: Path

    @property
    def path(self) -> Path:
        """The folder itself."""
        return self.root / ".run"

    @property
    def logs(self) -> Path:
        """One log a process."""
        return self.path / "logs"

    @property
    def settings(self) -> Path:
        """What `manage.py` reads when a person runs it by hand."""
        return self.path / "settings.env"

    @property
    def handout(self) -> Path:
        """URLs, staff login and tokens; there while a run is ready."""
        return self.path / "opitios.env"

    @property
    def state(self) -> Path:
        """What the supervisor says of itself."""
        return self.path / "state.json"

    @property
    def key(self) -> str:
        """Twelve hex digits that name this clone on the machine."""
        return hashlib.sha256(str(self.root.resolve()).encode()).hexdigest()[:12]

    def prepare(self) -> None:
        """Make the folder. Others may pass through it to what is theirs, and list nothing.

        Raises RunFolderError where it belongs to another user.
        """
        self.path.mkdir(mode=0o711, exist_ok=True)
        owner = self.path.stat().st_uid
        if owner != os.geteuid():
            raise RunFolderError(
                f"{self.path} belongs to user {owner}, and you are {os.geteuid()}: "
                "run as that user, or let that user run `make clean` first."
            )
        self.path.chmod(0o711)
        self.logs.mkdir(mode=0o700, exist_ok=True)

    def log(self, name: str) -> Path:
        """The log of a process."""
        return self.logs / f"{name}.log"

    def secrets(self) -> RunSecrets:
        """Read the run's secrets, making those that are missing.

        Raises RunFolderError where the file is not what was written.
        """
        path = self.path / "secrets.json"
        kept = read_json(path)
        names = [entry.name for entry in fields(RunSecrets)]
        if unknown := set(kept) - set(names):
            raise RunFolderError(f"{path} holds unknown keys {sorted(unknown)}: remove them.")
        found = RunSecrets(**{name: kept.get(name) or _new(name) for name in names})
        if asdict(found) != kept:
            write_private(path, json.dumps(asdict(found), indent=1))
        return found

    def lock(self) -> IO[str] | None:
        """Become the one supervisor of this clone, for as long as the file stays open.

        None where another is. The kernel gives the lock back however its holder dies.
        """
        file = os.fdopen(os.open(self._pid_file, os.O_RDWR | os.O_CREAT, 0o600), "r+")
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            file.close()
            return None
        file.truncate()
        file.write(f"{os.getpid()}\n")
        file.flush()
        return file

    def supervisor(self) -> int | None:
        """The process id of the running supervisor, or None.

        The kernel's word, not the file's: a number written down may be somebody else's by now.
        """
        if not self._pid_file.exists():
            return None
        with self._pid_file.open("r+") as file:
            asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            kind, _, _, _, pid = struct.unpack(_FLOCK, fcntl.fcntl(file, fcntl.F_GETLK, asked))
        return None if kind == fcntl.F_UNLCK else int(pid)

    @property
    def _pid_file(self) -> Path:
        return self.path / "supervisor.pid"


def _new(name: str) -> str:
    if name == "master_key":
        # Exactly an AES-256 key, as the vault reads it.
        return base64.b64encode(secrets.token_bytes(32)).decode()
    return secrets.token_urlsafe(36)


def read_json(path: Path) -> dict[str, Any]:
    """Read an object from a file; {} where there is none.

    Raises RunFolderError where the file holds anything else.
    """
    if not path.exists():
        return {}
    try:
        value = json.loads(path.read_text())
    except ValueError as error:
        raise RunFolderError(f"{path} is damaged ({error}): remove it, or `make clean`.") from error
    if not isinstance(value, dict):
        raise RunFolderError(f"{path} is damaged (no object): remove it, or `make clean`.")
    return value


def write_private(path: Path, text: str) -> None:
    """Put a file in place whole, mode 0600: a reader sees the old one or the new one."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def env_text(values: Mapping[str, str]) -> str:
    """Write KEY=value lines. Raises ValueError for a value that would not be read back as it is."""
    for name, value in values.items():
        if any(sign in value for sign in "\n\r\0'"):
            raise ValueError(f"{name} holds a character that a .env file cannot carry")
    return "".join(f"{name}={_quoted(value)}\n" for name, value in values.items())


def read_env(path: Path) -> dict[str, str]:
    """Read what `env_text` wrote; {} where there is no file."""
    if not path.exists():
        return {}
    pairs = (line.partition("=") for line in path.read_text().splitlines() if line)
    return {name: value.strip("'") for name, _, value in pairs}


def _quoted(value: str) -> str:
    # python-dotenv expands ${…} and cuts at " #" outside single quotes.
    return f"'{value}'" if any(sign in value for sign in ' #$"\\') else value
