"""Odd claims under a good signature: each is a 401, never a 500, never a wider right."""

import json
import time
from typing import Any

import pytest
import time_machine

from accounts.tokens import EXPIRED
from tests.accounts.issuer import claims, hs256, refused, token, verifier

NOW = int(time.time())
RAW_NUMBERS = (b"NaN", b"Infinity", b"-1", b"1e400", b"1" + b"0" * 20, b"1" + b"0" * 400, b"1.5")

ODD_TIMES: list[Any] = [
    "1",
    str(NOW + 60),
    True,
    [NOW],
    {"$gt": 0},
    NOW + 0.5,
    -1,
    0,
    10**12 - 1,
    10**20,
]
ODD_SUBJECTS: list[Any] = [
    "", 7, ["bot"], {"sub": "bot"}, "a b", "bot\n", "b\u043et", "\uff42ot", "x" * 129, "\ud800",
]  # fmt: skip
ODD_ACCOUNTS: list[Any] = [
    "", "*", 1, ["A", "B"], {"$ne": 1}, "acc 1", "../A", "A\x00", "\uff21", "A" * 65, "-A", True,
]  # fmt: skip
ODD_LISTS: list[Any] = [
    [], "A", {"A": 1}, ["A", 1], ["A", ["B"]], ["*"], ["A", ""], [None],
    [f"a{i}" for i in range(201)],
]  # fmt: skip
ODD_PERMISSIONS: list[Any] = [
    "trade", {"trade": 1}, ["TRADE"], ["trade "], ["all"], [1], [["trade"]], ["trade", "root"],
    ["__proto__"],
]  # fmt: skip


@pytest.mark.parametrize("name", ["sub", "exp", "iat"])
def test_a_required_claim_that_is_absent_is_refused(name: str) -> None:
    with refused():
        verifier().principal(token(claims(**{name: None})))


@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
# Named by type: a name with the time in it differs between the workers of one run.
@pytest.mark.parametrize("value", ODD_TIMES, ids=lambda value: type(value).__name__)
def test_a_time_that_is_no_plain_integer_is_refused(name: str, value: Any) -> None:
    with refused():
        verifier().principal(token(claims(**{name: value})))


@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
@pytest.mark.parametrize("raw", RAW_NUMBERS)
def test_a_number_no_clock_can_hold_is_refused(name: str, raw: bytes) -> None:
    good = claims(**{"nbf": NOW, name: "<odd>"})
    payload = json.dumps(good).encode()

    plain = b"%d" % (NOW + 20_000 if name == "exp" else NOW)

    verifier().principal(token(payload.replace(b'"<odd>"', plain)))
    with refused():
        verifier().principal(token(payload.replace(b'"<odd>"', raw)))


@pytest.mark.parametrize("value", ODD_SUBJECTS, ids=repr)
def test_a_subject_that_is_not_plain_is_refused(value: Any) -> None:
    with refused():
        verifier().principal(token(claims(sub=value)))


@pytest.mark.parametrize("value", ODD_ACCOUNTS, ids=repr)
def test_an_odd_account_id_is_refused(value: Any) -> None:
    with refused():
        verifier().principal(token(claims(account_id=value)))


@pytest.mark.parametrize("value", ODD_LISTS, ids=lambda value: repr(value)[:30])
def test_an_odd_list_of_accounts_is_refused(value: Any) -> None:
    with refused():
        verifier().principal(token(claims(account_ids=value)))


@pytest.mark.parametrize("value", ODD_PERMISSIONS, ids=repr)
def test_odd_permissions_are_refused(value: Any) -> None:
    with refused():
        verifier().principal(token(claims(permissions=value)))


@pytest.mark.parametrize(
    "both",
    [
        {"account_id": "A", "account_ids": ["A"]},
        {"account_id": "A", "account_scope": "all"},
        {"account_ids": ["A"], "account_scope": "all"},
    ],
)
def test_two_ways_to_name_accounts_are_refused(both: dict[str, Any]) -> None:
    with refused():
        verifier(hs256(fleet=True)).principal(token(claims(**both)))


