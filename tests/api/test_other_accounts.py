"""A foreign account, none at all and a malformed one are one answer, in every way (G12, H041)."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.http import HttpResponse
from django.urls import URLResolver, get_resolver

from accounts.pool import get_pool
from opitios.core import database
from tests.api.calls import GOOD, Api, problem
from tests.support.accounts import TRADER, token
from tests.support.committed import committed
from tests.support.orders import entries, kinds, place

pytestmark = pytest.mark.django_db

ORDER = "019aa0c2-6f1e-7c3a-9b1e-2f5d8c1a7e40"
UNDER = "/api/v1/accounts/{account_id}/"
METHODS = {"get", "post", "put", "patch", "delete"}
# What stands for the path's other parameters.
NAMED = {"order_id": ORDER, "symbol": "AAPL"}


def calls() -> Iterator[tuple[str, str]]:
    """Every operation under an account, as the committed document tells them."""
    for path, operations in committed()["paths"].items():
        if path.startswith(UNDER):
            rest = re.sub(r"\{(\w+)\}", lambda found: NAMED[found[1]], path.removeprefix(UNDER))
            yield from ((name.upper(), rest) for name in operations.keys() & METHODS)


CALLS = sorted(calls())


def test_no_endpoint_of_an_account_is_forgotten() -> None:
    found, waiting = set(), [("", get_resolver())]
    while waiting:
        before, resolver = waiting.pop()
        for each in resolver.url_patterns:
            path = before + str(each.pattern)
            if isinstance(each, URLResolver):
                waiting.append((path, each))
            elif "accounts/<str:account_id>/" in path:
                found.add(re.sub(r"<str:(\w+)>", r"{\1}", f"/{path}"))

    assert found == {path for path in committed()["paths"]
                     if path.startswith(UNDER)}  # fmt: skip
    assert {"orders", "activities", "portfolio/history", "account/configurations"} <= {
        rest for _, rest in CALLS
    }


def asked(api: Api, account: str, method: str, rest: str) -> HttpResponse:
    """One call about an account of somebody else's, or of nobody's."""
    body = GOOD if method == "POST" else None
    path = f"/api/v1/accounts/{account}/{rest}"
    return api.call(method, path, body, X_Request_ID="the-same")


def told(response: HttpResponse, account: str) -> dict[str, Any]:
    """The answer, but for the account's name."""
    body: dict[str, Any] = json.loads(response.content)
    assert body.pop("account_id") == account
    return {"status": response.status_code, "headers": sorted(response.headers), **body}


@pytest.mark.parametrize(("method", "rest"), CALLS)
def test_not_yours_and_no_such_and_malformed_are_one_answer(
    api: Api, statements: list[str], method: str, rest: str
) -> None:
    other = Api.open()
    statements.clear()

    answers = {
        account: told(asked(api, account, method, rest), account)
        for account in (other.account, "no-such-account", "%00", "UPPER", "a" * 500, "ä", "*")
        if account.isascii() and "%" not in account
    }

    assert statements == []
    assert len({json.dumps(answer) for answer in answers.values()}) == 1
    assert next(iter(answers.values()))["status"] == 404
    assert next(iter(answers.values()))["order_id"] is None
    assert kinds(other.account) == kinds(api.account) == []


@pytest.mark.parametrize(("method", "rest"), CALLS)
def test_an_account_of_the_token_that_was_never_imported_is_the_same_answer(
    api: Api, method: str, rest: str
) -> None:
    holder = Api("gone", token(["gone"]))

    mine = told(asked(holder, "gone", method, rest), "gone")

    assert mine == told(asked(api, "gone", method, rest), "gone")


def test_another_account_s_order_is_not_found_under_mine(api: Api) -> None:
    other = Api.open()
    order = place(other.account, client_order_id="theirs")

    for method, rest in (
        ("GET", f"/{order.order_id}"), ("DELETE", f"/{order.order_id}"),
        ("GET", f"/{order.order_id}/events"), ("GET", ":by_client_order_id?client_order_id=theirs"),
    ):  # fmt: skip
        body = problem(api.call(method, api.orders + rest), 404, "not-found")
        assert body["account_id"] == api.account
        assert str(order.order_id) not in json.dumps(body)
    assert kinds(other.account) == ["order.queued"]


def test_the_same_key_in_two_accounts_is_two_orders(api: Api) -> None:
    other = Api.open()
    both = token([api.account, other.account])

    first = Api(api.account, both).place(key="k")
    second = Api(other.account, both).place(key="k")

    assert first.status_code == second.status_code == 202
    assert "Idempotent-Replayed" not in second
    assert entries(other.account)[0]["account_id"] == other.account


@pytest.mark.parametrize(("method", "rest"), CALLS)
def test_the_order_of_refusal_is_token_account_permission_body(
    api: Api, method: str, rest: str
) -> None:
    nothing = Api(api.account, token([api.account], permissions=[]))
    stranger = Api(api.account, "not-a-token")
    path = f"/api/v1/accounts/{api.account}/{rest}"
    foreign = f"/api/v1/accounts/foreign/{rest}"

    for target in (path, foreign):
        response = stranger.call(method, target, b"{")
        problem(response, 401, "unauthorized")
        assert response["WWW-Authenticate"] == "Bearer"
    problem(nothing.call(method, foreign, b"{"), 404, "not-found")
    problem(nothing.call(method, f"{path}{'&' if '?' in path else '?'}odd=1", b"{"), 403,
            "missing-permission")  # fmt: skip
    assert kinds(api.account) == []


def test_reading_rights_do_not_trade_and_trading_rights_do_not_read(api: Api) -> None:
    reader = Api(api.account, token([api.account], permissions=["account_read"]))
    trader = Api(api.account, token([api.account], permissions=["trade"]))
    order = place(api.account)

    problem(reader.place(), 403, "missing-permission")
    problem(reader.delete(str(order.order_id)), 403, "missing-permission")
    problem(trader.get(), 403, "missing-permission")
    problem(trader.get(f"/{order.order_id}"), 403, "missing-permission")
    assert kinds(api.account) == ["order.queued"]
    assert trader.delete(str(order.order_id)).status_code == 200


def test_a_fleet_token_trades_every_account(api: Api) -> None:
    fleet = Api(api.account, token(None, permissions=TRADER))

    assert fleet.place().status_code == 202
    problem(Api("nobody", fleet.token).place(), 404, "not-found")


def test_an_account_disabled_meanwhile_is_gone_for_its_own_token(api: Api) -> None:
    assert api.get().status_code == 200
    version = database.row(
        "INSERT INTO accounts_rosterversion (actor, source, summary)"
        " VALUES ('test', 'test', %s) RETURNING version",
        ('{"added": [], "changed": [], "disabled": ["test"]}',),
    )
    assert version is not None
    database.rows(
        "UPDATE accounts_account SET enabled = false, roster_version = %s WHERE account_id = %s",
        (version["version"], api.account),
    )
    get_pool().refresh()

    problem(api.get(), 404, "not-found")
