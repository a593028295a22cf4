"""Redis from its wheel: behind a password, and nothing kept."""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis as client

from opitios.core.embedded import homes, ports, processes, redis
from opitios.core.embedded.program import Child
from tests.operator.conftest import PATIENCE

PASSWORD = "only-for-this-test"  # noqa: S105 - of a server that lives as long as the test


@pytest.fixture
def child(open_folder: Path) -> Iterator[Child]:
    folder = open_folder
    key = secrets.token_hex(6)
    home = homes.choose(folder, key=key)
    program = redis.program(
        home,
        config=folder / "redis.conf",
        log=folder / "redis.log",
        port=ports.choose(None, key=key),
        password=PASSWORD,
        environment=os.environ,
    )
    child = Child(program)
    child.start()
    yield child
    child.bury()
    homes.remove(folder, key=key)


def port_of(child: Child) -> int:
    words = (child.program.stdin or Path()).read_text().split()
    return int(words[words.index("port") + 1])


def test_it_answers_to_the_password_alone(child: Child) -> None:
    port = port_of(child)
    assert processes.wait_for(lambda: redis.answers(redis.url(port, PASSWORD)), PATIENCE)

    assert not redis.answers(redis.url(port, "guessed"))
    assert not redis.answers(f"redis://{ports.HOST}:{port}/0")


def test_the_password_stands_on_no_command_line(child: Child) -> None:
    command = Path(f"/proc/{child.pid}/cmdline").read_bytes()

    assert PASSWORD.encode() not in command
    assert (child.program.stdin or Path()).stat().st_mode & 0o777 == 0o600


def test_nothing_is_kept_after_a_restart(child: Child) -> None:
    url = redis.url(port_of(child), PASSWORD)
    assert processes.wait_for(lambda: redis.answers(url), PATIENCE)
    with client.Redis.from_url(url) as connection:
        connection.set("hint", "1")

    child.bury()
    child.start()
    assert processes.wait_for(lambda: redis.answers(url), PATIENCE)

    with client.Redis.from_url(url) as connection:
        assert connection.keys() == []
