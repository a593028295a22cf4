"""A caller from outside the allowed networks hears what a stranger hears, and nothing is done."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.http import HttpResponse

from accounts import denials, gate
from accounts.pool import get_pool
from opitios.core import client_address
from opitios.core.client_address import read_networks
from tests.accounts.custodial import ME, reach_from_everywhere
from tests.api.calls import Api, problem, read
from tests.hostile.forgeries import lasting
from tests.support.accounts import TRADER, token
from tests.support.orders import kinds

pytestmark = pytest.mark.django_db

# The test client is at home.
ELSEWHERE = ["10.0.0.0/8"]


@pytest.fixture
def api(db: None) -> Iterator[Api]:
    """An account of the test's own, and a subject nobody else has."""
    api = Api.open()
    api.token = token([api.account], sub=f"sub-{uuid4().hex[:12]}")
    yield api
    # A whole fleet is written out account by account where one of them is barred.
    reach_from_everywhere()


def sub_of(api: Api) -> str:
    """Who asks."""
    subject: str = read(api.get("/api/v1/token"))["subject"]
    return subject


def told(response: HttpResponse) -> dict[str, Any]:
    """An answer, but for its request's own id."""
    body = json.loads(response.content)
    about = {"status": response.status_code, "headers": lasting(response), "request_id": "-"}
    return {**body, **about}


def test_a_subject_from_elsewhere_hears_what_a_forged_token_hears(api: Api) -> None:
    forged = api.get(Authorization=f"Bearer {api.token[:-4]}AAAA")
    denials.set_subject(sub_of(api), {"allowed_ips": ELSEWHERE}, actor=ME, reason="its office")
    gate.get_gate().refresh()

    refused = api.place(key="k")

    problem(refused, 401, "unauthorized")
    assert told(refused) == told(forged)
    assert "order.queued" not in kinds(api.account)


def test_a_denied_token_hears_what_a_forged_token_hears(api: Api) -> None:
    forged = api.get(Authorization=f"Bearer {api.token[:-4]}AAAA")
    denials.deny("sub", sub_of(api), until=None, actor=ME, reason="left")
    gate.get_gate().refresh()

    assert told(api.place(key="k")) == told(forged)


def test_an_account_from_elsewhere_is_no_such_account(api: Api) -> None:
    nobody = f"t-{uuid4().hex[:12]}"
    nobodys = told(api.get(f"/api/v1/accounts/{nobody}/orders"))
    denials.set_networks(api.account, ELSEWHERE, actor=ME, reason="its office")
    gate.get_gate().refresh()

    refused = told(api.place(key="k"))

    assert refused | {"account_id": nobody} == nobodys
    whole_fleet = token(None, permissions=(*TRADER, "monitor"))
    for signed in (api.token, whole_fleet):
        api.token = signed
        assert api.get().status_code == 404
        listed = read(api.get("/api/v1/accounts?limit=500"))["accounts"]
        assert api.account not in [each["account_id"] for each in listed]
    shown = read(api.get("/api/v1/pool?limit=500"))["accounts"]
    assert api.account not in [each["account_id"] for each in shown]


@pytest.mark.parametrize(("trusted", "status"), [([], 401), (["127.0.0.1"], 200)])
def test_a_forwarded_address_counts_from_a_trusted_proxy_alone(
    api: Api, monkeypatch: pytest.MonkeyPatch, trusted: list[str], status: int
) -> None:
    monkeypatch.setattr(client_address, "_trusted", lambda: read_networks(trusted))
    denials.set_subject(sub_of(api), {"allowed_ips": ELSEWHERE}, actor=ME, reason="its office")
    gate.get_gate().refresh()
    get_pool().refresh()

    assert api.get(X_Forwarded_For="8.8.8.8, 10.0.0.7").status_code == status
