"""Two principals of two accounts, and every call the API's document tells of, about the wrong one.

Import late from a conftest: Django is set up after conftests are read.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from django.http import HttpResponse

from accounts.pool import get_pool
from opitios.core import database
from tests.api.calls import GOOD, Api, new_key, read
from tests.openapi.document import read_document
from tests.support.accounts import lease, token
from tests.support.orders import CAUSE, fill, report
from trading import executions, queries

EVERYTHING = ("market_data", "account_read", "trade", "monitor", "operator", "admin")
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
NOBODY = "no-such-account"

# What tells two equal answers apart: their own names, and the time that passed between them.
# Which limit is the tightest depends on what was asked a moment before.
FLEETING = {
    *("X-Request-ID", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"),
    *("RateLimit", "RateLimit-Policy"),
}


@dataclass
class Victim:
    """An account with a life of its own, and every name by which something of it is known."""

    api: Api
    order_ids: list[str] = field(default_factory=list)
    client_order_ids: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    page_tokens: list[str] = field(default_factory=list)
    halt_ids: list[str] = field(default_factory=list)

    @classmethod
    def open(cls, *, url: str | None = None, sub: str = "bot-8") -> "Victim":
        """Orders under keys and ids, one of them filled, and lists that have next pages."""
        api = Api.open() if url is None else Api.open(url=url)
        victim = cls(Api(api.account, token([api.account], permissions=EVERYTHING, sub=sub)))
        for number in range(3):
            victim._order(f"theirs-{number}-{uuid4().hex[:8]}")
        victim._fill()
        victim._halt()
        victim._read_tokens()
        return victim

    @property
    def account(self) -> str:
        """Its id."""
        return self.api.account

    @property
    def names(self) -> list[str]:
        """What nobody else may be shown."""
        return [self.account, *self.order_ids, *self.client_order_ids, *self.halt_ids]

    def _order(self, client_order_id: str) -> None:
        key = new_key()
        answer = self.api.place({**GOOD, "client_order_id": client_order_id}, key=key)
        self.keys.append(key)
        self.client_order_ids.append(client_order_id)
        self.order_ids.append(read(answer)["id"])

    def _fill(self) -> None:
        lease(self.account, "d")
        row = queries.find_order(self.account, self.order_ids[0])
        assert row is not None
        claimed = executions.claim(row, owner="d", process="desk-1")
        assert claimed is not None
        for number in (1, 2):
            said = report(
                claimed.row, "partially_filled", second=number, event="partial_fill",
                filled_qty=str(number), execution=fill(f"e-{uuid4().hex}", 1),
            )  # fmt: skip
            row = executions.report(claimed.row["id"], said, CAUSE)
        self.order_ids.append(str(row["broker_order_id"]))

    def _halt(self) -> None:
        """Of a symbol that nobody trades."""
        body = {"scope": "symbol", "account_id": self.account, "symbol": "ZZZ", "reason": "theirs"}
        self.halt_ids.append(read(self.api.call("POST", "/api/v1/halts", body))["id"])

    def _read_tokens(self) -> None:
        for rest in ("orders?status=all&limit=1", "fills?limit=1", "journal?limit=1"):
            page = read(self.api.get(f"/api/v1/accounts/{self.account}/{rest}"))
            assert page["next_page_token"]
            self.page_tokens.append(page["next_page_token"])


@dataclass(frozen=True)
class Call:
    """One request, but for the account it is about."""

    method: str
    path: str
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def ask(self, api: Api, account: str) -> HttpResponse:
        """Ask it about an account, with the token of `api`; the body may name it, too."""
        path = self.path.replace("{account_id}", account)
        body = self.body
        if isinstance(body, dict):
            body = json.loads(json.dumps(body).replace("{account_id}", account))
        return api.call(self.method, path, body, X_Request_ID="the-same", **self.headers)


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every method and path template of the document, and what it says of them."""
    for path, told in read_document()["paths"].items():
        yield from ((method.upper(), path, about) for method, about in told.items())


def parameters_of(about: dict[str, Any]) -> list[str]:
    """The names an operation takes in its query. References are to headers all have."""
    return [each["name"] for each in about.get("parameters", ()) if each.get("in") == "query"]


def templates() -> list[str]:
    """Every path template of the document."""
    return sorted({path for _, path, _ in operations()})


def calls_about(victim: Victim) -> Iterator[Call]:
    """Every operation under an account, and every method it has not, with the victim's names."""
    for method, path, about in operations():
        if "{account_id}" in path:
            for filled in _filled(path, victim):
                yield from _variants(method, filled, about, victim)
    for path in templates():
        if "{account_id}" in path:
            filled = next(iter(_filled(path, victim)))
            yield from (Call(method, filled, _body(method, victim)) for method in METHODS)


