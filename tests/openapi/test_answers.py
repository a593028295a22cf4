"""Every answer of the API is one its document tells of, key for key."""

import dataclasses
from collections.abc import Iterator

import pytest

from accounts.pool import get_pool
from marketdata import api as marketdata_api
from marketdata.quotes import Quotes
from marketdata.routing import Router
from tests.api.calls import GOOD, Api, new_key, read
from tests.openapi.document import Document
from tests.support.accounts import lease, token
from tests.support.orders import CAUSE, fill, place, report, row_of
from trading import executions
from trading.orders import Accepted

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def document() -> Document:
    """What was held against it is counted over the whole file."""
    return Document()


@pytest.fixture
def filled(api: Api) -> Accepted:
    """An order that was sent, acknowledged and filled."""
    lease(api.account, "d")
    accepted = place(api.account, new_key(), tags={"strategy": "mr-7"})
    claimed = executions.claim(row_of(accepted), owner="d", process="desk-1")
    assert claimed is not None
    row = claimed.row
    answer = {"http_status": 200, "request_id": "8f1c", "event_id": None, "raw_sha256": "ab"}
    executions.report(row["id"], report(row, "new"), CAUSE)
    executions.attempt_ended(row["id"], 1, outcome="accepted", ms=21.9, answer=answer)
    told = report(row, "filled", second=2.0, filled_qty="10", filled_avg_price="187.21",
                  event="fill", execution=fill("b5e2", 10, "187.21"))  # fmt: skip
    executions.report(row["id"], told, CAUSE)
    return accepted


@pytest.fixture
def quoted(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the account's own client read quotes."""
    account = get_pool().get(api.account)
    assert account is not None
    quotes = Quotes(Router(lambda: [dataclasses.replace(account, account_type="data")]))
    monkeypatch.setattr(marketdata_api, "get_quotes", lambda: quotes)


def reads(api: Api, order_id: object) -> Iterator[str]:
    """Every path that is read."""
    yield from ("/", "/health/live", "/health/ready", "/api/v1/health", "/api/v1/pool")
    yield from ("/api/v1/pool?limit=1", "/api/v1/stocks/quote/AAPL")
    account = f"/api/v1/accounts/{api.account}"
    yield from (f"{account}/{name}" for name in (
        "account", "positions", "positions/AAPL", "journal", "journal?limit=1", "fills", "orders",
        "orders?status=all&limit=1", f"orders/{order_id}", f"orders/{order_id}/events",
        "reconciliation",
    ))  # fmt: skip
    coid = read(api.get(f"/{order_id}"))["client_order_id"]
    yield f"{account}/orders:by_client_order_id?client_order_id={coid}"


def test_what_is_read(api: Api, filled: Accepted, quoted: None, document: Document) -> None:
    for path in reads(api, filled.order_id):
        answer = api.call("GET", path)

        # The pool of a test's process loads no accounts by itself: ready or not is its own test.
        assert answer.status_code == 200, (path, answer.content)
        document.hold("GET", path, answer)


def test_what_is_placed_and_cancelled(api: Api, document: Document) -> None:
    place_path = f"{api.orders}/stocks"
    placed = api.place(key=new_key())
    unkeyed = api.place()
    for answer in (placed, unkeyed, api.place({**GOOD, "client_order_id": "mine"})):
        assert answer.status_code == 202
        document.hold("POST", place_path, answer)
    path = f"{api.orders}/{read(placed)['id']}"

    for status in (200, 409):
        canceled = api.call("DELETE", path)

        assert canceled.status_code == status
        document.hold("DELETE", path, canceled)


def test_a_cancel_that_the_broker_is_asked_for(api: Api, document: Document) -> None:
    lease(api.account, "d")
    accepted = place(api.account)
    claimed = executions.claim(row_of(accepted), owner="d", process="desk-1")
    assert claimed is not None
    path = f"{api.orders}/{accepted.order_id}"

    answer = api.call("DELETE", path)

    assert answer.status_code == 202
    document.hold("DELETE", path, answer)


def test_the_broker_s_verdict(api: Api, filled: Accepted, document: Document) -> None:
    path = f"{api.orders}/stocks"
    key = new_key()
    first = read(api.place(key=key))
    row = {"id": first["id"], "client_order_id": first["client_order_id"]}
    executions.report(first["id"], report(row, "new"), CAUSE)

    answer = api.place(key=key, Prefer="wait=1")

    assert answer.status_code == 200
    document.hold("POST", path, answer)


def test_refusals(api: Api, document: Document) -> None:
    path = f"{api.orders}/stocks"
    reader = token([api.account], permissions=["account_read"])
    api.place(key="once")
    refused = {
        400: api.call("POST", path, b"{"),
        401: api.place(Authorization="Bearer no"),
        403: api.place(Authorization=f"Bearer {reader}"),
        404: api.place(Authorization=f"Bearer {token(['somebody-else'])}"),
        405: api.call("PUT", path),
        413: api.call("POST", path, b"x" * 100_000),
        415: api.call("POST", path, b"{}", Content_Type="text/plain"),
        422: api.place({**GOOD, "qty": "x", "legs": []}),
    }
    for status, answer in refused.items():
        assert answer.status_code == status
        document.hold("POST", path, answer)

    mismatch = api.place({**GOOD, "qty": "2"}, key="once")

    document.hold("POST", path, mismatch)


def test_every_operation_was_met_with_every_success_it_tells_of(document: Document) -> None:
    told = {
        (name, int(status))
        for name, each in document.operations().items()
        for status in each["responses"]
        if status.startswith("2")
    }

    assert told - document.seen == set()
