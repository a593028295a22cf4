"""A web server or its client is cut off in mid-request: the same key is the way back (G1, G5)."""

import json
import socket
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
import requests

from opitios.core import clock
from tests.api.calls import GOOD
from tests.matrix.nodes import Caller, Web, running
from tests.support.orders import kinds, soon
from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until
from tests.trading.desks import running_desk
from tests.trading.test_desk_sends import held
from trading import queries

pytestmark = [pytest.mark.django_db, pytest.mark.journeys]

# Linger on, for zero seconds: closing such a socket sends RST.
RST = struct.pack("ii", 1, 0)


@pytest.fixture(scope="module")
def webs(
    django_db_setup: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Web, Web]]:
    """Two web servers over one database."""
    folder = tmp_path_factory.mktemp("webs")
    one, other = Web(folder), Web(folder)
    with running(one, other):
        one.wait_until_ready()
        other.wait_until_ready()
        yield one, other


@pytest.fixture
def caller(account: str, webs: tuple[Web, Web]) -> Caller:
    """A client of an account whose broker nobody is."""
    return known_to(account, webs)


def known_to(account_id: str, webs: tuple[Web, Web]) -> Caller:
    """A client of an account that both servers know."""
    made = Caller(account_id)
    for web in webs:
        until(lambda web=web: made.is_known_to(web))  # type: ignore[misc]
    return made


@pytest.mark.parametrize("part", ["half the head", "the head", "half the body"])
def test_c00_a_client_cut_off_while_it_writes_has_placed_nothing(
    caller: Caller, webs: tuple[Web, Web], part: str
) -> None:
    web, body = webs[0], json.dumps(GOOD)
    lines = [f"{name}: {value}" for name, value in caller.headers("k").items()]
    head = "\r\n".join([f"POST {caller.path} HTTP/1.1", "Host: 127.0.0.1", *lines])
    whole = f"{head}\r\nContent-Length: {len(body)}\r\n\r\n"
    written = {
        "half the head": head[: len(head) // 2],
        "the head": whole,
        "half the body": whole + body[: len(body) // 2],
    }[part]

    with socket.create_connection(("127.0.0.1", web.port), timeout=60) as client:
        client.sendall(written.encode())
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST)

    # The key is as new as ever: nothing of the first try was kept.
    answer = caller.place(web, "k", GOOD)
    assert answer.status_code == 202
    assert "Idempotent-Replayed" not in answer.headers
    assert kinds(caller.account_id) == ["order.queued"]


@pytest.mark.parametrize(
    ("failpoint", "stored"), [("accept-before", 0), ("accept-after", 1)], ids=["c01", "c02"]
)
def test_c01_c02_a_web_server_killed_around_its_commit_leaves_one_order(
    sandbox: SandboxProcess,
    trading_account: str,
    webs: tuple[Web, Web],
    tmp_path: Path,
    failpoint: str,
    stored: int,
) -> None:
    caller = known_to(trading_account, webs)
    body = {**GOOD, "not_after": clock.rfc3339(soon(250))}
    mortal = Web(tmp_path, OPITIOS_FAILPOINTS=f"{failpoint}=1")
    with running(mortal):
        mortal.wait_until_ready()

        with pytest.raises(requests.ConnectionError):
            caller.place(mortal, "k", body)

    before = queries.orders_where("account_id = %s", (trading_account,))
    assert len(before) == stored
    retried = caller.place(webs[0], "k", body)
    assert retried.status_code == 202
    assert retried.headers.get("Idempotent-Replayed") == ("true" if stored else None)
    [row] = queries.orders_where("account_id = %s", (trading_account,))
    assert retried.json()["id"] == str(row["id"])
    assert before in ([], [row])
    # It is sent, and nothing beside it.
    with running_desk(trading_account) as desk:
        desk.wait_for(row, "filled")
    assert [each["client_order_id"] for each in held(sandbox, trading_account)] == [
        row["client_order_id"]
    ]


@pytest.mark.races
def test_c31_one_key_at_two_servers_fifty_times_at_once_is_one_order(
    caller: Caller, webs: tuple[Web, Web]
) -> None:
    together = Barrier(50)

    def told(number: int) -> list[requests.Response]:
        answer = caller.place(webs[number % 2], "k", GOOD)
        # Servers that have just started may be too slow for fifty: who hears so comes again.
        return [] if answer.status_code == 503 else [answer]

    def call(number: int) -> requests.Response:
        together.wait(60)
        return until(lambda: told(number))[0]

    with ThreadPoolExecutor(50) as threads:
        answers = list(threads.map(call, range(50)))

    assert {answer.status_code for answer in answers} <= {202, 409}
    accepted = [answer.content for answer in answers if answer.status_code == 202]
    assert len(set(accepted)) == 1
    assert kinds(caller.account_id) == ["order.queued"]
