"""An order is placed alike both ways, and once; what is no 202 the usual way answers."""

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from io import BytesIO
from typing import Any

import pytest
from django.db import OperationalError, connection

from accounts import custody, gate
from accounts.pool import get_pool
from opitios.core import clock, database
from opitios.core.bodies import MAX_BODY
from opitios.express import order_stop
from tests.accounts.custodial import ME
from tests.api.calls import GOOD, Api, new_key
from tests.api.ways import Answered, Ways, counted, token_of
from tests.support.accounts import open_accounts, token
from tests.support.halting import halted
from tests.support.orders import entries, kinds
from trading import limits, orders

pytestmark = pytest.mark.django_db

JSON = {"CONTENT_TYPE": "application/json"}
# What differs between two orders, wherever it is told.
_FLEETING = re.compile(
    r"[0-9a-f]{8}-[0-9a-f-]{27}|op1-[0-9a-f]{32}|req_[0-9a-f]{32}|\d{4}-\d\d-\d\dT[\d:.]+Z"
    r'|"seq":\d+'
)


class Placing:
    """One account, asked both ways by a token that this process knows."""

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self.api = Api.open()
        self.ways = Ways(capfd)
        self.path = f"{self.api.orders}/stocks"
        self.ways.token = token([self.api.account], sub=f"express-{new_key()}")
        gate.get_gate().refresh()
        assert self.ways.usual(f"/api/v1/accounts/{self.api.account}/orders").status == "200 OK"

    def express(self, body: Any = GOOD, path: str | None = None, **how: Any) -> Answered:
        return self._ask(self.ways.express, body, path, **how)

    def usual(self, body: Any = GOOD, path: str | None = None, **how: Any) -> Answered:
        return self._ask(self.ways.usual, body, path, **how)

    def _ask(self, way: Any, body: Any, path: str | None, **how: Any) -> Answered:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        stream = how.pop("stream", BytesIO)(raw)
        given = {"method": "POST", "body": raw, "wsgi.input": stream, **JSON, **how}
        answered: Answered = way(path or self.path, **given)
        return answered


@pytest.fixture
def placing(db: None, capfd: pytest.CaptureFixture[str]) -> Placing:
    return Placing(capfd)


def steady(answered: Answered) -> tuple[object, ...]:
    """An answer without what no two orders share."""
    told = _FLEETING.sub("-", answered.body.decode())
    headers = [(name, _FLEETING.sub("-", value)) for name, value in answered.headers
               if not name.startswith(("X-RateLimit", "RateLimit"))]  # fmt: skip
    return answered.status, headers, told, answered.line


def left(answered: Answered) -> int:
    """How many requests the tightest limit still lets pass."""
    return int(dict(answered.headers)["X-RateLimit-Remaining"])


def test_the_express_way_knows_where_orders_come_in() -> None:
    assert order_stop().route == "api/v1/accounts/<str:account_id>/orders/stocks"


def test_an_order_is_accepted_alike_with_one_statement_and_without_django(
    placing: Placing, statements: list[str]
) -> None:
    tagged = {**GOOD, "tags": {"b": "2", "a": "1"}, "client_order_id": None}
    statements.clear()
    express = placing.express(tagged, HTTP_IDEMPOTENCY_KEY=new_key())
    asked = list(statements)
    usual = placing.usual(tagged, HTTP_IDEMPOTENCY_KEY=new_key())

    assert (express.express, express.status, len(asked)) == (True, "202 Accepted", 1)
    assert steady(express) == steady(usual)
    first, second = entries(placing.api.account)
    assert _alike(first) == _alike(second)
    assert kinds(placing.api.account) == ["order.queued"] * 2


def _alike(entry: Mapping[str, Any]) -> str:
    told = {name: entry[name] for name in ("kind", "actor", "request", "after", "tags", "symbol")}
    told["request"] = {**told["request"], "idempotency_key": "-"}
    return _FLEETING.sub("-", json.dumps(told))


@pytest.mark.parametrize("first", ["express", "usual"])
@pytest.mark.parametrize("key", [True, False], ids=["a key", "a client_order_id"])
def test_a_replay_is_the_same_bytes_whichever_way_it_came_first(
    placing: Placing, first: str, key: bool
) -> None:
    how = {"HTTP_IDEMPOTENCY_KEY": new_key()} if key else {}
    body = GOOD if key else {**GOOD, "client_order_id": f"mine-{new_key()}"}
    accepted = getattr(placing, first)(body, **how)

    express, usual = placing.express(body, **how), placing.usual(body, **how)

    assert express.express
    assert express.body == usual.body == accepted.body
    assert dict(express.headers)["Idempotent-Replayed"] == "true"
    assert steady(express) == steady(usual)
    assert kinds(placing.api.account) == ["order.queued"]