def calls_naming(victim: Victim) -> Iterator[Call]:
    """Every operation without an account in its path, asked about one all the same."""
    halt: dict[str, Any] = {"account_id": "{account_id}", "reason": "odd", "mode": "halt"}
    bodies: list[Any] = [
        {**halt, "scope": "account"},
        {**halt, "scope": "account", "cancel_orders": True},
        {**halt, "scope": "symbol", "symbol": "AAPL"},
        {"accounts": ["{account_id}"]},
        {"account_id": "{account_id}"},
        {"orders": [{"account_id": "{account_id}", **GOOD}]},
        {"order": GOOD, "accounts": ["{account_id}"]},
    ]
    for method, path, _ in operations():
        if "{account_id}" in path or not path.startswith("/api/v1/") or method == "HEAD":
            continue
        for filled in _filled(path, victim):
            for name in ("accounts", "account_id", "account", "page_token"):
                yield Call(method, f"{filled}?{name}={{account_id}}")
            yield from (Call(method, filled, body) for body in bodies if method != "GET")


def _filled(path: str, victim: Victim) -> Iterator[str]:
    """The path with each of the victim's names in place of its parameters, but for the account."""
    named: dict[str, Sequence[str]] = {
        "account_id": ["{account_id}"],
        "order_id": [*victim.order_ids, *victim.client_order_ids[:1]],
        "symbol": ["AAPL"],
        "halt_id": victim.halt_ids,
        "occ": ["AAPL261218C00200000"],
    }
    names = re.findall(r"\{(\w+)\}", path)
    unknown = set(names) - named.keys()
    assert not unknown, f"{path}: say here what stands for {unknown}"
    for number in range(max((len(named[name]) for name in names), default=1)):
        yield re.sub(r"\{(\w+)\}", lambda found: _nth(named[found[1]], number), path)  # noqa: B023


def _nth(values: Sequence[str], number: int) -> str:
    return values[number % len(values)]


def _variants(method: str, path: str, about: dict[str, Any], victim: Victim) -> Iterator[Call]:
    """Bare, with the victim's key and id, and with what its query may say in the victim's words."""
    body = _body(method, victim) if "requestBody" in about else None
    yield Call(method, path, body)
    if body is not None:
        yield Call(method, path, b"{")
        yield from (Call(method, path, body, {"Idempotency_Key": key}) for key in victim.keys)
    for name in parameters_of(about):
        yield from (Call(method, f"{path}?{name}={said}", body) for said in _said(name, victim))


def _said(name: str, victim: Victim) -> Sequence[str]:
    """What a query says that names something of the victim's."""
    said: Mapping[str, Sequence[str]] = {
        "page_token": victim.page_tokens,
        "client_order_id": victim.client_order_ids,
        "order_id": victim.order_ids,
        "accounts": [victim.account],
        "account_id": [victim.account],
        "symbols": ["AAPL"],
    }
    return said.get(name, ("1",))


def _body(method: str, victim: Victim) -> Any:
    if method not in {"POST", "PUT", "PATCH"}:
        return None
    return {**GOOD, "client_order_id": victim.client_order_ids[0]}


def told(answer: HttpResponse, account: str) -> dict[str, Any]:
    """An answer, but for the account that was asked about."""
    headers: dict[str, Any] = {
        name: value for name, value in answer.items() if name not in FLEETING
    }
    text = answer.content.decode()
    if account and answer["Content-Type"].endswith("json"):
        # The name is said once, and makes the answer as much longer.
        headers["Content-Length"] = int(headers["Content-Length"]) - len(account.encode())
        named = f'"account_id":{json.dumps(account, ensure_ascii=False)}'
        assert text.count(named) == (1 if text else 0)
        text = text.replace(named, "")
    return {"status": answer.status_code, "headers": headers, "body": text}


def disable(account: str) -> None:
    """Take an account out of the roster, as a reload does."""
    _revised(account, "enabled = false")


def retype(account: str, kind: str) -> None:
    """Let an account be of another type, as a reload does."""
    _revised(account, f"account_type = '{kind}'")


def _revised(account: str, change: str) -> None:
    version = database.row(
        "INSERT INTO accounts_rosterversion (actor, source, summary)"
        " VALUES ('test', 'test', %s) RETURNING version",
        (json.dumps({"added": [], "changed": [account], "disabled": []}),),
    )
    assert version is not None
    database.rows(
        f"UPDATE accounts_account SET {change}, roster_version = %s WHERE account_id = %s",  # noqa: S608 - ours
        (version["version"], account),
    )
    get_pool().refresh()
