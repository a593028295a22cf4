"""Symbols that are none, and texts that mean something elsewhere (H106 to H112, H115 to H120)."""

import json
import random
from collections.abc import Iterable, Iterator
from itertools import product
from string import ascii_uppercase
from urllib.parse import quote

import pytest
from django.http import HttpResponse

from tests.api.calls import Api, read
from tests.hostile.corpus import MANY, in_every_case, order, refused, untouched
from tests.support.accounts import token

pytestmark = pytest.mark.django_db

# Letters that look like A, P and L, and what other alphabets fold into them.
LOOK_ALIKES = "АΑᎪᗅꓮ𝐀𝖠Ａ"
MEANINGFUL = {
    "sql": ("' OR 1=1--", "'; DROP TABLE trading_order;--", "1 UNION SELECT NULL", "\\'--", "AAPL'",
            "$$;SELECT pg_sleep(9)", "E'\\x00'", '{"$ne":null}', "[$gt]=", "%' OR '%'='"),
    "templates": ("{{7*7}}", "${7*7}", "{%debug%}", "#{7*7}", "<%= 7*7 %>", "*)(uid=*", "*)(|(&",
                  "$(id)", "`id`", "; id", "| id", "&& id", "%(name)s", "{0.__class__}", "\\u0041"),
    "paths": ("..", "../account", "..\\account", "....//", "/etc/passwd", "./AAPL", "AAPL/../MSFT",
              "AAPL/", "//AAPL", "file:///etc/passwd", "http://127.0.0.1/", "~root", "AAPL?x=1",
              "AAPL#x", "AAPL;x=1"),
}  # fmt: skip


@pytest.fixture
def api(there: Api) -> Api:
    """An account at a broker that answers, and a token that may also read quotes."""
    there.token = token([there.account], permissions=("account_read", "trade", "market_data"))
    return there


def escaped(text: str) -> str:
    """The text as a part of a URL, half a surrogate pair too."""
    return quote(text.encode("utf-8", "surrogatepass"), safe="")


def asked_for(api: Api, symbol: str) -> Iterator[HttpResponse]:
    """Everything that takes one stock's symbol."""
    yield api.place(order(symbol=symbol))
    for path in (f"accounts/{api.account}/positions/{escaped(symbol)}",
                 f"stocks/quote/{escaped(symbol)}"):  # fmt: skip
        yield api.get(f"/api/v1/{path}")


def no_symbols(api: Api, symbols: Iterable[str]) -> None:
    """Each of these is no symbol anywhere."""

    def check(symbol: str) -> None:
        for answer in asked_for(api, symbol):
            refused(answer, 400, 404, 413, 422)

    with untouched(api.account):
        in_every_case(symbols, check)


def one_replaced(letters: Iterable[str]) -> list[str]:
    """AAPL with one letter replaced by each of these, in every place."""
    return [f"{'AAPL'[:n]}{each}{'AAPL'[n + 1 :]}" for n in range(4) for each in letters]


def one_inserted(letters: Iterable[str]) -> list[str]:
    """AAPL with each of these before, within and behind it."""
    return [f"{'AAPL'[:n]}{each}{'AAPL'[n:]}" for n in (0, 2, 4) for each in letters]


def test_h106_cyrillic_and_full_width_letters(api: Api) -> None:
    no_symbols(api, [*one_replaced(LOOK_ALIKES), "ＡＡＰＬ", "ААРL", "ᴀᴀᴘʟ"])


def test_h107_what_is_not_seen_or_turns_the_text_around(api: Api) -> None:
    marks = "\u202e\u202d\u200d\u200b\u0301\ufe0f\u2066\u00ad\u061c\u180e"
    no_symbols(api, [*one_inserted(marks), "🍎", "👨\u200d💻", "AAPL🚀", "Z\u0351\u036b\u0343"])


def test_h108_nul_half_pairs_and_line_ends(api: Api) -> None:
    ends = ("\x00", "\ud800", "\udfff", "\r\n", "\n", "\r", "\u2028", "\x85", "\x1b[31m", "\x7f",
            "\r\nX-Injected: 1")  # fmt: skip
    no_symbols(api, one_inserted(ends))


