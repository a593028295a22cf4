"""`POST halts`, `GET halts`, `DELETE halts/{halt_id}`: who may, and what is answered."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from django.http import HttpResponse

from accounts.journal import Actor
from accounts.models import Halt
from tests.api.calls import Api, new_key, problem, read
from tests.support.accounts import token
from tests.support.halting import ME, halted
from tests.support.orders import kinds, place, row_of
from trading import halts

pytestmark = pytest.mark.django_db

HALTS = "/api/v1/halts"


@pytest.fixture(autouse=True)
def _lifted(api: Api) -> Iterator[None]:
    yield
    for row in halts.list_halts(frozenset([api.account]), standing=True, limit=500):
        halts.lift(row["id"], actor=ME, reason="the test is over")


def by(api: Api, *permissions: str, sub: str = "bot-7", everything: bool = False) -> Api:
    """The same account's caller with these permissions alone."""
    held = None if everything else [api.account]
    return Api(api.account, token(held, permissions=permissions, sub=sub))


def post(caller: Api, **changed: Any) -> HttpResponse:
    """Halt the caller's account, or what `changed` says."""
    body = {"scope": "account", "account_id": caller.account, "reason": "odd orders"} | changed
    return caller.call("POST", HALTS, body)


def lift(caller: Api, halt_id: str, query: str = "") -> HttpResponse:
    """Lift one halt."""
    return caller.call("DELETE", f"{HALTS}/{halt_id}{query}")


def test_g16_a_trader_halts_an_account_and_lifts_it(api: Api) -> None:
    waiting = place(api.account)

    answered = post(api)

    assert answered.status_code == 201
    halt = read(answered)
    assert (halt["scope"], halt["mode"], halt["set_by"]) == ("account", "halt", "bot-7")
    assert (halt["in_flight"], halt["lifted_at"], halt["cancel_orders"]) == ([], None, False)
    key = new_key()
    refused = problem(api.place(key=key), 422, "halted")
    assert refused["order_id"] is not None
    lifted = read(lift(api, halt["id"], "?reason=explained"))
    assert (lifted["lifted_by"], lifted["lifted_reason"]) == ("bot-7", "explained")
    assert api.place().status_code == 202
    assert row_of(waiting)["status"] == "queued"
    assert kinds(api.account) == [
        "order.queued", "account.halted", "order.denied", "account.halt_lifted", "order.queued",
    ]  # fmt: skip


def test_a_denial_is_replayed_byte_for_byte(api: Api) -> None:
    key = new_key()
    with halted(api.account):
        first = api.place(key=key)
    again = api.place(key=key)

    assert (first.status_code, again.status_code) == (422, 422)
    assert first.content == again.content
    assert again["Idempotent-Replayed"] == "true"
    assert again["Location"] == first["Location"]
    assert "Idempotent-Replayed" not in first
    waited = api.place(key=key, Prefer="wait=1")
    assert (waited.content, waited["Preference-Applied"]) == (first.content, "wait=1")
    order = read(api.get(f"/{read(first)['order_id']}"))
    assert (order["status"], order["reason"], order["attempts"]) == ("denied", "halted", [])
    assert order["problem"]["reason"] == "halted"


def test_the_same_again_is_200_and_the_same_halt(api: Api) -> None:
    first, again = post(api), post(api, reason="once more")

    assert (first.status_code, again.status_code) == (201, 200)
    assert read(first)["id"] == read(again)["id"]


def test_halts_are_listed_for_who_holds_the_account_and_for_nobody_else(api: Api) -> None:
    other = Api.open()
    mine = read(post(api, scope="symbol", symbol="AAPL"))

    listed = read(api.get(HALTS))["halts"]
    assert [one["id"] for one in listed if one["account_id"] == api.account] == [mine["id"]]
    assert mine["id"] not in [one["id"] for one in read(other.get(HALTS))["halts"]]
    lift(api, mine["id"])
    assert mine["id"] not in [one["id"] for one in read(api.get(HALTS))["halts"]]
    page = read(api.get(f"{HALTS}?state=lifted&limit=1"))
    assert [one["id"] for one in page["halts"]] == [mine["id"]]
    for query in ("?state=gone", "?limit=0", "?page_token=x", "?account=1"):
        problem(api.get(HALTS + query), 400, "bad-parameter")


