"""Postgres and Redis for a test session: real servers, one database and one Redis a worker.

The process called `pytest` owns them, its xdist workers get URLs; when it dies, so do they.
`DATABASE_URL` and `REDIS_URL` name servers to use instead.
"""

import fcntl
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from opitios.core.embedded import homes, ports, postgres, processes, redis, roles
from opitios.core.embedded.program import Child, Program
from opitios.core.embedded.runfolder import RunFolder
from tests.support.crowd import patient

ROOT = Path(__file__).resolve().parents[2]
CLONE = RunFolder(ROOT).key
FOLDER = "opitios-tests-"

# Test data need not survive a power cut; what a commit means stays as in production.
QUICK = {"fsync": "off", "full_page_writes": "off"}

# A server from a wheel starts in half a second; a loaded machine may take its time. Seconds.
START_SECONDS = patient(30.0)

MIGRATED_AT_MOST = 3


@dataclass(frozen=True, slots=True)
class Session:
    """What a worker needs to know of the session's servers; plain text, so that it travels."""

    folder: str
    key: str
    server_url: str
    redis_url: str
    owner_password: str
    application_password: str

    @property
    def names(self) -> roles.Names:
        """The session's logins, and the template every worker's database is a copy of."""
        return roles.Names.of(self.key)

    def owner_url(self, database: str) -> str:
        """The owner's login."""
        user, password = self.names.owner, self.owner_password
        return roles.login_url(self.server_url, user=user, password=password, database=database)

    def application_url(self, database: str) -> str:
        """The login every process uses."""
        user, password = self.names.application, self.application_password
        return roles.login_url(self.server_url, user=user, password=password, database=database)


class Servers:
    """The session's servers, started and ended by the process that owns the session."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        # Beside the clone's hash: sessions of one clone may run at once on one server.
        self._key = f"{CLONE}_t{secrets.token_hex(3)}"
        self._folder = Path(tempfile.gettempdir()) / f"{FOLDER}{self._key}"
        self._children: list[Child] = []
        self._home: homes.Home | None = None
        self._lock: IO[bytes] | None = None
        self._server_url = environment.get("DATABASE_URL", "")
        self._passwords = roles.Passwords(secrets.token_urlsafe(18), secrets.token_urlsafe(18))
        self._ports: set[int] = set()
        self._logins_made = False

    def start(self) -> None:
        """Start what the environment does not name, and make the logins.

        Raises ServerError or HomeError, saying what to do.
        """
        # A background job's children ignore it, and are ended by it.
        signal.signal(signal.SIGQUIT, signal.SIG_DFL)
        self._lock = _claimed_folder(self._folder)
        if not (self._server_url and "REDIS_URL" in self._environment):
            self._home = homes.choose(self._folder, key=self._home_key)
        if not self._server_url:
            self._server_url = self._start_postgres()
        roles.ensure(self._server_url, roles.Names.of(self._key), self._passwords)
        self._logins_made = True
        sweep(self._environment.get("DATABASE_URL"))

    def session(self, worker: str) -> Session:
        """The session as this worker sees it; its Redis is its own."""
        return Session(
            folder=str(self._folder),
            key=self._key,
            server_url=self._server_url,
            redis_url=self._redis_for(worker),
            owner_password=self._passwords.owner,
            application_password=self._passwords.application,
        )

    def stop(self) -> None:
        """End the servers and delete what the session made."""
        if self._logins_made and self._environment.get("DATABASE_URL"):
            _drop_all(self._server_url, self._key)
        for child in self._children:
            child.signal(signal.SIGQUIT)
        for child in self._children:
            processes.wait_for(partial(_is_gone, child), START_SECONDS)
            child.bury()
        if self._home:
            homes.remove(self._folder, key=self._home_key)
        if self._lock:
            shutil.rmtree(self._folder)
            self._lock.close()

    @property
    def _home_key(self) -> str:
        return _home_key(self._key)

    def _start_postgres(self) -> str:
        assert self._home
        password = secrets.token_urlsafe(18)
        postgres.make_cluster(self._home, password=password, environment=self._environment)
        log = self._folder / "postgres.log"
        program = postgres.program(
            self._home, log=log, environment=self._environment, settings=QUICK
        )
        self._run(program)
        url = postgres.url(self._home, password)
        if not processes.wait_for(lambda: postgres.answers(url), START_SECONDS):
            raise RuntimeError(f"Postgres did not start: {log.read_text()}")
        return url

    def _redis_for(self, worker: str) -> str:
        given = self._environment.get("REDIS_URL")
        if given:
            # Sixteen databases are Redis' default; messages are still heard across them.
            number = int(worker.removeprefix("gw")) + 1 if worker != "main" else 0
            return urlsplit(given)._replace(path=f"/{number % 16}").geturl()
        return self._start_redis(worker)

    def _start_redis(self, worker: str) -> str:
        assert self._home
        port = ports.choose(None, key=secrets.token_hex(3), avoid=self._ports)
        self._ports.add(port)
        password = secrets.token_urlsafe(18)
        program = redis.program(
            self._home,
            config=self._folder / f"redis-{worker}.conf",
            log=self._folder / f"redis-{worker}.log",
            port=port,
            password=password,
            environment=self._environment,
        )
        self._run(program)
        url = redis.url(port, password)
        if not processes.wait_for(lambda: redis.answers(url), START_SECONDS):
            raise RuntimeError(f"Redis did not start: {program.log.read_text()}")
        return url

    def _run(self, program: Program) -> None:
        child = Child(program)
        child.start()
        self._children.append(child)


def _is_gone(child: Child) -> bool:
    return child.pid is None or not processes.is_alive(child.pid)


def worker_database(session: Session, worker: str) -> str:
    """The name of a worker's database."""
    return f"{session.names.database}_{worker}"


