"""Odd claims under good signatures (H018 to H032, H034, H039): no wider right, no 500."""

import json
import time
import unicodedata
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
import time_machine

from accounts import denials, gate
from accounts.tokenkeys import LEEWAY_SECONDS
from accounts.tokens import EXPIRED
from opitios.core import clock
from tests.accounts.custodial import ME
from tests.accounts.issuer import OTHER_SECRET, hs256, token
from tests.api.calls import Api, read
from tests.hostile.corpus import in_every_case, refused, untouched
from tests.hostile.forgeries import all_refused, good, lasting, raw, ring, signed_by, use

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def keys(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ring with a key of every kind."""
    use(monkeypatch, ring())


@pytest.fixture
def still(db: None) -> Iterator[int]:
    """The second it is, for as long as the test lasts: a token of the future does not come due."""
    with time_machine.travel(clock.now(), tick=False):
        yield int(time.time())


def spelled(api: Api, **changed: Any) -> str:
    """A token with these claims, null and nothing else left out."""
    return token(json.dumps(good(api) | changed).encode())


def test_h018_an_exp_that_is_no_number(api: Api) -> None:
    later = int(time.time()) + 60
    odd: list[Any] = [None, "", str(later), f" {later}", f"{later}.0", "never", "2030-01-01", True,
                      False, [], [later], {}, {"$gt": 0}, {"exp": later}, [[later]], "0x7fffffff",
                      "∞", f"{later}\n", "１７９９９９９９９９", "null"]  # fmt: skip

    all_refused(api, [spelled(api, exp=each) for each in odd] + [token(good(api, exp=None))])


def test_h019_an_exp_that_no_clock_holds(api: Api) -> None:
    later = int(time.time()) + 60
    texts = [f"{later}.5", f"{later}.0", f"{later}e0", "1e10", "1e400", "-1e400", "1E+999999",
             "NaN", "Infinity", "-Infinity", "1" + "0" * 20, "1" + "0" * 400, "9" * 5000, "-1",
             f"-{later}", "0", "-0", "0.0", "253402300800", "1e-400", "4294967296000",
             "9223372036854775808", f"0{later}", f"+{later}", "0x7fffffff",
             "1_800_000_000"]  # fmt: skip

    all_refused(api, [raw(good(api), name, text) for name in ("exp", "iat", "nbf")
                      for text in texts if (name, text) != ("nbf", "x")])  # fmt: skip


def test_h020_an_exp_further_away_than_a_day(api: Api, still: int) -> None:
    now = still
    far = [86_401, 86_460, 90_000, 2 * 86_400, 7 * 86_400, 30 * 86_400, 365 * 86_400, 10**9, 10**10]
    cases = [spelled(api, iat=now - ago, exp=now - ago + each) for each in far for ago in (0, 60)]
    # No `iat` to reckon from, and one after the end.
    cases += [token(good(api, iat=None, exp=now + each)) for each in (60, 86_400, *far)]
    cases += [spelled(api, iat=now + 60, exp=now + 60 - each) for each in (0, 1, 30)]

    all_refused(api, cases)


def test_h021_a_token_that_expired_by_a_second(api: Api) -> None:
    now = int(time.time())
    cases = [signed_by(kid, good(api, iat=now - 600, exp=now - ago))
             for kid in ("hs", "rs", "ES256", "EdDSA")
             for ago in (0, 1, 2, 30, 59, 60, 61)]  # fmt: skip

    all_refused(api, cases, detail=EXPIRED)


def test_h022_a_token_of_the_future(api: Api, still: int) -> None:
    now = still
    ahead = (LEEWAY_SECONDS + 2, 75, 90, 120, 300, 3600, 86_400, 10**9)
    cases = [spelled(api, iat=now + each, exp=now + each + 60) for each in ahead]
    cases += [spelled(api, nbf=now + each, exp=now + 600) for each in ahead]
    odd: list[Any] = ["0", None, True, [], {}, -1, 0, 1.5, "now"]
    cases += [spelled(api, nbf=each) for each in odd]

    all_refused(api, cases)


ADDRESSES: list[Any] = [
    None, "", " ", "HTTPS://ISSUER", "https://issuer/", "https://issuer ", "https://issue",
    "https://issuer.evil", "https://evil/https://issuer", ["https://issuer"], [], {}, 0, True,
    {"https://issuer": 1}, "https://іssuer", "https://issuer\0", "*", "null", ["*"], [None],
    "https://issuer,https://evil",
]  # fmt: skip


def test_h023_a_token_of_another_issuer(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, ring(), issuer="https://issuer")
    monkeypatch.setattr("tests.hostile.forgeries.good",
                        lambda api, **more: good(api, iss="https://issuer", **more))  # fmt: skip

    all_refused(api, [spelled(api, iss=each) for each in ADDRESSES] + [token(good(api))])


def test_h024_a_token_for_another_audience(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, ring(), audience="https://issuer")
    monkeypatch.setattr("tests.hostile.forgeries.good",
                        lambda api, **more: good(api, aud="https://issuer", **more))  # fmt: skip
    odd = [each for each in ADDRESSES if each != ["https://issuer"]]
    # One wrong member spoils a list.
    odd += [["https://issuer", 1], ["https://issuer", None], [["https://issuer"]]]

    all_refused(api, [spelled(api, aud=each) for each in odd] + [token(good(api))])


def test_h025_a_token_replayed_after_it_was_revoked(api: Api) -> None:
    made = [(f"j-{uuid4().hex}", f"sub-{uuid4().hex[:12]}") for _ in range(24)]
    signed = [token(good(api, jti=jti, sub=sub)) for jti, sub in made]
    # Each is good, and remembered as verified.
    assert {api.get(Authorization=f"Bearer {each}").status_code for each in signed} == {200}
    for number, (jti, sub) in enumerate(made):
        kind, value = ("jti", jti) if number % 2 else ("sub", sub)
        denials.deny(kind, value, until=None, actor=ME, reason="stolen")
    gate.get_gate().refresh()

    forged = api.get(Authorization="Bearer a.b.c", X_Request_ID="the-same")

    def is_refused(replayed: str) -> None:
        about = {"Authorization": f"Bearer {replayed}", "X_Request_ID": "the-same"}
        for answer in (api.get(**about), api.place(**about)):
            refused(answer, 401)
            assert answer.content == forged.content
            assert lasting(answer) == lasting(forged)

    with untouched(api.account):
        in_every_case(signed, is_refused)


def test_h026_a_subject_that_is_no_text(api: Api) -> None:
    odd: list[Any] = [None, 0, 7, -1, 1.5, True, False, [], ["bot"], {}, {"sub": "bot"}, [[]], "",
                      [None], {"$ne": 1}, 10**20, ["bot", "admin"], {"": ""}, [0],
                      1e300]  # fmt: skip

    all_refused(api, [spelled(api, sub=each) for each in odd] + [token(good(api, sub=None))])


def test_h027_a_subject_of_look_alike_letters(api: Api) -> None:
    odd = [
        "bоt-7", "ｂot-7", "bot‐7", "bot−7", "bot-7\u200b", "\u202ebot-7", "bot-7\u00a0", "bot 7",
        "bot-7\n", "bot-7\r\nX", "\tbot-7", "bot-7\0", "ｂｏｔ－７", "bot-７", "ḃot-7",
        "bo\u0301t-7", "bot-7\ufeff", "🤖", "bot-7\x1b[31m", "x" * 129, "\x7f", "boｔ", "ßot",
    ]  # fmt: skip

    all_refused(api, [spelled(api, sub=each) for each in odd])


def test_h028_accounts_that_are_no_plain_ids(api: Api) -> None:
    mine = api.account
    odd: list[Any] = [None, "", "*", "%", [mine], {"id": mine}, {"$ne": 1}, 0, 7, True, f"{mine} ",
                      f" {mine}", f"{mine}\0", f"{mine},x", f"../{mine}", f"{mine}/", "_system",
                      "-x", "a" * 65, "' OR 1=1 --"]  # fmt: skip
    lists: list[Any] = [None, mine, {}, [], [[mine]], [mine, 1], [mine, "*"], ["*"], [None], [{}],
                        {mine: 1}, [f"{mine} "], [mine] * 201]  # fmt: skip
    nobody, scopes = good(api, account_id=None), ("all", "*", "ALL", ["all"], None, True)
    cases = [spelled(api, account_id=each) for each in odd]
    cases += [token(json.dumps(nobody | {"account_ids": each}).encode()) for each in lists]
    cases += [token(json.dumps(nobody | {"account_scope": each}).encode()) for each in scopes]
    cases += [spelled(api, account_ids=[mine]), spelled(api, account_scope="all")]

    all_refused(api, cases)


def test_h029_an_account_in_another_case_or_form(api: Api) -> None:
    plain = api.account
    wide = "".join(chr(ord(c) + 0xFEE0) for c in plain)
    others = [plain.upper(), plain.title(), plain.swapcase(), plain.replace("-", "_"), plain + "0",
              plain[:-1], plain[1:], "0" + plain, wide, plain.replace("t", "ｔ"), plain + "\u0301",
              plain.replace("-", "‐"), unicodedata.normalize("NFD", "é" + plain), plain + "%20",
              plain + ".", plain.replace("t", "т"), plain + "\u200b", plain.capitalize(),
              plain + "ſ", plain.replace("-", "")]  # fmt: skip

    def is_not_the_account(other: str) -> None:
        signed = f"Bearer {spelled(api, account_id=other)}"
        for answer in (api.get(Authorization=signed), api.place(Authorization=signed)):
            refused(answer, 401, 404)

    with untouched(plain):
        in_every_case(others, is_not_the_account)


def test_h030_permissions_that_are_no_list_of_known_words(api: Api) -> None:
    odd: list[Any] = [
        None, "", "trade", "trade account_read", "trade,account_read", {"trade": True}, 1, True,
        ["TRADE"], ["trade "], ["*"], ["all"], ["root"], ["trade", "root"], [1], [None],
        [["trade"]],
        ["__proto__"], ["ｔrade"], ["superuser"], ["account_read", ""], [True], ["is_staff"],
    ]  # fmt: skip

    all_refused(api, [spelled(api, permissions=each) for each in odd])


def test_h031_a_claim_that_stands_twice(api: Api) -> None:
    payload = good(api, jti="j", account_type="trading", nbf=int(time.time()) - 5)
    text = json.dumps(payload)
    cases = []
    for name, value in payload.items():
        again = json.dumps({name: value})[1:-1]
        cases += [f"{{{again},{text[1:]}", f"{text[:-1]},{again}}}"]
    cases += [f'{text[:-1]},"permissions":["admin"]}}', f'{text[:-1]},"account_id":"x"}}',
              f'{text[:-1]},"\\u0073ub":"root"}}', f'{text[:-1]},"x":1,"x":1}}']  # fmt: skip
    heads = ['{"alg":"HS256","kid":"hs","alg":"none"}', '{"alg":"none","alg":"HS256","kid":"hs"}',
             '{"alg":"HS256","kid":"rs","kid":"hs"}']  # fmt: skip

    all_refused(api, [token(each.encode()) for each in cases]
                + [token(payload, header=head.encode()) for head in heads])  # fmt: skip


UNKNOWN: list[dict[str, Any]] = [
    {"__proto__": {"permissions": ["admin"]}}, {"constructor": {"prototype": {"admin": True}}},
    {"is_admin": True}, {"is_staff": True}, {"is_superuser": True}, {"admin": True},
    {"role": "admin"}, {"roles": ["admin"]}, {"scope": "admin operator"}, {"scp": ["admin"]},
    {"groups": ["admin"]}, {"Permissions": ["admin"]}, {"permissions ": ["admin"]},
    {"permission": "admin"}, {"authorities": ["admin"]}, {"account_ids ": ["*"]},
    {"ACCOUNT_SCOPE": "all"}, {"fleet": True}, {"api_key": "x", "secret_key": "y"},
    {"barred": []}, {"key_id": "rs"}, {"https://issuer/permissions": ["admin"]},
]  # fmt: skip


def test_h032_claims_that_nobody_knows_give_nothing(api: Api) -> None:
    other = Api.open()
    plain = read(api.get("/api/v1/token", Authorization=f"Bearer {token(good(api))}"))

    def gives_nothing(more: dict[str, Any]) -> None:
        signed = f"Bearer {token(good(api, **more))}"
        told = read(api.get("/api/v1/token", Authorization=signed))
        assert told["permissions"] == plain["permissions"]
        assert told["accounts"] == [api.account]
        answer = api.call("POST", "/api/v1/accounts/reload", {}, Authorization=signed)
        refused(answer, 403)
        refused(api.get(other.orders, Authorization=signed), 404)

    with untouched(api.account, other.account):
        in_every_case(UNKNOWN, gives_nothing)


def test_h034_a_payload_of_any_depth(api: Api) -> None:
    deep = [21, 22, 50, 100, 500, 1000, 2000, 10_000]
    texts = [opening * n + "1" + closing * n for n in deep
             for opening, closing in (("[", "]"), ('{"a":', "}"))]  # fmt: skip
    cases = [raw(good(api), "x", text) for text in texts]
    cases += [token(("[" * n).encode()) for n in deep]
    cases += [token(good(api), header=f'{{"alg":"HS256","kid":"hs","x":{text}}}'.encode())
              for text in texts]  # fmt: skip

    all_refused(api, cases)


def test_h039_a_token_of_the_paper_gateway_at_the_live_one(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One issuer and one key for both; and each with keys of its own, under the same name.
    live = {"iss": "https://issuer", "aud": "opitios-live"}
    use(monkeypatch, ring(), issuer="https://issuer", audience="opitios-live")
    monkeypatch.setattr("tests.hostile.forgeries.good",
                        lambda api, **more: good(api, **live | more))  # fmt: skip
    paper: list[Any] = ["opitios-paper", ["opitios-paper"], "opitios", "Opitios-Live", None, "",
                        ["opitios-paper", "opitios"], "opitios-live-paper"]  # fmt: skip
    kids = ("hs", "rs", "ES256", "EdDSA")
    cases = [signed_by(kid, good(api, **live | {"aud": aud})) for aud in paper for kid in kids]
    own = token(good(api, **live), secret=OTHER_SECRET)

    all_refused(api, [*cases, own])
    use(monkeypatch, [hs256(secret=OTHER_SECRET)], issuer="https://issuer", audience="opitios-live")
    refused(api.get(Authorization=f"Bearer {token(good(api, **live))}"), 401)
