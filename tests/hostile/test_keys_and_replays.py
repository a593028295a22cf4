"""Keys of idempotency that are none, are somebody else's or old, and replays (H159 to H164)."""

import json
import random
from collections.abc import Iterator
from datetime import timedelta
from itertools import product
from typing import Any, cast

import pytest
from django.http import HttpResponse

from accounts import standings
from accounts.pool import get_pool
from accounts.standings import Pressure
from opitios.core import clock, database
from tests.api.calls import GOOD, Api, new_key, read
from tests.hostile.corpus import books, in_every_case, order, refused, untouched
from tests.support.accounts import lease, token
from tests.trading.knowing import knowing_nothing

pytestmark = pytest.mark.django_db

FULL: dict[str, Any] = {
    **GOOD,
    "client_order_id": None,
    "extended_hours": False,
    "tags": {"z": "ü", "a": "1"},
}


def with_key(api: Api, key: str, body: Any = None) -> HttpResponse:
    """Place an order under a key as it is, an empty one too."""
    raw = json.dumps(body or GOOD).encode()
    headers = {"Authorization": f"Bearer {api.token}", "Idempotency-Key": key}
    answered: Any = api.client.generic(
        "POST", f"{api.orders}/stocks", raw, content_type="application/json", headers=headers
    )
    return cast("HttpResponse", answered)


def test_h159_keys_that_are_none(api: Api) -> None:
    controls = [chr(n) for n in (*range(32), 0x7F, 0x80, 0x9F, 0xA0, 0xFF)]
    odd = ["", " ", "\t", "k" * 256, "k" * 10_000, "a b", " k", "k ", "ключ", "é", "\u200b", "ｋ",
           *controls, *(f"a{each}b" for each in controls)]  # fmt: skip

    with untouched(api.account):
        in_every_case(odd, lambda key: refused(with_key(api, key), 400))
    for key in ('"quoted"', "'", "a,b", "k" * 255, "!~", "{}", "--", "%00", "null", "\\"):
        assert with_key(api, key).status_code == 202
        assert with_key(api, key)["Idempotent-Replayed"] == "true"


def test_h160_one_key_and_another_body(api: Api) -> None:
    key = new_key()
    first = read(api.place(FULL, key=key))
    others: list[dict[str, Any]] = [
        {"qty": qty} for qty in ("11", "1", "10.000000001", "100", "0.1", 9, 10.5)
    ]
    others += [{"limit_price": price} for price in ("187.26", "187.2", "18725", 187.250001)]
    others += [{"side": "sell"}, {"time_in_force": "gtc"}, {"symbol": "MSFT"}, {"tags": {}},
               {"extended_hours": True}, {"client_order_id": "c-1"}, {"tags": {"a": "1"}},
               {"type": "market", "limit_price": None}, {"notional": "10", "qty": None},
               {"not_after": clock.rfc3339(clock.now() + timedelta(hours=1))}]  # fmt: skip

    def check(changed: dict[str, Any]) -> None:
        problem = refused(api.place({**FULL, **changed}, key=key), 422)
        assert (problem["reason"], problem["order_id"]) == ("idempotency-mismatch", first["id"])

    with untouched(api.account):
        in_every_case(others, check)


def spellings() -> Iterator[bytes]:
    """One command in many spellings: blanks, order, escapes, numbers for texts."""
    dice = random.Random(161)  # noqa: S311 - repeatable
    for number in range(30):
        pairs = [*FULL.items()]
        dice.shuffle(pairs)
        body = dict(pairs)
        body["tags"] = dict(dice.sample([*FULL["tags"].items()], 2))
        body["qty"] = dice.choice(["10", 10, "10.0", "10.000000000"])
        text = json.dumps(body, indent=dice.choice([None, 0, 3, "\t"]),
                          ensure_ascii=bool(number % 2))  # fmt: skip
        blank = dice.choice(["", " ", "\n", "\r\n", "\t"])
        yield (blank + text + blank).encode()