def test_without_a_key_each_is_an_order_and_says_so(placing: Placing) -> None:
    express, usual = placing.express(), placing.usual()

    assert express.express
    assert "hint" in json.loads(express.body)
    assert steady(express) == steady(usual)
    assert kinds(placing.api.account) == ["order.queued"] * 2


USED = "used-by-another"
# What comes of it is a refusal, which the usual way tells: what is sent, and with what.
REFUSED: Mapping[str, tuple[Any, dict[str, Any]]] = {
    "no JSON": (b"{", {}),
    "no body": (b"", {}),
    "a key twice": (b'{"symbol":"A","symbol":"B"}', {}),
    "another media type": (GOOD, {"CONTENT_TYPE": "text/plain"}),
    "cut short": (b"{}", {"CONTENT_LENGTH": "99"}),
    "chunks": (GOOD, {"HTTP_TRANSFER_ENCODING": "chunked"}),
    "too large": (b"{}", {"CONTENT_LENGTH": str(MAX_BODY + 1)}),
    "fields that are wrong": ({**GOOD, "qty": "-1", "odd": 1}, {}),
    "a deadline that has passed": ({**GOOD, "not_after": "2020-01-01T00:00:00Z"}, {}),
    "a key that is none": (GOOD, {"HTTP_IDEMPOTENCY_KEY": "\xe4"}),
    "a key of another command": (GOOD, {"HTTP_IDEMPOTENCY_KEY": USED}),
    "an id of another order": ({**GOOD, "client_order_id": USED}, {}),
}


@pytest.mark.parametrize(("body", "how"), REFUSED.values(), ids=REFUSED)
def test_a_refusal_is_told_alike_counted_once_and_stores_nothing(
    placing: Placing, body: Any, how: dict[str, Any]
) -> None:
    before = {**GOOD, "qty": "7", "client_order_id": USED}
    assert placing.usual(before, HTTP_IDEMPOTENCY_KEY=USED).status == "202 Accepted"
    told = len(entries(placing.api.account))

    express, usual = placing.express(body, **how), placing.usual(body, **how)

    assert not express.express
    assert express.status[:3] in {"400", "409", "413", "415", "422"}
    assert steady(express) == steady(usual)
    assert json.loads(express.body)["reason"] == express.line["reason"]
    assert len(entries(placing.api.account)) == told


class Gone(BytesIO):
    """A body whose client left."""

    def read(self, size: int | None = -1, /) -> bytes:
        raise OSError("gone")


class Once(BytesIO):
    """A body that can be read once."""

    def read(self, size: int | None = -1, /) -> bytes:
        assert self.tell() == 0, "it was read a second time"
        return super().read(size)


def test_a_client_that_leaves_is_answered_alike(placing: Placing) -> None:
    express = placing.express(stream=Gone)

    assert steady(express) == steady(placing.usual(stream=Gone))
    assert express.status[:3] == "400"


def test_what_the_express_way_took_and_did_is_not_taken_or_done_again(placing: Placing) -> None:
    sub = f"express-{new_key()}"
    few = {"sub": sub, "account_id": placing.api.account, "permissions": ["trade"]}
    placing.ways.token = token_of(**few, rate_limits={"requests_per_minute": 4})
    wrong = json.dumps({**GOOD, "qty": "x"}).encode()
    # A token that is new here goes the usual way.
    answers = [placing.usual(wrong)]

    answers += [placing.express(wrong, stream=Once) for _ in range(3)]
    answers += [placing.express(), placing.usual()]

    assert [left(each) for each in answers[:4]] == [3, 2, 1, 0]
    assert [each.status[:3] for each in answers] == ["422"] * 4 + ["429"] * 2
    assert kinds(placing.api.account) == []


def test_what_is_denied_is_stored_once_and_told_alike(placing: Placing) -> None:
    account, key = placing.api.account, new_key()
    limits.change(account, {"max_quantity": Decimal(5)}, actor=ME, reason="as agreed")
    try:
        express = placing.express(HTTP_IDEMPOTENCY_KEY=key)
        replay, usual = (
            placing.usual(HTTP_IDEMPOTENCY_KEY=key),
            placing.usual(HTTP_IDEMPOTENCY_KEY=new_key()),
        )
    finally:
        limits.change(account, {"max_quantity": None}, actor=ME, reason="again")

    assert (express.status[:3], express.line["reason"]) == ("422", "risk-max-quantity")
    assert steady(express) == steady(usual)
    # The request's id, too, is the one that is stored.
    assert json.loads(replay.body)["request_id"] in {
        entry["request"]["request_id"] for entry in entries(account)
    }
    assert kinds(account).count("order.denied") == 2


