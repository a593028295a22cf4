"""Quantities and prices that are none: refused before anything is stored (H061 to H076, H080)."""

import json
import random
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import product
from typing import Any

import pytest

from tests.api.calls import Api
from tests.hostile.corpus import order, refused_orders, written
from tests.trading.test_order_fields import DECIMALS

pytestmark = pytest.mark.django_db


def spelled(texts: Iterable[str], bare: Iterable[str] = ()) -> Iterator[bytes]:
    """Each text in every decimal field, as a JSON string, and some as they stand."""
    tokens = [*(json.dumps(text, ensure_ascii=False) for text in texts), *bare]
    for field, changed in DECIMALS.items():
        yield from (written(token, field, order(**changed)) for token in tokens)


def test_h061_nan_and_infinity(api: Api) -> None:
    words = ("NaN", "nan", "NAN", "-NaN", "sNaN", "snan1", "NaN123", "Infinity", "-Infinity",
             "+Infinity", "inf", "-inf", "INFINITY", "∞")  # fmt: skip
    refused_orders(api, spelled(words, ("NaN", "Infinity", "-Infinity", "nan", "inf")))


def test_h062_zero_and_less_than_nothing_of_it(api: Api) -> None:
    zeros = ("0", "-0", "0.0", "-0.0", "0.000000000", "00", "0e0", "+0", "0.", ".0")
    refused_orders(api, spelled(zeros, ("0", "-0", "0.0", "-0.0", "0e5", "0E-9")))


def test_h063_negative(api: Api) -> None:
    negative = ("-1", "-10.5", "-0.000000001", "\u22125", "\uff0d5", "\u20135", "--5", "5-", "(5)",
                "-999999999999")  # fmt: skip
    refused_orders(api, spelled(negative, ("-1", "-0.01", "-1e5", "-999999999999")))


def test_h064_exponents_beyond_any_memory(api: Api) -> None:
    huge = ("1e400", "1E+999999", "1e999999999", "9e99999999999999999999", "1e5", "1E2", "1e+1",
            "1e-999999999")  # fmt: skip
    refused_orders(api, spelled(huge, huge))


def test_h065_more_decimals_than_nine(api: Api) -> None:
    fine = ("1e-10", "0.0000000001", "1.0000000001", "187.1234567890", "0.1234567891",
            "0." + "0" * 5000 + "1")  # fmt: skip
    refused_orders(api, spelled(fine, fine))


def test_h066_nineteen_digits(api: Api) -> None:
    long = ("9" * 19, "9" * 13, "1000000000000", "9" * 18 + ".5", "0" * 18 + "1", "1" * 64)
    refused_orders(api, spelled(long, (each for each in long if each[0] != "0")))


def test_h067_an_integer_longer_than_python_converts(api: Api) -> None:
    # Python refuses to convert more than 4,300 digits: with a ValueError of its own.
    long = ("9" * 4300, "9" * 4301, "1" * 20_000, "0." + "1" * 4301)
    refused_orders(api, spelled(long, long))


def test_h068_grouped_digits(api: Api) -> None:
    grouped = ("1_000", "1,000", "1 000", "1'000", "1\u00a0000", "1.000,5", "1,5", "1_0.5", "_1",
               "1_")  # fmt: skip
    refused_orders(api, spelled(grouped, ("1_000", "1'000")))


def test_h069_digits_of_other_scripts(api: Api) -> None:
    dice = random.Random(69)  # noqa: S311 - repeatable
    digits = [chr(n) for n in range(128, 0x1FFFF) if unicodedata.category(chr(n)) in {"Nd", "No"}]
    others = [*dice.sample(digits, 40), "１２", "٣", "Ⅷ", "½", "10\u0660", "𝟙0", "²"]
    refused_orders(api, spelled(others))


def test_h070_blanks_and_signs_around_a_number(api: Api) -> None:
    blanks = (" 5 ", "5\n", "\t5", "5\r", "+5", "5\u2028", "\ufeff5", "5\x0b", "5 0", "\u20035",
              "5\x00", "5\u200b")  # fmt: skip
    refused_orders(api, spelled(blanks, ("+5", "5 5")))


def test_h071_other_bases(api: Api) -> None:
    bases = ("0x10", "0X10", "0b1", "0o7", "007", "010", "1f", "&H10", "10h", "0x1p3")
    refused_orders(api, spelled(bases, ("0x10", "0b1", "007", "010", "0x1p3")))


def test_h072_booleans(api: Api) -> None:
    refused_orders(api, spelled(("true", "false", "yes", "T"), ("true", "false", "True")))


def test_h073_lists_and_objects(api: Api) -> None:
    nested = "[" * 18 + "5" + "]" * 18
    shapes = ("[]", "{}", "[5]", '["5"]', '{"qty":"5"}', '{"$gt":0}', '{"__class__":"Decimal"}',
              nested)  # fmt: skip
    refused_orders(api, spelled((), shapes))


def test_h074_null_and_the_empty_text(api: Api) -> None:
    missing = [written("null", field, order(**changed)) for field, changed in DECIMALS.items()]
    # Null means absent: each of these is needed where it stands.
    empty = [*spelled(("", " ", "null", "None", "undefined", "-", "."), ('""',))]
    refused_orders(api, [*missing, *empty])


def test_h075_what_doubles_make_of_sums(api: Api) -> None:
    dice = random.Random(75)  # noqa: S311 - repeatable
    sums = [0.1 + 0.2, 0.1 * 3, 1.1 + 2.2, *(dice.random() * 3 for _ in range(20))]
    refused_orders(api, spelled(map(repr, sums), map(repr, sums)))


def test_h076_shares_and_dollars_both_or_none(api: Api) -> None:
    sizes: list[dict[str, Any]] = [
        {"qty": q, "notional": n} for q, n in product(("1", 2, "0.5", "NaN"), ("5", 5, "-1"))
    ]
    none: list[dict[str, Any]] = [
        {"qty": None, "notional": None, "side": side} for side in ("buy", "sell")
    ]
    types: list[dict[str, Any]] = [{"type": "market", "limit_price": None}, {}]

    refused_orders(api, [order(**size, **kind) for size, kind in product([*sizes, *none], types)])


def test_h080_both_trails_or_none(api: Api) -> None:
    trails = [*product(("1", "0.5", 2, "0"), ("1", 5, "0")), (None, None), (None, "0"), ("0", None)]
    tifs = ("day", "gtc")

    refused_orders(api, [
        order(type="trailing_stop", limit_price=None, trail_price=p, trail_percent=c,
              time_in_force=tif)
        for (p, c), tif in product(trails, tifs)
    ])  # fmt: skip