def test_h161_one_key_and_the_same_in_another_spelling(api: Api) -> None:
    key = new_key()
    first = api.place(FULL, key=key)

    def check(raw: bytes) -> None:
        again = api.place(raw, key=key)
        assert (again.status_code, again.content) == (202, first.content)
        assert again["Idempotent-Replayed"] == "true"

    text = json.dumps(FULL)
    twice = [f'{text[:-1]},"{name}":{json.dumps(value)}}}'.encode()
             for name, value in product(FULL, ("10", None))]  # fmt: skip
    with untouched(api.account):
        in_every_case(spellings(), check)
        for raw in twice:
            # A name twice is no JSON object here, even with the value that was stored.
            refused(api.place(raw, key=key), 400)


def test_h162_a_key_again_after_days_and_another_account_s_key(api: Api) -> None:
    keys = [new_key() for _ in range(20)]
    firsts = {key: api.place(key=key) for key in keys}
    for days, key in enumerate(keys):
        database.rows(
            "UPDATE trading_order SET created_at = created_at - %s * interval '1 day'"
            " WHERE account_id = %s AND idempotency_key = %s",
            (days, api.account, key),
        )
    other = Api.open()
    stranger = Api(api.account, token([api.account], sub="somebody-else"))

    def check(key: str) -> None:
        again = api.place(key=key)
        assert (again.status_code, again.content) == (202, firsts[key].content)
        refused(api.place(order(qty="3"), key=key), 422)

    with untouched(api.account):
        in_every_case(keys, check)
    for caller in (other, stranger):
        # Subject and account are part of a key: theirs are new, and show nothing of mine.
        for key in keys:
            placed = caller.place(key=key)
            assert placed.status_code == 202
            assert "Idempotent-Replayed" not in placed
            assert read(placed)["id"] not in str([first.content for first in firsts.values()])


def test_h163_a_flood_of_keys_stores_nothing_that_is_no_order(api: Api) -> None:
    """A key is kept with its order, and nowhere else: what is refused spends none."""
    nothing = Api(api.account, token([api.account], permissions=["account_read"]))
    with knowing_nothing():
        lease(api.account, "desk-1/a")
        full = Pressure(api.account, waiting=100_000, submits_left=0)
        standings.tell("desk-1/a", [full])
        get_pool().refresh_standings()
        ways = [
            lambda key: refused(api.place(order(qty="NaN"), key=key), 422),
            lambda key: refused(api.place(b"{", key=key), 400),
            lambda key: refused(nothing.place(key=key), 403),
            lambda key: refused(Api("nobody", api.token).place(key=key), 404),
            lambda key: refused(Api(api.account, "no").place(key=key), 401),
            lambda key: refused(api.place(key=key), 429),
        ]
        keys = [new_key() for _ in range(40)]
        with untouched(api.account):
            in_every_case(product(keys, ways), lambda case: case[1](case[0]))
        # Its size would tell of vacuum's files, too.
        assert (
            database.rows("SELECT FROM trading_order WHERE idempotency_key = ANY(%s)", [keys]) == []
        )
    with knowing_nothing():
        standings.tell("desk-1/a", [Pressure(api.account)])
        get_pool().refresh_standings()
        for key in keys[:20]:
            assert api.place(key=key).status_code == 202


def test_h164_a_captured_request_after_its_token_ended(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    captured = [(new_key(), order(qty=str(number))) for number in range(1, 21)]
    firsts = [api.place(body, key=key) for key, body in captured]
    assert {first.status_code for first in firsts} == {202}
    count = books(api.account)["orders"]
    later = clock.now() + timedelta(hours=2)
    monkeypatch.setattr(clock, "now", lambda: later)

    def check(case: tuple[str, dict[str, Any]]) -> None:
        refused(api.place(case[1], key=case[0]), 401, hides=[api.account])
        refused(api.place(case[1], key=new_key()), 401)

    with untouched(api.account):
        in_every_case(captured, check)
    assert books(api.account)["orders"] == count == len(captured)