def test_a_connection_that_an_order_needed_is_given_back(placing: Placing) -> None:
    """Limits are read through the ORM, on a connection of the thread's own."""
    limits.change(placing.api.account, {"max_quantity": Decimal(50)}, actor=ME, reason="agreed")
    limits.get_limits()._rows.clear()
    database.release()

    assert placing.express().express

    assert placing.api.account in limits.get_limits()._rows
    assert connection.connection is None


def test_a_halted_account_is_told_so_alike(placing: Placing) -> None:
    with halted(account_id=placing.api.account):
        express, usual = placing.express(), placing.usual()

    assert (express.status[:3], express.line["reason"]) == ("422", "halted")
    assert steady(express) == steady(usual)


def test_a_suspended_account_is_told_so_alike(placing: Placing) -> None:
    custody.suspend(placing.api.account, actor=ME, reason="strange orders")
    get_pool().refresh_standings()

    express, usual = placing.express(), placing.usual()

    assert not express.express
    assert express.line["reason"] == "account-suspended"
    assert steady(express) == steady(usual)


@pytest.mark.parametrize("error", [OperationalError("gone"), RuntimeError("nobody foresaw it")])
def test_a_failure_is_told_alike_and_tried_once(
    placing: Placing, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    tried: list[object] = []

    def fail(*_: object, **__: object) -> None:
        tried.append(1)
        raise error

    monkeypatch.setattr(orders, "place_order", fail)

    express = placing.express()
    once = len(tried)

    assert (express.express, once) == (False, 1)
    assert express.status[:3] in {"500", "503"}
    assert steady(express) == steady(placing.usual())


# Each of them is the usual way's from the start.
UNUSUAL: Mapping[str, dict[str, Any]] = {
    "GET": {"method": "GET"},
    "PUT": {"method": "PUT"},
    "OPTIONS": {"method": "OPTIONS"},
    "a wait": {"HTTP_PREFER": "wait=0"},
    "a preference we do not know": {"HTTP_PREFER": "respond-async"},
    "a query": {"path": "{path}?a=1"},
    "a format": {"path": "{path}?format=xml"},
    "a slash more": {"path": "{path}/"},
    "no account": {"path": "/api/v1/accounts//orders/stocks"},
    "no account and no slash": {"path": "/api/v1/accounts/orders/stocks"},
    "an account within an account": {"path": "/api/v1/accounts/a/b/orders/stocks"},
    "an account nobody has": {"path": "/api/v1/accounts/nobody/orders/stocks"},
    "an account that is no text": {"path": "/api/v1/accounts/%FF/orders/stocks"},
    "no token": {"HTTP_AUTHORIZATION": None},
    "a token that is none": {"HTTP_AUTHORIZATION": "Bearer x"},
    "another's host": {"HTTP_HOST": "evil.example"},
    "too long in line": {"HTTP_X_REQUEST_START": "late"},
}


@pytest.mark.parametrize("how", UNUSUAL.values(), ids=UNUSUAL)
def test_what_is_not_usual_goes_to_the_usual_way_untouched(
    placing: Placing, how: dict[str, Any]
) -> None:
    how = {**how}
    how["path"] = how.get("path", "{path}").format(path=placing.path)
    if how.get("HTTP_X_REQUEST_START"):
        how["HTTP_X_REQUEST_START"] = f"t={clock.now().timestamp() - 30:.3f}"

    express, usual = placing.express(**how), placing.usual(**how)

    assert not express.express
    assert steady(express) == steady(usual)


@pytest.mark.parametrize("account_type", ["trading", "master", "data"])
def test_who_may_not_place_orders_here_is_refused_alike_and_by_the_usual_way(
    placing: Placing, account_type: str
) -> None:
    """Law 7 and ADR 13: one's own accounts of the type `trading` alone, with the permission."""
    (account,) = open_accounts(1, account_type=account_type)
    get_pool().refresh()
    tokens = [
        ("404", token([placing.api.account])),
        ("403", token([account], permissions=["account_read"])),
    ]
    if account_type != "trading":
        tokens.append(("403", token([account])))
    for status, placing.ways.token in tokens:
        # From here on it is known.
        placing.ways.usual("/api/v1/token")
        path = f"/api/v1/accounts/{account}/orders/stocks"

        express, usual = placing.express(path=path), placing.usual(path=path)

        assert (express.status[:3], express.express) == (status, False)
        assert steady(express) == steady(usual)
    assert kinds(account) == []


def test_both_ways_are_counted_alike(placing: Placing) -> None:
    route, counts = order_stop().route, []
    for ask in (placing.express, placing.usual):
        before = counted("http_requests", "POST", route, 202)
        ask()
        counts.append(counted("http_requests", "POST", route, 202) - before)

    assert counts == [1, 1]
