"""Order of refusal: 401, 404, 403; a foreign account and none at all are one answer."""

import json
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from django.http import HttpResponse
from django.test import RequestFactory
from rest_framework.request import Request

from accounts import access
from accounts.access import AccountView, Permission, TokenView, authorize, principal_of
from accounts.gate import principal_from
from accounts.tokens import Principal, verifier
from opitios.core.config import get_config
from opitios.core.errors import Problem, Reason
from opitios.core.http import answer
from tests.accounts.issuer import claims, token

CALLS: list[str] = []


class Orders(AccountView):
    """An endpoint of an account with a permission for each method."""

    permissions: ClassVar = {"GET": Permission.ACCOUNT_READ, "POST": Permission.TRADE}

    def get(self, request: Request, account_id: str) -> HttpResponse:
        """Answer who asked for what."""
        CALLS.append(account_id)
        return answer({"sub": principal_of(request).sub, "account_id": account_id})

    post = get

    def put(self, request: Request, account_id: str) -> HttpResponse:
        """A handler that nobody declared a permission for."""
        CALLS.append(account_id)
        return answer({})


class Quote(TokenView):
    """An endpoint without an account."""

    permission = Permission.MARKET_DATA

    def get(self, request: Request) -> HttpResponse:
        """Answer."""
        return answer({"sub": principal_of(request).sub})


class AnyToken(TokenView):
    """An endpoint for whoever has a token."""

    def get(self, request: Request) -> HttpResponse:
        """Answer."""
        return answer({})


@pytest.fixture(autouse=True)
def pool(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pool that holds the accounts mine and theirs."""
    account = SimpleNamespace(priority="normal")
    accounts = {"mine": account, "theirs": account}
    monkeypatch.setattr(access, "get_pool", lambda: SimpleNamespace(get=accounts.get))
    CALLS.clear()


def signed(**changed: Any) -> str:
    """A token of the configured key."""
    key = get_config().jwt_keys[0]
    header = {"alg": key.alg, "kid": key.kid}
    return token(claims(**changed), header=header, secret=key.key.get_secret_value())


TRADER = {"account_ids": ["mine", "gone"], "permissions": ["account_read", "trade"]}


def call(
    account_id: str, *, method: str = "GET", header: str | None = None, **changed: Any
) -> HttpResponse:
    """Call the endpoint of an account, with a trader's token unless told otherwise."""
    authorization = f"Bearer {signed(**TRADER | changed)}" if header is None else header
    request = RequestFactory().generic(method, "/", HTTP_AUTHORIZATION=authorization)
    return Orders.as_view()(request, account_id=account_id)


def body(response: HttpResponse) -> dict[str, Any]:
    """The answer's JSON."""
    answered: dict[str, Any] = json.loads(response.content)
    return answered


def test_a_rightful_call_arrives() -> None:
    response = call("mine", method="POST")

    assert response.status_code == 200
    assert body(response) == {"sub": "bot-7", "account_id": "mine"}


@pytest.mark.parametrize("account_id", ["theirs", "gone", "nobody", "", "MINE", "mine ", "../mine"])
def test_a_foreign_account_and_no_account_are_the_same_answer(account_id: str) -> None:
    response = call(account_id)

    assert (response.status_code, body(response)["account_id"]) == (404, account_id)
    assert response["Content-Type"] == "application/problem+json"
    same = body(call("theirs")) | {"account_id": account_id}
    assert body(response) == same
    assert dict(response.headers).keys() == dict(call("theirs").headers).keys()
    assert CALLS == []


def test_an_account_is_judged_before_the_permission_is() -> None:
    assert call("theirs", permissions=[]).status_code == 404
    assert call("mine", permissions=[]).status_code == 403


def test_a_token_of_the_whole_fleet_meets_the_same_404() -> None:
    assert call("nobody", account_ids=None, account_scope="all").status_code == 404
    assert call("theirs", account_ids=None, account_scope="all").status_code == 200


def test_a_missing_permission_is_named() -> None:
    response = call("mine", method="POST", permissions=["account_read"])

    assert response.status_code == 403
    assert "`trade`" in body(response)["detail"]
    assert CALLS == []


def test_a_method_without_a_declared_permission_is_closed() -> None:
    for method in ("PUT", "OPTIONS", "TRACE", "DELETE"):
        assert call("mine", method=method).status_code == 405
        assert call("theirs", method=method).status_code == 404
    assert CALLS == []


def test_head_needs_what_get_needs() -> None:
    assert call("mine", method="HEAD").status_code == 200
    assert call("mine", method="HEAD", permissions=["trade"]).status_code == 403


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Token {0}", "{0}", "Bearer {0} x", "Bearer {0},Bearer {0}",
     "Bearer {0}, Bearer {0}", "Bearer\t{0}", "Basic {0}", "Bearer {0}\x00", "Bearer Bearer {0}"],
)  # fmt: skip
@pytest.mark.parametrize("account_id", ["mine", "theirs"])
def test_an_odd_authorization_header_is_a_401(header: str, account_id: str) -> None:
    response = call(account_id, header=header.format(signed(**TRADER)))

    assert (response.status_code, response["WWW-Authenticate"]) == (401, "Bearer")
    assert body(response)["detail"] == "The token is not valid."
    assert CALLS == []


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer", "bEaReR"])
def test_the_scheme_is_read_in_any_case(scheme: str) -> None:
    assert call("mine", header=f"{scheme} {signed(**TRADER)}").status_code == 200


def test_a_token_elsewhere_is_not_looked_for() -> None:
    good = signed(**TRADER)
    request = RequestFactory().get("/", {"token": good, "access_token": good})
    request.COOKIES["token"] = good

    response = Orders.as_view()(request, account_id="mine")

    assert response.status_code == 401
    assert body(response)["detail"] == "This endpoint needs a token."


def test_an_endpoint_without_account_asks_for_its_permission() -> None:
    def quoted(**changed: Any) -> int:
        header = f"Bearer {signed(**changed)}"
        return Quote.as_view()(RequestFactory().get("/", HTTP_AUTHORIZATION=header)).status_code

    assert quoted(permissions=["market_data"]) == 200
    assert quoted(permissions=["trade"]) == 403
    assert Quote.as_view()(RequestFactory().get("/")).status_code == 401


def test_any_token_is_still_a_token() -> None:
    header = f"Bearer {signed(permissions=None)}"

    assert (
        AnyToken.as_view()(RequestFactory().get("/", HTTP_AUTHORIZATION=header)).status_code == 200
    )
    assert AnyToken.as_view()(RequestFactory().get("/")).status_code == 401


def test_a_view_of_an_account_must_say_what_it_needs() -> None:
    with pytest.raises(TypeError, match="declares neither"):
        type("Forgotten", (AccountView,), {})


def test_the_question_is_answered_for_values_too() -> None:
    principal: Principal = principal_from(signed(**TRADER), "127.0.0.1")

    authorize(principal, "mine", Permission.TRADE)
    for account_id, permission, reason in (
        ("theirs", Permission.TRADE, Reason.NOT_FOUND),
        ("mine", Permission.ADMIN, Reason.FORBIDDEN),
    ):
        with pytest.raises(Problem) as caught:
            authorize(principal, account_id, permission)
        assert caught.value.reason is reason
    assert verifier() is verifier()
