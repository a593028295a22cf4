"""Postgres from its wheel: durable, closed, and back after a kill -9."""

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from opitios.core.embedded import homes, postgres, processes
from opitios.core.embedded.homes import Home, HomeError
from opitios.core.embedded.program import Child
from tests.operator.conftest import PATIENCE

PASSWORD = "only-for-this-test"  # noqa: S105 - of a server that lives as long as the test


@dataclass
class Server:
    """A server of the test's own."""

    home: Home
    child: Child

    @property
    def url(self) -> str:
        return postgres.url(self.home, PASSWORD)

    def start(self) -> None:
        self.child.start()
        assert processes.wait_for(lambda: postgres.answers(self.url), PATIENCE)

    def kill(self) -> None:
        """End it as `kill -9` of the whole machine's memory would: no goodbye to anybody."""
        self.child.signal(signal.SIGKILL)
        assert processes.wait_for(lambda: not processes.is_alive(self.child.pid or 0), PATIENCE)
        self.child.bury()

    def run(self, statement: bytes) -> tuple[object, ...] | None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchone() if cursor.description else None


@pytest.fixture
def server(open_folder: Path) -> Iterator[Server]:
    folder = open_folder
    key = secrets.token_hex(6)
    home = homes.choose(folder, key=key)
    postgres.make_cluster(home, password=PASSWORD, environment=os.environ)
    log = folder / "postgres.log"
    server = Server(home, Child(postgres.program(home, log=log, environment=os.environ)))
    server.start()
    yield server
    if server.child.pid:
        server.kill()
    postgres.recover(home)
    homes.remove(folder, key=key)


def test_an_acknowledged_commit_is_durable(server: Server) -> None:
    shown = [server.run(f"SHOW {name}".encode()) for name in postgres.DURABLE]

    assert shown == [("on",)] * len(postgres.DURABLE)


def test_it_listens_on_no_network_and_lets_nobody_in_without_the_password(server: Server) -> None:
    wrong = server.url.replace(PASSWORD, "guessed")

    assert server.run(b"SHOW listen_addresses") == ("",)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(wrong)


def test_as_root_it_runs_as_somebody_else(server: Server, as_root: None) -> None:
    owner = Path(f"/proc/{server.child.pid}").stat().st_uid

    assert owner == homes.UNPRIVILEGED.uid


def test_what_was_committed_is_there_after_a_kill(server: Server) -> None:
    server.run(b"CREATE TABLE kept AS SELECT 42 AS answer")

    server.kill()
    postgres.recover(server.home)
    server.start()

    assert server.run(b"SELECT answer FROM kept") == (42,)


def test_a_server_without_a_supervisor_is_ended_before_the_next_one_starts(server: Server) -> None:
    orphan = server.child.pid or 0

    postgres.recover(server.home)
    server.child.bury()
    server.start()

    assert server.child.pid != orphan
    assert not processes.is_alive(orphan)


def test_a_lock_file_with_the_number_of_a_stranger_keeps_nothing_from_starting(
    server: Server,
) -> None:
    server.kill()
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as stranger:
        lock = server.home.data / "postgres" / "postmaster.pid"
        lines = lock.read_text().splitlines()
        lock.write_text("\n".join([str(stranger.pid), *lines[1:]]))

        postgres.recover(server.home)
        server.start()

        assert processes.is_alive(stranger.pid)
        stranger.kill()


def test_an_interrupted_initdb_is_begun_anew(server: Server) -> None:
    server.kill()
    data = server.home.data / "postgres"
    data.rename(data.with_name("postgres.new"))

    postgres.make_cluster(server.home, password=PASSWORD, environment=os.environ)
    server.start()

    assert not data.with_name("postgres.new").exists()


def test_data_of_another_version_are_refused_and_left_alone(server: Server) -> None:
    server.kill()
    version = server.home.data / "postgres" / "PG_VERSION"
    version.write_text("16\n")

    with pytest.raises(HomeError, match="data of Postgres 16"):
        postgres.make_cluster(server.home, password=PASSWORD, environment=os.environ)

    assert (version.parent / "global").exists()