def test_a_halt_of_everything_or_of_a_symbol_everywhere_needs_an_operator_of_all(
    api: Api,
) -> None:
    fleet = by(api, "trade", everything=True)
    wide: Sequence[dict[str, Any]] = (
        {"scope": "global", "account_id": None},
        {"scope": "symbol", "account_id": None, "symbol": "ZZZZZ"},
    )
    for body in wide:
        for caller in (api, by(api, "operator"), fleet):
            problem(post(caller, **body), 403, "missing-permission")
    chief = by(api, "operator", everything=True, sub="chief")

    for body in wide:
        halt = read(post(chief, **body))
        problem(lift(fleet, halt["id"]), 403, "missing-permission")
        problem(lift(api, halt["id"]), 403, "missing-permission")
        # Everybody is concerned, and may know.
        assert halt["id"] in [one["id"] for one in read(api.get(HALTS))["halts"]]
        assert lift(chief, halt["id"]).status_code == 200

    assert kinds(api.account) == []


def test_with_trade_only_the_same_subject_s_are_lifted_with_operator_any(api: Api) -> None:
    his = Actor("principal", "bot-8", {"sub": "bot-8"})
    with halted(api.account, actor=his) as row:
        halt_id = str(row["id"])
        problem(lift(api, halt_id), 403, "missing-permission")
        assert lift(by(api, "operator"), halt_id).status_code == 200


def test_foreign_unknown_and_malformed_halts_are_one_answer(api: Api) -> None:
    other = Api.open()
    with halted(other.account) as row:
        answers = [
            lift(api, halt_id)
            for halt_id in (str(row["id"]), "019aa0c2-6f1e-7c3a-9b1e-2f5d8c1a7e40", "x")
        ]

        assert halts.find(row["id"]) == row
    for answered in answers:
        problem(answered, 404, "not-found")
    assert len({read(one)["detail"] for one in answers}) == 1


def test_an_account_that_is_not_the_token_s_cannot_be_halted(api: Api) -> None:
    other = Api.open()

    for account_id in (other.account, "nobody"):
        for caller in (api, by(api, "operator")):
            problem(post(caller, account_id=account_id), 404, "not-found")

    assert not Halt.objects.filter(account_id=other.account).exists()
    assert kinds(other.account) == []


def test_other_permissions_are_not_enough_to_see_any(api: Api) -> None:
    reader = by(api, "account_read", "market_data", "monitor", "admin")

    problem(reader.get(HALTS), 403, "missing-permission")
    problem(post(reader), 403, "missing-permission")
    problem(lift(reader, "x"), 403, "missing-permission")


WRONG: Sequence[tuple[str, dict[str, Any]]] = [
    ("scope", {"scope": None}),
    ("scope", {"scope": "planet"}),
    ("scope", {"scope": 1}),
    ("account_id", {"account_id": None}),
    ("account_id", {"account_id": 7}),
    ("account_id", {"account_id": "x" * 65}),
    ("account_id", {"account_id": "a\x00b"}),
    ("account_id", {"scope": "global"}),
    ("symbol", {"symbol": "AAPL"}),
    ("symbol", {"scope": "symbol"}),
    ("symbol", {"scope": "symbol", "symbol": "aapl; drop"}),
    ("mode", {"mode": "stop"}),
    ("mode", {"mode": ["halt"]}),
    ("reason", {"reason": None}),
    ("reason", {"reason": " "}),
    ("reason", {"reason": 1}),
    ("reason", {"reason": "two\nlines"}),
    ("reason", {"reason": "x" * 201}),
    ("cancel_orders", {"cancel_orders": "yes"}),
    ("accounts", {"accounts": ["*"]}),
]


@pytest.mark.parametrize(("field", "changed"), WRONG)
def test_a_body_that_is_not_understood_halts_nothing(
    api: Api, field: str, changed: dict[str, Any]
) -> None:
    refused = problem(post(api, **changed), 422, "invalid-parameter")

    assert field in [error["field"] for error in refused["errors"]]
    assert not Halt.objects.filter(account_id=api.account).exists()


def test_bytes_that_are_no_object_are_a_400(api: Api) -> None:
    problem(api.call("POST", HALTS, b"[]"), 400, "malformed-body")
    problem(api.call("POST", HALTS, b'{"scope":"account","scope":"global"}'), 400, "malformed-body")