def make_database(session: Session, worker: str) -> None:
    """Copy the migrated template for a worker; the first to come migrates it."""
    name = worker_database(session, worker)
    with _only_one(Path(session.folder)):
        _migrate_template(session)
        with psycopg.connect(session.server_url, autocommit=True) as connection:
            names = session.names
            roles.ensure_database(connection, name, owner=names.owner, template=names.database)
            # Rights on a database are the one thing a copy does not carry.
            allow = sql.SQL("GRANT CONNECT ON DATABASE {} TO {}")
            connection.execute(
                allow.format(sql.Identifier(name), sql.Identifier(names.application))
            )


def drop_database(session: Session, worker: str) -> None:
    """Delete what `make_database` made."""
    name = sql.Identifier(worker_database(session, worker))
    with psycopg.connect(session.server_url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))


def sweep(server_url: str | None) -> None:
    """Delete what killed sessions of this clone left behind."""
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER}{CLONE}_t*"):
        if (lock := _abandoned(folder)) is None:
            continue
        key = folder.name.removeprefix(FOLDER)
        if server_url:
            _drop_all(server_url, key)
        homes.remove(folder, key=_home_key(key))
        shutil.rmtree(folder)
        lock.close()


def _migrate_template(session: Session) -> None:
    done = Path(session.folder) / "migrated"
    if done.exists():
        return
    database = session.names.database
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "opitios.settings",
        "DATABASE_URL": session.application_url(database),
        "DATABASE_OWNER_URL": session.owner_url(database),
    }
    # On a machine that is busy beyond measure its processes may miss Postgres at first.
    tries = (_migrate(environment) for _ in range(MIGRATED_AT_MOST))
    said = [each.stdout for each in takewhile(lambda each: each.returncode != 0, tries)]
    if len(said) == MIGRATED_AT_MOST:
        raise RuntimeError(f"the migrations failed:\n{said[-1]}")
    done.touch()


def _migrate(environment: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "manage.py", "migrate", "--no-input"],
        cwd=ROOT,
        env=environment,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _drop_all(server_url: str, key: str) -> None:
    names = roles.Names.of(key)
    with psycopg.connect(server_url, autocommit=True) as connection:
        found = connection.execute(
            "SELECT datname FROM pg_database WHERE datname LIKE %s", [f"{names.database}\\_%"]
        )
        for (database,) in found.fetchall():
            drop = sql.SQL("DROP DATABASE {} WITH (FORCE)")
            connection.execute(drop.format(sql.Identifier(database)))
    roles.drop(server_url, names)


def _claimed_folder(folder: Path) -> IO[bytes] | None:
    """Make a session's folder; under its name it is never seen unclaimed."""
    fresh = Path(tempfile.mkdtemp(prefix="opitios-new-"))
    lock = _claim(homes.make_folder(fresh))
    fresh.rename(folder)
    return lock


def _abandoned(folder: Path) -> IO[bytes] | None:
    """Hold a folder of ours whose owner was killed; None where there is no such thing to sweep."""
    try:
        return _claim(folder) if folder.lstat().st_uid == os.geteuid() else None
    except FileNotFoundError:
        # Its owner has just ended in order.
        return None


def _claim(folder: Path) -> IO[bytes] | None:
    """Hold a session's folder for as long as the file stays open; None where its owner lives."""
    file = (folder / "session.lock").open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    with (folder / "template.lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _home_key(key: str) -> str:
    # Hex digits only: a home's key also spreads ports.
    return key.replace("_t", "")


def as_input(session: Session) -> dict[str, str]:
    """The session as xdist carries it to a worker."""
    return asdict(session)
