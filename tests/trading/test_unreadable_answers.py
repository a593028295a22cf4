"""C11: an answer nobody can read settles nothing: the order is unknown, looked up, and adopted."""

import gzip
import json
import tracemalloc
from contextlib import closing
from typing import Any

import pytest

from tests.broker.loopback import (
    Behaviour,
    LoopbackBroker,
    answering,
    answering_then_closing,
    http,
)
from tests.support.accounts import open_account
from tests.support.orders import kinds, placed_row, row_of
from tests.trading.searches import make_due, resolver
from tests.trading.sending import Rests, Step, pooled
from trading import queries

pytestmark = pytest.mark.django_db

MIB = 1024 * 1024


def order(row: dict[str, Any], **changed: Any) -> dict[str, Any]:
    """The order as the broker holds it."""
    return {
        "id": f"b-{row['id']}",
        "client_order_id": row["client_order_id"],
        "status": "new",
        "filled_qty": "0",
        "filled_avg_price": None,
        "updated_at": "2026-11-20T14:30:01Z",
        **changed,
    }


def _cut(row: dict[str, Any]) -> Behaviour:
    return answering_then_closing(http(200, order(row))[:-20])


def _half(row: dict[str, Any]) -> Behaviour:
    return answering(http(200, json.dumps(order(row)).encode()[:40]))


def _page(_row: dict[str, Any]) -> Behaviour:
    return answering(http(200, b"<html>welcome</html>", Content_Type="text/html"))


def _another(row: dict[str, Any]) -> Behaviour:
    return answering(http(200, order(row, client_order_id="op1-of-somebody-else")))


def _packed(_row: dict[str, Any]) -> Behaviour:
    return answering(http(200, gzip.compress(b" " * 100 * MIB, 1), Content_Encoding="gzip"))


def _huge(_row: dict[str, Any]) -> Behaviour:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (300 * MIB)

    def behave(broker: LoopbackBroker, sock: Any) -> bool:
        sock.sendall(head)
        for _ in range(300):
            sock.sendall(b" " * MIB)
        return False

    return behave


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [
        (_cut, "reset"),
        (_half, "unparsable"),
        (_page, "unparsable"),
        (_another, "wrong-id"),
        (_packed, "unparsable"),
        (_huge, "too-large"),
    ],
    ids=["truncated", "half a body", "html", "another order", "gzip bomb", "300 MB"],
)
def test_c11_it_ends_unknown_and_is_resolved_with_one_post_and_flat_memory(
    db: None, kind: Any, outcome: str
) -> None:
    broker = LoopbackBroker([])
    account, transport = pooled(open_account(url=broker.origin))
    with closing(broker), closing(transport):
        row = placed_row(account.account_id)
        broker.behaviours += [kind(row), answering(http(200, order(row)))]

        tracemalloc.start()
        after = Step(account, Rests()).send(row)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        make_due(row)
        resolver().resolve(row["id"], account)

    assert after["status"] == "unknown"
    now = row_of(row)
    assert (now["status"], now["broker_order_id"]) == ("new", f"b-{row['id']}")
    assert broker.posts() == 1
    assert kinds(account.account_id)[2:] == ["order.unknown", "order.new"]
    submit, found = queries.order_detail(now)["attempts"]
    assert (submit["outcome"], found["outcome"]) == (outcome, "found")
    assert peak < 8 * MIB