@pytest.mark.parametrize("value", ["ALL", "*", "", "none", ["all"], True, 1])
def test_a_scope_other_than_all_is_refused(value: Any) -> None:
    with refused():
        verifier(hs256(fleet=True)).principal(token(claims(account_scope=value)))


def test_only_a_fleet_key_may_say_all_accounts() -> None:
    whole_fleet = token(claims(account_scope="all"))

    assert verifier(hs256(fleet=True)).principal(whole_fleet).accounts is None
    with refused():
        verifier(hs256(fleet=False)).principal(whole_fleet)


@pytest.mark.parametrize(
    "odd",
    [
        {"token_type": "refresh"},
        {"token_use": "id"},
        {"account_type": "boss"},
        {"account_type": ["data"]},
        {"jti": 5},
        {"jti": "a\r\nb"},
        {"act": {"sub": "jdoe"}},
        {"rate_limits": [1]},
        {"rate_limits": {"orders_per_day": "5"}},
        {"rate_limits": {"orders_per_day": -1}},
        {"rate_limits": {"__proto__ x": 1}},
        {"rate_limits": {f"limit_{chr(97 + i)}": 1 for i in range(17)}},
    ],
    ids=repr,
)
def test_an_odd_optional_claim_is_refused(odd: dict[str, Any]) -> None:
    with refused():
        verifier().principal(token(claims(**odd)))


def test_a_token_without_accounts_and_permissions_may_nothing() -> None:
    principal = verifier().principal(token(claims(permissions=None)))

    assert principal.accounts == frozenset()
    assert principal.permissions == frozenset()
    assert not principal.holds("A")
    assert not principal.may("market_data")


def test_every_claim_arrives_in_the_principal() -> None:
    asked = claims(
        account_ids=["A", "b_2"],
        permissions=["trading", "account_read"],
        account_type="trading",
        jti="j-1",
        act="jdoe",
        rate_limits={"orders_per_day": 5},
    )

    principal = verifier().principal(token(asked))

    assert principal.accounts == frozenset({"A", "b_2"})
    assert principal.permissions == {"trade", "account_read"}
    assert (principal.sub, principal.jti, principal.act) == ("bot-7", "j-1", "jdoe")
    assert (principal.account_type, principal.key_id) == ("trading", "hs")
    assert principal.rate_limits == {"orders_per_day": 5}
    assert int(principal.expires_at.timestamp()) == asked["exp"]
    assert not hasattr(principal, "is_staff")


def test_an_account_is_held_in_its_own_letters_only() -> None:
    principal = verifier().principal(token(claims(account_id="acc_1")))

    assert principal.holds("acc_1")
    assert not any(principal.holds(other) for other in ("ACC_1", "acc_1 ", "acc_", "", "*"))


@pytest.mark.parametrize(("seconds", "lives"), [(-1, False), (0, False), (1, True)])
def test_an_expiry_has_no_leeway(seconds: int, lives: bool) -> None:
    with time_machine.travel(NOW, tick=False):
        made = token(claims(iat=NOW - 60, exp=NOW + seconds))
        if lives:
            verifier().principal(made)
        else:
            with refused(EXPIRED):
                verifier().principal(made)


@pytest.mark.parametrize("name", ["iat", "nbf"])
def test_a_token_from_the_future_is_refused_beyond_a_minute(name: str) -> None:
    verifier().principal(token(claims(**{name: int(time.time()) + 30})))

    with refused():
        verifier().principal(token(claims(**{name: int(time.time()) + 90})))


def test_a_token_longer_lived_than_a_day_is_refused() -> None:
    verifier().principal(token(claims(iat=NOW, exp=NOW + 86400)))

    with refused():
        verifier().principal(token(claims(iat=NOW, exp=NOW + 86401)))


def test_a_token_that_expired_long_ago_is_called_expired() -> None:
    with refused(EXPIRED):
        verifier().principal(token(claims(iat=NOW - 900, exp=NOW - 600)))


def test_an_expired_forgery_is_not_called_expired() -> None:
    forged = token(claims(iat=NOW - 900, exp=NOW - 600), secret="x" * 40)

    with refused():
        verifier().principal(forged)
