"""Every serving process obeys its start-up checks: one line, a truthful exit code, or not ready."""

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import psycopg
import pytest
import requests
from psycopg import sql

from opitios.core.startup import EX_CONFIG
from opitios.management.stack import stream_command
from tests.matrix.nodes import Node, Web, running
from tests.startup.test_the_database import application
from tests.support.accounts import token
from tests.support.until import until
from tests.trading.retry_path import BEAT, WORKER

pytestmark = [
    pytest.mark.django_db, pytest.mark.journeys, pytest.mark.usefixtures("own_database"),
]  # fmt: skip

WEAK = {"SECRET_KEY": "CANARY-weak"}
# On any port: nobody asks it anything.
STREAM = stream_command(0)


def refusals_of(node: Node) -> list[dict[str, Any]]:
    """The lines in which it said why it does not start."""
    lines = [json.loads(each) for each in node.log.read_text().splitlines() if each[:1] == "{"]
    return [line for line in lines if line["event"] == "start refused"]


def test_no_serving_process_starts_with_a_weak_key(tmp_path: Path) -> None:
    nodes = {
        "desk": Node("desk", ("manage.py", "desk"), tmp_path, WEAK),
        "market": Node("market", ("manage.py", "listen_market"), tmp_path, WEAK),
        "stream": Node("stream", STREAM, tmp_path, WEAK),
        "worker": Node("worker", WORKER, tmp_path, WEAK),
        "beat": Node("beat", BEAT, tmp_path, WEAK),
        "web": Web(tmp_path, SECRET_KEY=WEAK["SECRET_KEY"]),
    }
    with running(*nodes.values()):
        codes = {role: node.ended() for role, node in nodes.items()}

    # granian tries its worker again, and then ends with a code of its own.
    ours = ("desk", "market", "stream", "worker", "beat")
    assert codes == dict.fromkeys(ours, EX_CONFIG) | {"web": 1}
    for role, node in nodes.items():
        lines = refusals_of(node)
        assert {line["id"] for line in lines} == {"opitios.E001"}
        assert len(lines) == 1 or role == "web"
        assert all(line["remedy"] for line in lines)
        assert "CANARY" not in node.log.read_text()
        assert "Traceback" not in node.log.read_text()


def test_a_database_that_comes_later_is_judged_when_it_comes(
    tmp_path: Path, server_url: str
) -> None:
    there = urlsplit(server_url)
    folder = parse_qs(there.query)["host"][0]
    link = tmp_path / "sockets"
    later = there._replace(
        path=urlsplit(os.environ["DATABASE_URL"]).path, query=urlencode({"host": str(link)})
    )
    # A superuser: wrong, but nobody can know before Postgres answers.
    node = Node("stream", STREAM, tmp_path, {"DATABASE_URL": later.geturl()})

    with running(node):
        until(lambda: "not judged yet" in node.log.read_text(), seconds=60)
        until(lambda: "the stream process is ready" in node.log.read_text(), seconds=60)
        link.symlink_to(folder)
        code = node.ended()

    assert code == EX_CONFIG
    (line,) = refusals_of(node)
    assert line["id"] == "accounts.E003"
    assert "is a superuser" in line["found"]


@pytest.fixture
def skewed(server_url: str) -> Iterator[None]:
    """For the application's login, the database's clock is far ahead of everybody's.

    By more than a crowded machine takes to read it: what that leaves in doubt is nobody's fault.
    """
    url = urlsplit(server_url)._replace(path=urlsplit(os.environ["DATABASE_URL"]).path).geturl()
    with psycopg.connect(url, autocommit=True) as connection, ExitStack() as after:
        connection.execute(
            "CREATE SCHEMA skewed;"
            " CREATE FUNCTION skewed.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS"
            " $$ SELECT pg_catalog.clock_timestamp() + interval '10 seconds' $$"
        )
        grant = sql.SQL("GRANT USAGE ON SCHEMA skewed TO {}")
        connection.execute(grant.format(application()))
        change = sql.SQL("ALTER ROLE {} IN DATABASE {} ").format(
            application(), sql.Identifier(connection.info.dbname)
        )
        connection.execute(change + sql.SQL("SET search_path = skewed, pg_catalog, public"))
        after.callback(connection.execute, change + sql.SQL("RESET search_path"))
        yield


def is_open(origin: str) -> bool:
    """Whether anybody listens there."""
    try:
        return requests.get(f"{origin}/health/live", timeout=2).ok
    except requests.RequestException:
        return False


@pytest.mark.usefixtures("skewed")
def test_g23_a_process_whose_clock_is_off_is_alarmed_and_not_ready(tmp_path: Path) -> None:
    web = Web(tmp_path)

    with running(web):
        until(lambda: "accounts loaded" in web.log.read_text() and is_open(web.origin), seconds=60)
        answer = requests.get(f"{web.origin}/health/ready", timeout=60)
        bearer = {"Authorization": f"Bearer {token([], permissions=['monitor'])}"}
        health = requests.get(f"{web.origin}/api/v1/health", headers=bearer, timeout=60).json()

    assert (answer.status_code, answer.json()) == (503, {"status": "not-ready"})
    assert health["components"]["clock"] == "off"
    assert health["components"]["postgres"] == "up"
    lines = [json.loads(each) for each in web.log.read_text().splitlines() if each[:1] == "{"]
    assert "opitios.W003" in {line.get("id") for line in lines}
    # An alarm that lasts is told again.
    alarm, *_ = [line for line in lines if line["event"] == "the clock is off"]
    assert 8000 < alarm["offset_ms"] < 12000
