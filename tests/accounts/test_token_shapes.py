"""Malformed tokens: whatever the bytes, the answer is the same 401."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.tokens import MAX_TOKEN_BYTES, Verifier
from opitios.core.errors import Problem, Reason
from tests.accounts.issuer import claims, hs256, part, refused, token, verifier

GOOD = token()
HEAD, BODY, SIGNATURE = GOOD.split(".")
RING = Verifier([hs256()])


@pytest.mark.parametrize(
    "odd",
    [
        "",
        ".",
        "..",
        "." * 1000,
        HEAD,
        f"{HEAD}.{BODY}",
        f"{HEAD}.{BODY}.",
        f".{BODY}.{SIGNATURE}",
        f"{GOOD}.{SIGNATURE}",
        f"{GOOD}=",
        f"{GOOD}==",
        f"{HEAD}.{BODY}=.{SIGNATURE}",
        f" {GOOD}",
        f"{GOOD} ",
        f"{GOOD}\n",
        f"{GOOD}\x00",
        f"{HEAD}.\n{BODY}.{SIGNATURE}",
        f"{GOOD},{GOOD}",
        f"{GOOD}, Bearer {GOOD}",
        GOOD.replace(".", "\uff0e"),
        f"{HEAD}.{BODY}.{SIGNATURE[:-2]}",
        f"{HEAD}.{BODY}.{SIGNATURE}A",
        f"{HEAD}.{BODY}.+/{SIGNATURE[2:]}",
        "Bearer " + GOOD,
        "\ud800" * 3,
        f"{HEAD}.{BODY}.{part(b'x')}.{part(b'y')}.{part(b'z')}",
    ],
    # Not the text itself: it holds a signature that differs in every worker.
    ids=lambda odd: f"{len(odd)} characters",
)
def test_another_shape_is_refused(odd: str) -> None:
    with refused():
        verifier().principal(odd)


def test_every_single_changed_letter_is_refused() -> None:
    for place in range(len(GOOD)):
        letter = "A" if GOOD[place] != "A" else "B"

        with refused():
            RING.principal(GOOD[:place] + letter + GOOD[place + 1 :])


def test_the_same_signature_in_other_letters_is_refused() -> None:
    # 32 bytes fill 43 letters with two bits unused: three other last letters decode alike.
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    same = [
        SIGNATURE[:-1] + letter
        for letter in alphabet
        if letter != SIGNATURE[-1]
        and base64.urlsafe_b64decode(SIGNATURE[:-1] + letter + "=")
        == base64.urlsafe_b64decode(SIGNATURE + "=")
    ]

    assert len(same) == 3
    for signature in same:
        with refused():
            RING.principal(f"{HEAD}.{BODY}.{signature}")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"{",
        b"{}{}",
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        b"[" * 5000,
        b'{"a":' * 900,
        b'{"sub":"a","sub":"b","iat":1,"exp":2}',
        b'{"x":' + b"1" * 5000 + b"}",
    ],
    ids=lambda raw: repr(raw[:20]),
)
def test_parts_that_are_not_one_plain_object_are_refused(raw: bytes) -> None:
    with refused():
        RING.principal(token(raw))
    with refused():
        RING.principal(token(header=raw))


def test_a_claim_written_twice_is_refused_though_the_last_would_be_good() -> None:
    doubled = json.dumps(claims())[:-1] + ',"permissions":["market_data"]}'

    with refused():
        RING.principal(token(doubled.encode()))


def test_eight_kilobytes_are_the_limit() -> None:
    def of_length(size: int) -> str:
        spare = size - len(token(claims(pad=""))) - 4
        return next(
            made
            for extra in range(spare * 3 // 4, spare)
            if len(made := token(claims(pad="x" * extra))) >= size
        )

    longest, longer = of_length(MAX_TOKEN_BYTES - 2), of_length(MAX_TOKEN_BYTES + 1)

    assert len(longest) <= MAX_TOKEN_BYTES < len(longer)
    RING.principal(longest)
    for odd in (longer, token(claims(pad="x" * 1_000_000))):
        with refused():
            RING.principal(odd)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
_names = st.sampled_from(
    [
        "sub",
        "exp",
        "iat",
        "nbf",
        "jti",
        "aud",
        "iss",
        "act",
        "account_id",
        "account_ids",
        "account_scope",
        "account_type",
        "permissions",
        "rate_limits",
        "token_type",
    ]
)


def _outcome(text: str) -> Reason | None:
    try:
        RING.principal(text)
    except Problem as problem:
        return problem.reason
    return None


@given(st.dictionaries(_names, _json, min_size=1))
def test_no_signed_payload_raises_anything_but_a_401(odd: dict[str, object]) -> None:
    assert _outcome(token(json.dumps(claims() | odd).encode())) in {None, Reason.UNAUTHORIZED}


@given(st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "b64", "x"]), _json))
def test_no_signed_header_raises_anything_but_a_401(odd: dict[str, object]) -> None:
    signed = token(header=json.dumps({"alg": "HS256"} | odd).encode())

    assert _outcome(signed) in {None, Reason.UNAUTHORIZED}


@given(st.text(max_size=200))
def test_no_text_is_a_token(text: str) -> None:
    assert _outcome(text) is Reason.UNAUTHORIZED
