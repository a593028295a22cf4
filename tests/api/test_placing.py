"""POST …/orders/stocks: 202, its headers and its bytes, exactly as api.md §1 and §3 say."""

import json

import pytest

from tests.api.calls import GOOD, Api, new_key, problem, read
from tests.support.accounts import token
from tests.support.orders import entries, kinds
from trading import shapes

pytestmark = pytest.mark.django_db


def test_an_accepted_order_is_202_with_its_place_and_every_key(api: Api) -> None:
    response = api.place(key=new_key())

    body = read(response)
    assert response.status_code == 202
    assert list(body) == list(shapes.ORDER_KEYS)
    assert response["Location"] == f"{api.orders}/{body['id']}"
    assert "Idempotent-Replayed" not in response
    assert "Preference-Applied" not in response
    assert read(api.get(f"/{body['id']}")) | body == read(api.get(f"/{body['id']}"))
    assert body | {
        "account_id": api.account, "environment": "sandbox", "status": "queued", "final": False,
        "qty": "10", "limit_price": "187.25", "order_type": "limit", "order_class": "simple",
        "asset_class": "us_equity", "filled_qty": "0", "extended_hours": False, "tags": {},
        "seq": 1, "reason": None, "broker_order_id": None, "notional": None,
        "client_order_id": f"op1-{body['id'].replace('-', '')}",
    } == body  # fmt: skip


@pytest.mark.parametrize("body", [GOOD, GOOD | {"tags": {"z": "ü", "a": "1"}, "qty": "1.50"}])
def test_a_replay_is_the_same_status_and_the_same_bytes(api: Api, body: dict[str, object]) -> None:
    key = new_key()
    first = api.place(body, key=key)

    again = api.place(dict(reversed(body.items())), key=key)

    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again["Idempotent-Replayed"] == "true"
    assert again["Location"] == first["Location"]
    assert kinds(api.account) == ["order.queued"]


def test_without_a_key_the_client_order_id_is_the_key(api: Api) -> None:
    first = api.place(GOOD | {"client_order_id": "c-1"})

    again = api.place(GOOD | {"client_order_id": "c-1"})

    assert again.content == first.content
    assert again["Idempotent-Replayed"] == "true"
    assert "hint" not in read(first)


def test_with_neither_the_hint_warns_and_a_repeat_is_a_second_order(api: Api) -> None:
    first, second = read(api.place()), read(api.place())

    assert first["id"] != second["id"]
    assert list(first) == [*shapes.ORDER_KEYS, "hint"]


def test_another_command_under_the_key_is_422_and_names_the_first_order(api: Api) -> None:
    key = new_key()
    first = read(api.place(key=key))

    body = problem(api.place(GOOD | {"qty": "11"}, key=key), 422, "idempotency-mismatch")

    assert body["order_id"] == first["id"]
    assert body["retry"] == "new_key"
    assert kinds(api.account) == ["order.queued"]


def test_an_id_used_under_another_key_or_by_another_subject_is_409(api: Api) -> None:
    api.place(GOOD | {"client_order_id": "c"}, key=new_key())
    somebody = Api(api.account, token([api.account], sub="bot-8"))

    for caller, key in ((api, new_key()), (api, None), (somebody, None)):
        response = caller.place(GOOD | {"client_order_id": "c"}, key=key)
        body = problem(response, 409, "client-order-id-used")
        assert body["order_id"] is None
    assert kinds(api.account) == ["order.queued"]


@pytest.mark.parametrize("key", ["k" * 255, '"quoted"', "a,b", "!~"])
def test_a_key_is_visible_ascii(api: Api, key: str) -> None:
    assert api.place(key=key).status_code == 202
    assert api.place(key=key)["Idempotent-Replayed"] == "true"


@pytest.mark.parametrize("key", ["k" * 256, "a b", "a\tb", "ключ", "\x7f", " "])
def test_h159_another_key_is_refused_and_nothing_is_stored(api: Api, key: str) -> None:
    body = problem(api.place(key=key), 400, "bad-parameter")

    assert body["errors"][0]["field"] == "Idempotency-Key"
    assert kinds(api.account) == []


def test_the_journal_keeps_who_asked_and_what_was_sent(api: Api) -> None:
    raw = json.dumps(GOOD).encode()
    key = new_key()

    response = api.place(raw, key=key, X_Request_ID="mine-1")

    [entry] = entries(api.account)
    assert entry["actor"]["kind"] == "principal"
    assert entry["actor"]["on_behalf_of"].items() >= {"sub": "bot-7", "ip": "127.0.0.1"}.items()
    assert entry["actor"]["on_behalf_of"]["permissions"] == ["account_read", "trade"]
    assert entry["request"]["request_id"] == response["X-Request-ID"] == "mine-1"
    assert entry["request"]["idempotency_key"] == key
    assert len(entry["request"]["body_sha256"]) == 64


def test_numbers_are_read_as_the_text_they_are(api: Api) -> None:
    raw = b'{"symbol":"AAPL","side":"buy","type":"limit","time_in_force":"day",' + (
        b'"qty":0.100000001,"limit_price":187.250}'
    )

    body = read(api.place(raw))

    assert (body["qty"], body["limit_price"]) == ("0.100000001", "187.25")
