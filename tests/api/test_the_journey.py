"""From HTTP to fill through real processes: granian, a desk, Postgres, Redis and the sandbox."""

import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.api import processes
from tests.api.calls import GOOD, new_key
from tests.support.accounts import open_accounts, token
from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until
from tests.trading.desks import all_listen, only

pytestmark = [pytest.mark.django_db, pytest.mark.journeys]


class Caller:
    """A trader's program, on one keep-alive connection."""

    def __init__(self, origin: str, account: str) -> None:
        self.origin, self.orders = origin, f"{origin}/api/v1/accounts/{account}/orders"
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {token([account])}"

    def place(self, key: str, **changed: Any) -> requests.Response:
        headers = {"Idempotency-Key": key, **changed.pop("headers", {})}
        return self.session.post(
            f"{self.orders}/stocks", json=GOOD | changed, headers=headers, timeout=60
        )

    def get(self, rest: str) -> Any:
        return self.session.get(self.orders + rest, timeout=60).json()


@pytest.fixture
def caller(
    _django_db_helper: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Caller, SandboxProcess, str]]:
    folder: Path = tmp_path_factory.mktemp("journey")
    with SandboxProcess(folder / "sandbox") as sandbox:
        mine, theirs = open_accounts(2, url=sandbox.url)
        with only(mine, theirs), processes.web(folder) as origin, processes.desk(folder):
            # A market order waits ten seconds for being sent; a loaded machine starts slowly.
            until(lambda: all_listen(mine), seconds=60)
            one = Caller(origin, mine)
            yield one, sandbox, theirs
            one.session.close()


def test_an_order_goes_from_http_to_fill(caller: tuple[Caller, SandboxProcess, str]) -> None:
    me, sandbox, theirs = caller
    key = new_key()

    first = me.place(key, type="market", limit_price=None)
    again = me.place(key, type="market", limit_price=None)
    order = until(lambda: settled(me, first.json()["id"]), seconds=20)
    waited = me.place(new_key(), limit_price="1", headers={"Prefer": "wait=10"})
    canceled = me.session.delete(f"{me.orders}/{waited.json()['id']}", timeout=60)

    assert (first.status_code, again.status_code, again.content) == (202, 202, first.content)
    assert order["status"] == "filled"
    assert me.get(f"/{order['broker_order_id']}")["id"] == order["id"]
    assert me.get(f":by_client_order_id?client_order_id={order['client_order_id']}") == me.get(
        f"/{order['id']}"
    )
    assert len(sandbox.ledger(client_order_id=order["client_order_id"])) >= 1
    assert (waited.status_code, waited.headers["Preference-Applied"]) == (200, "wait=10")
    assert canceled.status_code == 202
    assert until(lambda: settled(me, waited.json()["id"]), seconds=20)["status"] == "canceled"
    assert [each["status"] for each in me.get("?status=all")["orders"]] == ["canceled", "filled"]
    foreign = me.session.get(me.orders.replace(me.orders.split("/")[-2], theirs), timeout=60)
    assert foreign.status_code == 404
    assert_raw_oddities_are_refused(me.origin)


def settled(me: Caller, order_id: str) -> Any:
    """The order, once it is final."""
    order = me.get(f"/{order_id}")
    return order if order["final"] else None


def received(sock: socket.socket) -> bytes:
    """What came back; nothing where the connection was reset."""
    with suppress(ConnectionError):
        return sock.recv(65536)
    return b""


def assert_raw_oddities_are_refused(origin: str) -> None:
    """What no client library would send ends in a 4xx or a closed connection, and is survived."""
    host, port = origin.removeprefix("http://").split(":")
    for raw in (
        b"GET /api/v1/../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /api/v1/accounts/%00/orders HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /api/v1/accounts/a/orders HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"POST /api/v1/accounts/a/orders/stocks HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/v1/accounts/a/orders/stocks HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03", b"GET\r\n\r\n", b"\x00" * 64,
    ):  # fmt: skip
        with socket.create_connection((host, int(port)), timeout=60) as sock:
            sock.sendall(raw)
            with suppress(OSError):
                sock.shutdown(socket.SHUT_WR)
            answer = received(sock)
        assert answer == b"" or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4")), answer[:80]
        assert b"<html" not in answer.lower()
    assert requests.get(f"{origin}/health/live", timeout=60).status_code == 200
