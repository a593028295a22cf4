"""A process with a weak, malformed or doubled token key does not start."""

import pytest

from accounts.tokens import BadTokenKeys, Verifier
from opitios.core.config import JwtKey
from tests.accounts.issuer import SECRET, hs256, rs256, rsa_pair


def rsa_key(**about: str | None) -> JwtKey:
    """An RS256 key with any text in it."""
    return JwtKey.model_validate({"kid": "rs", "alg": "RS256", "key": rsa_pair()[0]} | about)


@pytest.mark.parametrize("secret", ["", "x", "x" * 31, "é" * 15])
def test_a_short_secret_is_refused_at_start(secret: str) -> None:
    with pytest.raises(BadTokenKeys, match=r"'hs'.*32 bytes"):
        Verifier([hs256(secret=secret)])


def test_a_public_key_as_secret_is_refused_at_start() -> None:
    with pytest.raises(BadTokenKeys, match="PEM"):
        Verifier([hs256(secret=rsa_pair()[0])])


@pytest.mark.parametrize(
    "text", ["", SECRET, "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"]
)
def test_text_that_is_no_key_is_refused_at_start_and_not_shown(text: str) -> None:
    with pytest.raises(BadTokenKeys, match="'rs'") as caught:
        Verifier([rsa_key(key=text)])

    assert not text or text not in str(caught.value)


def test_a_private_key_where_the_public_belongs_is_refused_at_start() -> None:
    with pytest.raises(BadTokenKeys, match="public key"):
        Verifier([rsa_key(key=rsa_pair()[1])])


def test_a_small_rsa_key_is_refused_at_start() -> None:
    with pytest.raises(BadTokenKeys, match="2048"):
        Verifier([rsa_key(key=rsa_pair(1024)[0])])


def test_a_private_key_of_another_pair_is_refused_at_start() -> None:
    with pytest.raises(BadTokenKeys, match="belong"):
        Verifier([rsa_key(private_key=rsa_pair(3072)[1])])


def test_a_key_id_that_stands_twice_is_refused_at_start() -> None:
    with pytest.raises(BadTokenKeys, match="'hs' stands twice"):
        Verifier([hs256(), hs256(), rs256()])
