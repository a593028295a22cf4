"""No byte of a body is waited for before the refusals that do not depend on it are decided."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import RequestFactory

from accounts.access import Permission, TokenView
from opitios.core.errors import Problem, Reason
from opitios.core.handler import Handler
from tests.api.calls import Api
from tests.support.accounts import open_account, token
from tests.support.committed import committed

pytestmark = pytest.mark.django_db

WRITES = ("post", "put", "patch", "delete")


def operations() -> Iterator[tuple[str, str]]:
    """Every operation that writes, also those that say nothing of a body."""
    for path, methods in committed()["paths"].items():
        yield from ((method.upper(), path) for method in methods if method in WRITES)


class NeverSent:
    """The body of a client that sends its head and no more; who reads it waits, and is noticed."""

    def __init__(self) -> None:
        self.was_asked_for = False

    def read(self, *_: Any) -> bytes:
        self.was_asked_for = True
        return b""

    readline = read


def call(method: str, path: str, authorization: str | None) -> tuple[int, bool]:
    """The status, and whether the body was asked for."""
    environ = RequestFactory().generic(method, path, b"{}", "application/json").environ
    body = NeverSent()
    environ |= {"wsgi.input": body, "CONTENT_LENGTH": "100"}
    if authorization is not None:
        environ["HTTP_AUTHORIZATION"] = authorization
    answered: list[str] = []
    Handler()(environ, lambda status, _headers: answered.append(status))
    return int(answered[0].split()[0]), body.was_asked_for


def filled(path: str, account: str) -> str:
    return path.format_map(_Anything(account_id=account))


class _Anything(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return "x"


@pytest.mark.parametrize(("method", "path"), list(operations()))
def test_401_404_403_and_429_come_before_the_body(
    api: Api, method: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, theirs = filled(path, api.account), filled(path, open_account())
    mighty = f"Bearer {token([api.account], permissions=[each.value for each in Permission])}"
    powerless = f"Bearer {token([api.account], permissions=())}"

    assert call(method, mine, None) == (401, False)
    assert call(method, mine, "Bearer x") == (401, False)
    assert call(method, mine, powerless) == (403, False)
    if theirs != mine:
        assert call(method, theirs, f"Bearer {api.token}") == (404, False)
    monkeypatch.setattr(TokenView, "check_limits", _limited)
    assert call(method, mine, mighty) == (429, False)


def test_the_body_of_who_may_is_asked_for(api: Api) -> None:
    assert call("POST", f"{api.orders}/stocks", f"Bearer {api.token}") == (400, True)


def _limited(*_: Any, **__: Any) -> None:
    raise Problem(Reason.TOO_MANY_REQUESTS)
