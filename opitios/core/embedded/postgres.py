"""Postgres from its wheel: a cluster made once, described as a supervised program."""

import os
import shutil
import signal
import subprocess  # of our own commands only # nosec B404
from collections.abc import Mapping
from pathlib import Path

import psycopg

from opitios.core.embedded import processes
from opitios.core.embedded.homes import Home, HomeError
from opitios.core.embedded.program import Program, tied

SUPERUSER = "postgres"

# pginstall18 of the wheel.
_MAJOR = "18"

# Durable as in production: an acknowledged commit survives kill -9 and a power cut.
DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}

# Connections: 16 for each of a few web workers, desks and tools; memory small beside the clients'.
_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # A refused statement is logged without its text, which may hold what a client sent.
    "log_min_error_statement": "panic",
}

# A fast shutdown writes a checkpoint; an immediate one leaves that to the next start. Seconds.
_STOPS = ((signal.SIGINT, 20.0), (signal.SIGQUIT, 5.0))

# A killed process is gone at once, unless it waits for the disk. Seconds.
_QUIT_SECONDS = 10.0


def url(home: Home, password: str, database: str = "postgres") -> str:
    """The superuser's URL, over the server's Unix socket."""
    return f"postgresql://{SUPERUSER}:{password}@/{database}?host={home.sockets}"


def make_cluster(home: Home, *, password: str, environment: Mapping[str, str]) -> None:
    """Make the data folder where it is not there yet; whole, or not at all.

    Raises HomeError where initdb fails, with its words, or where the data are of another version.
    """
    data = _data(home)
    if data.exists():
        _check_version(data)
        return
    fresh = data.with_name("postgres.new")
    if fresh.exists():
        shutil.rmtree(fresh)
    _initdb(home, fresh, password=password, environment=environment)
    fresh.rename(data)


def program(
    home: Home,
    *,
    log: Path,
    environment: Mapping[str, str],
    settings: Mapping[str, str] = DURABLE,
) -> Program:
    """Describe the server. It speaks on a Unix socket in the home's socket folder only."""
    chosen = {"unix_socket_directories": str(home.sockets), **_SETTINGS, **settings}
    options = [part for name, value in chosen.items() for part in ("-c", f"{name}={value}")]
    return Program(
        name="postgres",
        argv=(str(home.postgres), "-D", str(_data(home)), *options),
        # Its own folder: the user it runs as may be unable to see the clone.
        folder=home.data,
        log=log,
        environment=_plain(environment),
        account=home.account,
        stops=_STOPS,
        # Without a supervisor nobody waits for a checkpoint; crash recovery is exact.
        death_signal=signal.SIGQUIT,
    )


def answers(server_url: str) -> bool:
    """Whether the server takes a connection."""
    try:
        psycopg.connect(server_url, connect_timeout=1).close()
    except psycopg.OperationalError:
        return False
    return True


def recover(home: Home) -> None:
    """End a server that a killed supervisor left on these data, and forget its lock files.

    Postgres itself refuses to start while any process carries the number in its lock file.
    Raises HomeError where an old process does not go away.
    """
    data = _data(home)
    if not processes.stop_all(processes.working_in(data), seconds=_QUIT_SECONDS):
        raise HomeError(f"an old Postgres still works in {data}: end it, then try again.")
    for lock in (data / "postmaster.pid", *home.sockets.glob(".s.PGSQL.*")):
        lock.unlink(missing_ok=True)


def _data(home: Home) -> Path:
    return home.data / "postgres"


def _check_version(data: Path) -> None:
    found = (data / "PG_VERSION").read_text().strip()
    if found != _MAJOR:
        raise HomeError(f"{data} holds data of Postgres {found}, this is {_MAJOR}: `make clean`.")


def _initdb(home: Home, target: Path, *, password: str, environment: Mapping[str, str]) -> None:
    file = target.with_name("password")
    file.write_text(password)
    if home.account:
        os.chown(file, home.account.uid, home.account.gid)
    command = [
        str(home.postgres.with_name("initdb")),
        f"--pgdata={target}",
        f"--username={SUPERUSER}",
        f"--pwfile={file}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C",
        # Sorting and case rules from Postgres itself: equal on every machine.
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--no-instructions",
    ]
    done = subprocess.run(  # noqa: S603 - the wheel's own binary # nosec B603
        tied(command, account=home.account),
        cwd=home.data,
        env=_plain(environment),
        check=False,
        capture_output=True,
        text=True,
    )
    file.unlink()
    if done.returncode != 0:
        raise HomeError(f"initdb failed: {done.stderr.strip()}")


def _plain(environment: Mapping[str, str]) -> dict[str, str]:
    """The server's environment: no secret of ours, no locale, no PG* setting of the user's."""
    kept = {name: environment[name] for name in ("PATH", processes.MARK) if name in environment}
    return {**kept, "LC_ALL": "C", "TZ": "UTC"}