def test_h109_a_symbol_of_a_megabyte(api: Api) -> None:
    sizes = (7, 22, 100, 300, 10_000, 60_000, 1_000_000)
    no_symbols(api, [unit * (size // len(unit)) for size, unit in product(sizes, "A", )]
               + ["AB" * 500_000, "A." * 30_000, "9" * 1_000_000, "\u00c4" * 100_000]
               + ["A" * n for n in range(22, 32)])  # fmt: skip


def test_h110_lower_case(api: Api) -> None:
    dice = random.Random(110)  # noqa: S311 - repeatable
    some = {"".join(dice.choice((c, c.lower())) for c in word) for word in ("AAPL", "GOOGL") * 20}
    no_symbols(api, sorted(each for each in some if not each.isupper()))


def test_h111_classes_of_shares_spelled_elsewhere_otherwise(api: Api) -> None:
    marks = "/-_ :+,~^"
    others = [f"BRK{mark}{share}" for mark, share in product(marks, "AB")]
    others += ["BRK.", ".B", "BRK..B", "BRK.B.C", "BRK.b", "B RK.B", "BRK.BCDE"]

    def check(symbol: str) -> None:
        refused(api.place(order(symbol=symbol)), 422)
        refused(api.get(f"/api/v1/stocks/quote/{escaped(symbol)}"), 400, 404)

    with untouched(api.account):
        in_every_case(others, check)
    assert api.place(order(symbol="BRK.B")).status_code == 202


def test_h112_a_crypto_pair_as_a_stock(api: Api) -> None:
    pairs = ["/".join(pair) for pair in product(("BTC", "ETH", "DOGE", "SOL"), ("USD", "USDT"))]
    others = [pair.replace("/", mark) for pair, mark in product(pairs, ("-", "_"))]

    no_symbols(api, [*pairs, *others, "BTC/USD/ETH", "/USD", "BTC/"])


def ids_of_nothing(api: Api, text: str) -> Iterator[HttpResponse]:
    """Everything else that takes a text: ids, tokens, words, instants."""
    word = escaped(text)
    for rest in (f"orders/{word}", f"orders/{word}/events", f"orders:by_client_order_id?"
                 f"client_order_id={word}", f"orders?page_token={word}", f"orders?side={word}",
                 f"orders?after={word}", f"orders?symbols={word}", f"journal?kind={word}",
                 f"journal?after={word}", f"fills?page_token={word}", f"orders?status={word}",
                 f"activities?activity_types={word}", f"portfolio/history?period={word}",
                 f"orders?{word}=1"):  # fmt: skip
        yield api.get(f"/api/v1/accounts/{api.account}/{rest}")
    yield api.delete(word)
    yield api.get(f"/api/v1/accounts?page_token={word}")
    # Dots alone are a client_order_id like any other.
    yield api.place(order(client_order_id=f"/{text}", tags={text: "x"}))


def nothing_there(api: Api, texts: Iterable[str]) -> None:
    """Each of these is no symbol, names nothing, and means nothing."""
    cases = [text for word in texts for text in (word, f"AAPL{word}")]

    def check(text: str) -> None:
        for answer in (*asked_for(api, text), *ids_of_nothing(api, text)):
            refused(answer, 400, 404, 422)

    with untouched(api.account):
        in_every_case(cases, check)


def test_h115_sql_and_nosql(api: Api) -> None:
    nothing_there(api, MEANINGFUL["sql"])


def test_h116_templates_ldap_and_shell(api: Api) -> None:
    nothing_there(api, MEANINGFUL["templates"])


def test_h117_symbols_like_paths(api: Api) -> None:
    nothing_there(api, MEANINGFUL["paths"])


def test_h118_bytes_encoded_in_the_url(api: Api) -> None:
    raw = ("%00", "%0a", "%0d%0aX:y", "%ff", "%c0%ae%c0%ae", "%e2%80%ae", "%u0041", "%", "%2",
           "%zz", "%25", "%2500", "%252e", "%ed%a0%80", "%f4%90%80%80")  # fmt: skip
    places = ("accounts/{0}/positions/{1}", "stocks/quote/{1}", "accounts/{0}/orders/{1}",
              "accounts/{0}/orders:by_client_order_id?client_order_id={1}",
              "accounts/{0}/orders?symbols={1}", "accounts/{0}/orders?page_token={1}",
              "accounts/{0}/journal?kind={1}", "accounts/{1}/orders")  # fmt: skip

    def check(path: str) -> None:
        refused(api.get(f"/api/v1/{path}"), 400, 404)

    with untouched(api.account):
        in_every_case(
            [place.format(api.account, f"{before}{each}")
             for place, each, before in product(places, raw, ("", "AAPL"))], check)  # fmt: skip


def test_h119_too_many_symbols_and_symbols_twice(api: Api) -> None:
    many = [f"A{first}{second}" for first, second in product(ascii_uppercase, repeat=2)]
    place = f"{api.orders}?symbols="

    def check(count: int) -> None:
        refused(api.get(place + ",".join(many[:count])), 400)

    with untouched(api.account):
        in_every_case([*range(101, 101 + MANY), len(many)], check)
        for symbols in (["AAPL"] * 100, ["AAPL", "", "AAPL"], many[:100]):
            assert read(api.get(place + ",".join(symbols)))["orders"] == []


@pytest.mark.timeout(600, func_only=True)
def test_h120_patterns_are_judged_in_linear_time(api: Api) -> None:
    """Each of these takes a careless pattern hours: the test would never end."""
    long = 50_000
    texts = ["A" * long + "!", "A." * long, "." * long, "1" * long + "x", "2026-" * long,
             "a" * long + "\x00", ("A," * long), "%2e" * long, "=" * long, " " * long + "x",
             "A1" * long, "-" * long, "T" * long, "0." * long]  # fmt: skip
    bodies = [json.dumps(order(symbol=each[:60_000])).encode() for each in texts]
    bodies += [json.dumps(order(not_after=each[:60_000])).encode() for each in texts]

    with untouched(api.account):
        in_every_case(bodies, lambda body: refused(api.place(body), 400, 413, 422))
        for text in texts:
            for answer in ids_of_nothing(api, text):
                refused(answer, 400, 404, 413, 422)
