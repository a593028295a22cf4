"""Forged, confused and misaddressed tokens: the ring decides the algorithm, never the token."""

import hashlib
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.accounts.issuer import (
    OTHER_SECRET,
    claims,
    hs256,
    part,
    refused,
    rs256,
    rs_token,
    rsa_pair,
    token,
    verifier,
)

HS = {"alg": "HS256", "kid": "hs"}


def test_both_algorithms_of_the_ring_are_honoured() -> None:
    assert verifier().principal(token()).key_id == "hs"
    assert verifier().principal(rs_token()).key_id == "rs"


@pytest.mark.parametrize("alg", ["none", "None", "nOnE", "NONE", "", None, 0, ["HS256"], "hs256"])
@pytest.mark.parametrize("signature", ["", part(b"x" * 32)])
def test_an_unsigned_token_is_refused(alg: Any, signature: str) -> None:
    for kid in ("hs", "rs"):
        head, body = part({"alg": alg, "kid": kid}), part(claims())

        with refused():
            verifier().principal(f"{head}.{body}.{signature}")


def test_a_header_without_algorithm_is_refused() -> None:
    with refused():
        verifier().principal(token(header={"kid": "hs"}))


@pytest.mark.parametrize("kid", ["rs", "hs"])
def test_the_public_key_is_no_shared_secret(kid: str) -> None:
    forged = token(header={"alg": "HS256", "kid": kid}, secret=rsa_pair()[0])

    with refused():
        verifier().principal(forged)
    with refused():
        verifier(rs256()).principal(token(header={"alg": "HS256"}, secret=rsa_pair()[0]))


@pytest.mark.parametrize("alg", ["RS384", "RS512", "PS256"])
def test_another_algorithm_of_the_same_key_is_refused(alg: str) -> None:
    with refused():
        verifier().principal(rs_token(alg=alg))


def test_another_hash_of_the_same_secret_is_refused() -> None:
    with refused():
        verifier().principal(token(header=HS | {"alg": "HS512"}, digest=hashlib.sha512))
    with refused():
        verifier().principal(token(header=HS, digest=hashlib.sha512))


def test_a_curve_key_is_refused() -> None:
    private = ec.generate_private_key(ec.SECP256R1())

    with refused():
        verifier().principal(jwt.encode(claims(), private, "ES256", headers={"kid": "rs"}))


@pytest.mark.parametrize("secret", [OTHER_SECRET, "", "x"])
def test_another_secret_is_refused(secret: str) -> None:
    with refused():
        verifier().principal(token(secret=secret))


@pytest.mark.parametrize(
    "kid",
    [
        "",
        "rs",
        "HS",
        "nobody",
        "../../dev/null",
        "' OR 1=1 --",
        "http://127.0.0.1/k",
        None,
        1,
        ["hs"],
    ],
)
def test_a_key_id_finds_only_a_key_of_the_ring(kid: Any) -> None:
    with refused():
        verifier().principal(token(header={"alg": "HS256", "kid": kid}))


def test_no_key_id_means_the_only_key() -> None:
    without = token(header={"alg": "HS256"})

    assert verifier(hs256()).principal(without).key_id == "hs"
    with refused():
        verifier(hs256(), hs256("second", secret=OTHER_SECRET)).principal(without)


@pytest.mark.parametrize(
    "extra",
    [
        {"crit": ["exp"]},
        {"crit": []},
        {"b64": False},
        {"jku": "http://127.0.0.1/jwks"},
        {"jwk": {"kty": "oct", "k": "eA"}},
        {"x5u": "http://127.0.0.1/cert"},
        {"x5c": ["MII"]},
        {"cty": "JWT"},
        {"enc": "A128GCM"},
        {"zip": "DEF"},
        {"typ": "dpop+jwt"},
        {"typ": "jwt"},
        {"typ": None},
        {"typ": ["JWT"]},
    ],
    ids=repr,
)
def test_a_header_that_asks_for_more_is_refused(extra: dict[str, Any]) -> None:
    with refused():
        verifier().principal(token(header=HS | extra))


def test_issuer_and_audience_are_exact_where_configured() -> None:
    ours = verifier(hs256(), audience="opitios", issuer="https://issuer")
    good = {"aud": "opitios", "iss": "https://issuer"}

    ours.principal(token(claims(**good)))
    ours.principal(token(claims(**good | {"aud": ["other", "opitios"]})))
    for odd in (
        {"aud": None},
        {"aud": "Opitios"},
        {"aud": ["other"]},
        {"aud": {"opitios": 1}},
        {"aud": ["opitios", 1]},
        {"iss": None},
        {"iss": "HTTPS://issuer"},
        {"iss": ["https://issuer"]},
        {"iss": "https://issuer/"},
    ):
        with refused():
            ours.principal(token(claims(**good | odd)))
