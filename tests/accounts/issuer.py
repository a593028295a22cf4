"""An issuer that can also make the tokens no issuer should make."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from accounts.tokenkeys import Demands
from accounts.tokens import NOT_VALID, Verifier
from opitios.core.config import JwtKey
from opitios.core.errors import Problem, Reason

SECRET = "a shared secret of more than 32 bytes, for tests"  # noqa: S105 - it guards nothing
OTHER_SECRET = "another secret of more than 32 bytes, for tests"  # noqa: S105 - as above


def hs256(kid: str = "hs", *, secret: str = SECRET, fleet: bool = False) -> JwtKey:
    """One HS256 key of the ring."""
    return JwtKey.model_validate({"kid": kid, "alg": "HS256", "key": secret, "fleet": fleet})


@lru_cache(maxsize=4)
def rsa_pair(bits: int = 2048) -> tuple[str, str]:
    """Public and private key in PEM, made once."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    secret = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return public.decode(), secret.decode()


@lru_cache(maxsize=8)
def pair(alg: str) -> tuple[str, str]:
    """Public and private key in PEM for ES256, ES384, EdDSA or Ed448, made once."""
    private: Any = _MAKERS[alg]()
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    secret = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return public.decode(), secret.decode()


_MAKERS = {
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ES256K": lambda: ec.generate_private_key(ec.SECP256K1()),
    "ES384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
    "Ed448": ed448.Ed448PrivateKey.generate,
}


def public_key(alg: str, kid: str | None = None, *, fleet: bool = False) -> JwtKey:
    """One ES256 or EdDSA key of the ring, public half only; its kid is the algorithm's name."""
    about = {"kid": kid or alg, "alg": alg, "key": pair(alg)[0], "fleet": fleet}
    return JwtKey.model_validate(about)


def pair_token(
    alg: str, payload: dict[str, Any] | None = None, *, kid: str | None = None, **header: Any
) -> str:
    """Sign with the pair of an algorithm."""
    headers = {"kid": kid or alg, **header}
    return jwt.encode(payload or claims(), pair(alg)[1], algorithm=alg, headers=headers)


def rs256(kid: str = "rs") -> JwtKey:
    """One RS256 key of the ring, public half only."""
    return JwtKey.model_validate({"kid": kid, "alg": "RS256", "key": rsa_pair()[0]})


def claims(**changed: Any) -> dict[str, Any]:
    """A good payload; a claim given as None is left out."""
    now = int(time.time())
    good = {"sub": "bot-7", "iat": now, "exp": now + 600, "permissions": ["trade"]} | changed
    return {name: value for name, value in good.items() if value is not None}


def part(value: Any) -> str:
    """One part of a token: base64url of JSON, or of bytes as they are."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def token(
    payload: Any = None, *, header: Any = None, secret: str = SECRET, digest: Any = hashlib.sha256
) -> str:
    """Sign anything with HMAC, whatever the header says."""
    head = {"alg": "HS256", "typ": "JWT", "kid": "hs"} if header is None else header
    signed = f"{part(head)}.{part(claims() if payload is None else payload)}"
    return f"{signed}.{part(hmac.digest(secret.encode(), signed.encode(), digest))}"


def rs_token(payload: dict[str, Any] | None = None, *, kid: str = "rs", alg: str = "RS256") -> str:
    """Sign with the RSA key, under any RSA algorithm."""
    return jwt.encode(payload or claims(), rsa_pair()[1], algorithm=alg, headers={"kid": kid})


@contextmanager
def refused(detail: str = NOT_VALID) -> Iterator[None]:
    """Expect a 401 with exactly this detail."""
    with pytest.raises(Problem) as caught:
        yield
    assert caught.value.reason is Reason.UNAUTHORIZED
    assert caught.value.detail == detail


def verifier(*keys: JwtKey, **demands: Any) -> Verifier:
    """A verifier of these keys, or of one HS256 and one RS256 key, with these Demands."""
    return Verifier(keys or (hs256(), rs256()), Demands(**demands))
