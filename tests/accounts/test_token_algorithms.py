"""Each key has one algorithm, and each algorithm keys that are strong enough for it."""

import hashlib

import pytest

from accounts.tokenkeys import BadTokenKeys
from accounts.tokens import Verifier
from opitios.core.config import Config, JwtKey
from tests.accounts.issuer import (
    claims,
    hs256,
    pair,
    pair_token,
    public_key,
    refused,
    rs256,
    rs_token,
    rsa_pair,
    token,
    verifier,
)

DIGESTS = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}
LENGTHS = {"HS256": 32, "HS384": 48, "HS512": 64}


def shared(alg: str, length: int) -> JwtKey:
    """A shared secret of so many bytes."""
    return JwtKey.model_validate({"kid": "hs", "alg": alg, "key": "k" * length})


@pytest.mark.parametrize("alg", sorted(LENGTHS))
def test_a_shared_secret_is_as_long_as_its_hash(alg: str) -> None:
    length = LENGTHS[alg]
    header = {"alg": alg, "kid": "hs"}
    good = token(header=header, secret="k" * length, digest=DIGESTS[alg])

    assert Verifier([shared(alg, length)]).principal(good).key_id == "hs"
    with pytest.raises(BadTokenKeys, match=f"{alg} secret needs {length} bytes"):
        Verifier([shared(alg, length - 1)])


@pytest.mark.parametrize("alg", ["ES256", "EdDSA"])
def test_pairs_on_curves_are_honoured(alg: str) -> None:
    ring = verifier(public_key(alg), rs256())

    assert ring.principal(pair_token(alg)).key_id == alg
    assert ring.principal(rs_token()).key_id == "rs"


@pytest.mark.parametrize(
    ("alg", "made"),
    [
        ("ES256", "ES384"),
        ("ES256", "ES256K"),
        ("ES256", "EdDSA"),
        ("EdDSA", "Ed448"),
        ("EdDSA", "ES256"),
        ("RS256", "ES256"),
    ],
)
def test_a_key_of_another_kind_is_refused_at_start(alg: str, made: str) -> None:
    other = JwtKey.model_validate({"kid": "odd", "alg": alg, "key": pair(made)[0]})

    with pytest.raises(BadTokenKeys, match=f"'odd' is not a public key for {alg}"):
        Verifier([other])


def test_an_rsa_key_is_no_key_on_a_curve() -> None:
    other = JwtKey.model_validate({"kid": "odd", "alg": "ES256", "key": rsa_pair()[0]})

    with pytest.raises(BadTokenKeys, match="not a public key for ES256"):
        Verifier([other])


@pytest.mark.parametrize("alg", ["ES256", "EdDSA"])
def test_a_private_key_belongs_to_its_public_one(alg: str) -> None:
    about = {"kid": alg, "alg": alg, "key": pair(alg)[0], "private_key": pair(alg)[1]}
    signer = Verifier([JwtKey.model_validate(about)])

    assert signer.principal(signer.sign(claims(), fleet=False)).sub == "bot-7"
    with pytest.raises(BadTokenKeys, match="belong"):
        Verifier([JwtKey.model_validate(about | {"private_key": rsa_pair()[1]})])


def test_an_algorithm_that_is_not_allowed_ends_the_start() -> None:
    with pytest.raises(BadTokenKeys, match="'hs': HS256 is not in JWT_ALGORITHMS"):
        verifier(hs256(), algorithms=("ES256",))
    verifier(public_key("ES256"), algorithms=("ES256",))


@pytest.mark.parametrize("alg", ["none", "HS1", "RS384", "PS256", "ES512", "hs256", ""])
def test_no_other_algorithm_can_be_configured(alg: str) -> None:
    with pytest.raises(ValueError, match="Input should be 'HS256'"):
        JwtKey.model_validate({"kid": "x", "alg": alg, "key": "k" * 64})


def test_the_settings_read_a_list_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JWT_ALGORITHMS", "ES256, EdDSA")
    monkeypatch.setenv("TRUSTED_PROXIES", "10.0.0.0/8,::1")
    read = Config()

    assert read.jwt_algorithms == ["ES256", "EdDSA"]
    assert read.trusted_proxies == ["10.0.0.0/8", "::1"]
    for name, odd in (("JWT_ALGORITHMS", "ES256,none"), ("TRUSTED_PROXIES", "10.0.0.1/8")):
        monkeypatch.setenv(name, odd)
        with pytest.raises(ValueError, match=name):
            Config()


def test_the_type_of_a_token_is_exact_where_configured() -> None:
    ring = verifier(public_key("ES256"), typ="at+jwt")

    for typ in ("at+jwt", "application/at+jwt"):
        assert ring.principal(pair_token("ES256", typ=typ)).sub == "bot-7"
    for odd in ("JWT", "AT+JWT", "dpop+jwt", None):
        with refused():
            ring.principal(pair_token("ES256", typ=odd))


def test_an_id_is_required_where_configured() -> None:
    ring = verifier(hs256(), require_jti=True)

    assert ring.principal(token(claims(jti="j-1"))).jti == "j-1"
    with refused():
        ring.principal(token())
