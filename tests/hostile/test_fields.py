"""Words, flags, ids and columns that an order may not say (H050, H086, H087, H089)."""

import json
import random
from itertools import product
from typing import Any

import pytest

from tests.api.calls import Api
from tests.hostile.corpus import order, refused_orders
from trading.commands import FIELDS, SIDES, TIMES_IN_FORCE, TYPES
from trading.models import Order
from trading.shapes import ORDER_KEYS

pytestmark = pytest.mark.django_db

WORDS = {"side": SIDES, "type": TYPES, "time_in_force": TIMES_IN_FORCE, "order_class": ("simple",)}


def test_h050_another_account_and_columns_of_ours_in_the_body(api: Api) -> None:
    other = Api.open()
    columns = {field.attname for field in Order._meta.get_fields() if hasattr(field, "attname")}
    ours = (columns | {*ORDER_KEYS} | {"is_admin", "__proto__", "constructor", "state", "account",
            "accountId", "account-id", "Account_Id", "ACCOUNT_ID"}) - FIELDS.keys()  # fmt: skip
    values: list[Any] = [other.account, "filled", True, {"account_id": other.account}]

    refused_orders(api, [order(**{name: value}) for name, value in product(sorted(ours), values)])


def test_h086_words_that_no_field_knows(api: Api) -> None:
    unknown = ("", "hold", "short", "iceberg", "gtd", "moc", "null", "0", "buy sell", "buy,sell",
               "bracket", "oco", "\u0000", "buy\n", "'--", "{{7*7}}")  # fmt: skip
    odd: list[Any] = [True, 1, 0.5, ["buy"], {"$ne": "buy"}]
    cases = [
        order(**{field: word})
        for field, word in product(WORDS, [*unknown, *odd])
        if (field, word) != ("order_class", "")
    ]

    refused_orders(api, cases)


def test_h087_its_words_in_another_case(api: Api) -> None:
    dice = random.Random(87)  # noqa: S311 - repeatable

    def cased(word: str) -> str:
        return "".join(dice.choice((c.upper(), c.lower())) for c in word)

    cases = [
        order(**{field: spelled})
        for field, words in WORDS.items()
        for word in words
        for spelled in {word.upper(), word.title(), f" {word}", f"{word} ", cased(word)}
        if spelled != word
    ]
    # What lower() and casefold() take for a letter of the word.
    cases += [order(side="\u017fell"), order(type="\uff4cimit"), order(time_in_force="d\u0430y")]
    refused_orders(api, cases)


def test_h089_client_order_ids_like_our_own_or_odd(api: Api) -> None:
    odd: list[Any] = [
        "op1-", "op1-mine", "op1-019aa0c26f1e7c3a9b1e2f5d8c1a7e40", "op1--", "op1-" + "a" * 124,
        "", " ", "a b", "a/b", "a\n", "\ta", "a\x00", "a" * 129, "a" * 60_000, "ключ", "ａ",
        "a\u200d",
        "'; DROP TABLE trading_order;--", "../orders", "%00", "a?b", "a&b=c", "a#b", "<b>", "a,b",
        "{{7*7}}", "$(id)", 7, 1.5, True, [], ["a"], {}, {"$ne": None},
    ]  # fmt: skip

    refused_orders(api, [order(client_order_id=each) for each in odd])
    # Half a surrogate pair is not Unicode: refused with the whole body.
    assert api.place(json.dumps(order(client_order_id="\ud800")).encode()).status_code == 400
