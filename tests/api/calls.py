"""Calls of the API in this process, through every layer but the server's socket."""

import json
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import uuid4

from django.http import HttpResponse
from django.test import Client

from accounts.pool import get_pool
from tests.support.accounts import NOWHERE, open_account, token

GOOD = {"symbol": "AAPL", "side": "buy", "type": "limit", "time_in_force": "day", "qty": "10",
        "limit_price": "187.25"}  # fmt: skip

# api.md §4, key for key and in order.
PROBLEM_KEYS = [
    "type", "title", "status", "detail", "reason", "code", "message", "origin", "next", "retry",
    "retry_after_ms", "request_id", "account_id", "order_id", "errors", "broker",
]  # fmt: skip


@dataclass
class Api:
    """One account of its own, and a token that may trade it."""

    account: str
    token: str
    client: Client = field(default_factory=lambda: Client(raise_request_exception=False))

    @classmethod
    def open(cls, *, url: str = NOWHERE) -> "Api":
        """Import an account and let this process's pool know it."""
        account = open_account(url=url)
        get_pool().refresh()
        return cls(account, token([account]))

    @property
    def orders(self) -> str:
        """The path of the account's orders."""
        return f"/api/v1/accounts/{self.account}/orders"

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> HttpResponse:
        """Call any path with the account's token; a body that is no bytes is sent as JSON."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode() if body else b""
        given = {"Authorization": f"Bearer {self.token}"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        content_type = given.pop("Content-Type", "application/json")
        kept = {name: value for name, value in given.items() if value}
        # Told apart from the data: the client leaves it out where there is none.
        about: Any = {"CONTENT_TYPE": content_type}
        answered: Any = self.client.generic(method, path, raw, headers=kept, **about)
        return cast("HttpResponse", answered)

    def get(self, path: str = "", **headers: str) -> HttpResponse:
        """Read under the account's orders, or any path that begins with `/api`."""
        return self.call("GET", path if path.startswith("/api") else self.orders + path, **headers)

    def place(self, body: Any = None, *, key: str | None = None, **headers: str) -> HttpResponse:
        """Place a good order, or this body."""
        if key is not None:
            headers["Idempotency_Key"] = key
        return self.call("POST", f"{self.orders}/stocks", GOOD if body is None else body, **headers)

    def delete(self, order_id: str, **headers: str) -> HttpResponse:
        """Cancel one order."""
        return self.call("DELETE", f"{self.orders}/{order_id}", **headers)


def read(response: HttpResponse) -> Any:
    """The JSON of an answer; what is not JSON fails here."""
    assert response["Content-Type"] in {"application/json", "application/problem+json"}
    return json.loads(response.content)


def problem(response: HttpResponse, status: int, reason: str) -> dict[str, Any]:
    """The problem of a refusal, whole and in the words of api.md §4."""
    assert response["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = json.loads(response.content)
    assert list(body) == PROBLEM_KEYS
    assert (response.status_code, body["status"], body["reason"]) == (status, status, reason)
    assert body["type"] == f"/problems/{reason}"
    assert body["code"] // 100_000 == status
    assert body["origin"] == "gateway"
    assert body["request_id"] == response["X-Request-ID"]
    assert all(isinstance(body[name], str) and body[name] for name in ("title", "next", "detail"))
    assert body["retry"] in {"never", "same_key", "new_key", "after_fix"}
    return body


def new_key() -> str:
    """A key nobody used."""
    return f"k-{uuid4().hex}"
