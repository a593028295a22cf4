"""The broker took an order, its answer is lost or unreadable: adopted, once (C09 to C11, G4).

A real web server and a real desk with production's patience towards the broker. The streams are
cut: only a look-up can tell what became of an order.
"""

import gzip
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from pytest_django import DjangoDbBlocker

from tests.broker.loopback import http
from tests.matrix.nodes import Caller, Node, Web, desk_node, listens, patient_order, running
from tests.support.accounts import open_accounts, token
from tests.support.orders import folded, kinds, plain_json, row_of
from tests.support.proxy import Proxy
from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until
from tests.trading.desks import only
from tests.trading.test_desk_sends import detail_of, held
from trading import queries, shapes

pytestmark = [pytest.mark.django_db, pytest.mark.journeys]

Row = dict[str, Any]

MIB = 1024 * 1024
# What the broker does after it has taken an order, and how the attempt to send it ends.
LOST = {
    "504_after_accept": "http-5xx",
    "html_502": "http-5xx",
    "hang": "timeout",
    "reset": "reset",
}
OTHER = {"id": "b-1", "client_order_id": "somebody-else", "status": "new"}
CHUNK = b"%x\r\n" % MIB + b"x" * MIB + b"\r\n"


def large(head: str, part: bytes) -> Iterable[bytes]:
    """An answer of 300 MiB, made while it is read."""
    yield f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{head}\r\n\r\n".encode()
    for _ in range(300):
        yield part


# What stands in place of the broker's answer, and how the attempt ends.
UNREADABLE: dict[str, tuple[Iterable[bytes], str]] = {
    "truncated": ([http(200, OTHER)[:-20]], "reset"),
    "html": ([http(200, b"<html>fine</html>", Content_Type="text/html")], "unparsable"),
    "gzip bomb": (
        [http(200, gzip.compress(bytes(100 * MIB), 1), Content_Encoding="gzip")], "unparsable",
    ),
    "wrong id": ([http(200, OTHER)], "wrong-id"),
    "300 MB": (large(f"Content-Length: {300 * MIB}", b"x" * MIB), "too-large"),
    "300 MB in chunks": (large("Transfer-Encoding: chunked", CHUNK), "too-large"),
}  # fmt: skip


@dataclass
class Gateway:
    """A web server and a desk, and a proxy on the way to the broker."""

    sandbox: SandboxProcess
    way: Proxy
    web: Web
    desk: Node
    account_ids: list[str]

    def place(self, account_id: str) -> Row:
        """Place an order of ten; its row."""
        answer = Caller(account_id, bearer=token(self.account_ids)).place(
            self.web, "k", patient_order()
        )
        assert answer.status_code == 202, answer.text
        [row] = queries.orders_where("account_id = %s", (account_id,))
        return row

    def wait_for_the_fill(self, row: Row) -> None:
        """Wait until it is filled, and its fills are known."""
        until(lambda: row_of(row)["status"] == "filled", seconds=30)
        until(lambda: sum(Decimal(each["qty"]) for each in detail_of(row)["executions"]) == 10)

    def assert_adopted(self, row: Row, outcome: str) -> None:
        """The order was unknown, is at the broker once, and was sent once."""
        [order] = held(self.sandbox, row["account_id"])
        assert order["client_order_id"] == row["client_order_id"]
        submits = [each for each in detail_of(row)["attempts"] if each["kind"] == "submit"]
        assert [each["outcome"] for each in submits] == [outcome]
        assert [post["method"] for post in self.sandbox.ledger(account=row["account_id"])] == [
            "POST"
        ]
        assert kinds(row["account_id"])[:3] == ["order.queued", "order.submitting", "order.unknown"]
        assert folded(row) == plain_json(shapes.order_json(row_of(row)))


@pytest.fixture(scope="module")
def gateway(
    django_db_setup: None,
    django_db_blocker: DjangoDbBlocker,
    sandbox: SandboxProcess,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("gateway")
    with django_db_blocker.unblock(), Proxy(("127.0.0.1", sandbox.port)) as way:
        url = f"http://127.0.0.1:{way.port}"
        # One for each ending: a breaker stops an account that has many of them.
        account_ids = open_accounts(len(LOST) + len(UNREADABLE), url=url)
        with only(*account_ids):
            web, desk = Web(folder), desk_node(folder)
            with running(web, desk):
                web.wait_until_ready()
                listens(*account_ids)
                sandbox.fault("503", account="*", route="GET /stream", times=0)
                for account_id in account_ids:
                    sandbox.fault("stream_drop", account=account_id)
                yield Gateway(sandbox, way, web, desk, account_ids)
                sandbox.clear_faults()


def test_c09_c10_an_order_whose_answer_was_lost_is_adopted_and_at_the_broker_once(
    gateway: Gateway,
) -> None:
    rows = {}
    for fault, account_id in zip(LOST, gateway.account_ids, strict=False):
        gateway.sandbox.fault(fault, account=account_id, route="POST /v2/orders", when="after")
        rows[fault] = gateway.place(account_id)

    for fault, row in rows.items():
        gateway.wait_for_the_fill(row)
        gateway.assert_adopted(row, LOST[fault])


def test_c11_answers_nobody_can_read_end_unknown_and_adopted_and_memory_stays_flat(
    gateway: Gateway,
) -> None:
    before = gateway.desk.most_memory()
    rows = {}
    for number, account_id in enumerate(gateway.account_ids[len(LOST) :], start=1):
        name = list(UNREADABLE)[number - 1]
        gateway.way.answer_instead(b"POST /v2/orders", UNREADABLE[name][0])
        rows[name] = gateway.place(account_id)
        until(lambda number=number: gateway.way.swallowed == number)  # type: ignore[misc]

    for name, row in rows.items():
        gateway.wait_for_the_fill(row)
        gateway.assert_adopted(row, UNREADABLE[name][1])
    # 700 MB were on offer, packed and plain.
    assert gateway.desk.most_memory() - before < 24 * MIB
