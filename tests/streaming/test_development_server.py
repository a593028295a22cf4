"""`manage.py runserver` is REST, pages and the socket in one process, under daphne."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from opitios.core.embedded import ports
from tests.streaming import orders
from tests.streaming.conftest import Token
from tests.streaming.stream_process import ROOT, Client
from tests.support.accounts import open_account
from tests.support.crowd import patient
from tests.support.until import until

pytestmark = [pytest.mark.django_db, pytest.mark.journeys]

CALL_SECONDS = patient(20)


@contextmanager
def runserver(folder: Path) -> Iterator[int]:
    """The command as somebody types it, and where it listens."""
    port = ports.choose(None, key=os.urandom(3).hex())
    environment = {name: value for name, value in os.environ.items() if name != "OPITIOS_ROLE"}
    log = folder / "runserver.log"
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "manage.py", "runserver", f"127.0.0.1:{port}", "--noreload"],
            cwd=ROOT,
            env=environment | {"OPITIOS_PROCESS": "runserver"},
            stdout=output,
            stderr=output,
        )
    try:
        until(lambda: process.poll() is not None or ports.listens(port), seconds=60)
        assert process.poll() is None, log.read_text()[-3000:]
        yield port
    finally:
        process.kill()
        process.wait()


def test_runserver_serves_rest_pages_and_the_socket(
    django_db_setup: None, tmp_path: Path, token: Token
) -> None:
    mine = open_account()
    bearer = token(mine)
    with runserver(tmp_path) as port:
        origin = f"http://127.0.0.1:{port}"

        def get(path: str) -> requests.Response:
            headers = {"Authorization": f"Bearer {bearer}"}
            return requests.get(f"{origin}{path}", headers=headers, timeout=CALL_SECONDS)

        until(lambda: get(f"/api/v1/accounts/{mine}/orders").ok, seconds=20)
        assert get("/api/v1/token").json()["subject"] == "bot-7"
        assert "Opitios" in get("/admin/login/").text
        assert get("/nothing/here").status_code == 404

        with Client(f"ws://127.0.0.1:{port}/ws/v1/stream", {}, None) as socket:
            assert socket.hears() == [{"T": "success", "msg": "connected"}]
            assert socket.asks(action="auth", token=bearer)[0]["msg"] == "authenticated"
            assert socket.follows(mine) == {mine: 0}
            orders.whole_life(mine)
            assert [socket.hears_next("order")["seq"] for _ in range(4)] == [1, 2, 3, 4]
