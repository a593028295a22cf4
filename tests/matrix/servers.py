"""Postgres and Redis of a test's own: to be killed, frozen and emptied without hurting others."""

import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from opitios.core.embedded import homes, ports, postgres, processes, redis, roles
from opitios.core.embedded.program import Child, Program
from opitios.core.embedded.runfolder import RunFolder
from tests.support import environment, services
from tests.support.until import until

START_SECONDS = 60.0
# The session's worker whose database and settings these are: the only one.
WORKER = "main"


class Server:
    """One server program, restarted by the test and not by a supervisor."""

    def __init__(self, program: Program, url: str) -> None:
        self.url = url
        self._child = Child(program)
        self._answers = postgres.answers if program.name == "postgres" else redis.answers

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._child.start()
        until(lambda: self._answers(self.url), seconds=START_SECONDS)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run it for a while, and kill whatever runs then."""
        try:
            self.start()
            yield
        finally:
            self.kill()

    def kill(self) -> None:
        """SIGKILL every process of it, so that none can put anything in order."""
        processes.stop_all(self._halted(), seconds=START_SECONDS)
        self._child.bury()

    def freeze(self) -> None:
        """Let it take connections, as the kernel does, and never answer."""
        for pid in self._halted():
            processes.send(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        for pid in self._halted():
            processes.send(pid, signal.SIGCONT)

    def _halted(self) -> list[int]:
        """Stop the process that starts the others, and name all of them.

        Each of Postgres' children leads a session of its own: no signal to a group reaches them.
        One that outlives its parent holds the memory they share, and the next server cannot start.
        """
        pid = self._child.pid
        if pid is None:
            return []
        processes.send(pid, signal.SIGSTOP)
        # A fork may be under way; once it stands still, its children are all there are.
        until(lambda: _stands_still(pid), seconds=START_SECONDS)
        return [pid, *processes.children_of(pid)]


def _stands_still(pid: int) -> bool:
    """Whether a process is stopped, or dead and not buried."""
    state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return state in {"T", "Z"}


@contextmanager
def _home() -> Iterator[homes.Home]:
    folder = homes.make_folder(Path(tempfile.mkdtemp(prefix="opitios-matrix-")))
    key = RunFolder(folder).key
    try:
        yield homes.choose(folder, key=key)
    finally:
        homes.remove(folder, key=key)
        shutil.rmtree(folder)


@contextmanager
def redis_server(folder: Path) -> Iterator[Server]:
    """An empty Redis."""
    password, port = secrets.token_urlsafe(18), ports.choose(None, key=secrets.token_hex(3))
    with _home() as home:
        program = redis.program(
            home,
            config=folder / "redis.conf",
            log=folder / "redis.log",
            port=port,
            password=password,
            environment=os.environ,
        )
        server = Server(program, redis.url(port, password))
        with server.running():
            yield server


class Database:
    """A durable Postgres with the gateway's tables in it, as in production."""

    def __init__(self, server: Server, session: services.Session) -> None:
        self.server = server
        self._session = session

    @property
    def settings(self) -> dict[str, str]:
        """What a process is told so that it works on this database."""
        return environment.settings(self._session, WORKER)

    @property
    def url(self) -> str:
        """The owner's login."""
        return self.settings["DATABASE_OWNER_URL"]

    def take_no_writes(self, *, on: bool) -> None:
        """Be read-only for everybody, from the next statement on."""
        with psycopg.connect(self.server.url, autocommit=True) as connection:
            value = "on" if on else "off"
            connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}".encode())
            connection.execute("SELECT pg_reload_conf()")


@contextmanager
def database_of_its_own(folder: Path) -> Iterator[Database]:
    """Make a cluster, the logins and the tables; leave nothing behind."""
    words = [secrets.token_urlsafe(18) for _ in range(3)]
    with _home() as home:
        postgres.make_cluster(home, password=words[0], environment=os.environ)
        program = postgres.program(home, log=folder / "postgres.log", environment=os.environ)
        server = Server(program, postgres.url(home, words[0]))
        with server.running():
            key = f"m{secrets.token_hex(3)}"
            roles.ensure(server.url, roles.Names.of(key), roles.Passwords(words[1], words[2]))
            session = services.Session(
                folder=str(folder),
                key=key,
                server_url=server.url,
                redis_url=os.environ["REDIS_URL"],
                owner_password=words[1],
                application_password=words[2],
            )
            services.make_database(session, WORKER)
            yield Database(server, session)
