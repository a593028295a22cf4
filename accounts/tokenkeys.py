"""The keys that may sign a token: strong enough, each bound to one algorithm, by `kid`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import (
    load_pem_private_key,
    load_pem_public_key,
)
from jwt.exceptions import PyJWTError
from rest_framework_simplejwt.backends import TokenBackend

from opitios.core.config import JwtKey

# RFC 7518 §3.2: a secret as long as the hash. Bytes.
SECRET_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}
# RFC 7518 §3.3: 2048 bits or more; more than 8192 make each check slow and nothing safer.
RSA_BITS = range(2048, 8193)
# Characters of a published key's `kid`; JwtKey has the same bound.
KID_LENGTHS = range(1, 65)
# Issuers' clocks differ: `iat` and `nbf` may lie this far ahead. `exp` has no leeway.
LEEWAY_SECONDS = 60

# What a published key says it is (RFC 7517, RFC 8037), to the one algorithm it is used with here.
_ALGORITHM_OF = {("RSA", None): "RS256", ("EC", "P-256"): "ES256", ("OKP", "Ed25519"): "EdDSA"}
# What loading a key may raise. The cause may quote the key.
_NO_KEY = (ValueError, TypeError, PyJWTError, UnsupportedAlgorithm)


class BadTokenKeys(Exception):
    """A key of the ring or of the issuer cannot be used, and which kid it is. Never its value."""


@dataclass(frozen=True, slots=True)
class Demands:
    """What every token of this gateway must say besides its signature. None: it need not.

    claims: our names of claims to the issuer's. fleet_kids: which published keys may say
    `account_scope: all`.
    """

    audience: str | None = None
    issuer: str | None = None
    typ: str | None = None
    require_jti: bool = False
    claims: Mapping[str, str] = field(default_factory=dict)
    algorithms: Sequence[str] = (*SECRET_BYTES, "RS256", "ES256", "EdDSA")
    fleet_kids: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class RingKey:
    """One key: it verifies tokens of its own algorithm and no other. fleet: may say `all`."""

    kid: str
    alg: str
    fleet: bool
    backend: TokenBackend = field(repr=False)

    @property
    def can_sign(self) -> bool:
        """Whether its secret or private half is here."""
        return self.backend.signing_key is not None


def ring_of(keys: Iterable[JwtKey], demands: Demands) -> dict[str, RingKey]:
    """Build the ring of this process's settings, by kid. Raises BadTokenKeys."""
    ring: dict[str, RingKey] = {}
    for key in keys:
        if key.kid in ring:
            raise BadTokenKeys(f"token key {key.kid!r} stands twice in the ring")
        if key.alg not in demands.algorithms:
            raise BadTokenKeys(f"token key {key.kid!r}: {key.alg} is not in JWT_ALGORITHMS")
        ring[key.kid] = _configured(key, demands)
    return ring


def _configured(key: JwtKey, demands: Demands) -> RingKey:
    text = key.key.get_secret_value()
    if key.alg in SECRET_BYTES:
        _refuse_weak_secret(key.kid, key.alg, text.encode())
        backend = _backend(key.alg, demands, signing_key=text)
    else:
        public, private = _pair(key, text)
        backend = _backend(key.alg, demands, signing_key=private, verifying_key=public)
    return RingKey(key.kid, key.alg, key.fleet, backend)


def _backend(alg: str, demands: Demands, **keys: Any) -> TokenBackend:
    return TokenBackend(
        alg,
        audience=demands.audience,
        issuer=demands.issuer,
        leeway=LEEWAY_SECONDS,
        **keys,
    )


def _refuse_weak_secret(kid: str, alg: str, secret: bytes) -> None:
    if len(secret) < SECRET_BYTES[alg]:
        raise BadTokenKeys(
            f"token key {kid!r}: an {alg} secret needs {SECRET_BYTES[alg]} bytes, "
            f"this one has {len(secret)}"
        )
    # A public key as shared secret is the oldest way to forge a token.
    if b"-----BEGIN" in secret or secret.startswith((b"ssh-", b"ecdsa-")):
        raise BadTokenKeys(f"token key {kid!r}: an {alg} secret must not be a PEM or SSH key")


def _pair(key: JwtKey, text: str) -> tuple[Any, Any]:
    public = _loaded(key.kid, "key", "the public key", lambda: load_pem_public_key(text.encode()))
    _refuse_weak_public(key.kid, key.alg, public)
    if key.private_key is None:
        return public, None
    secret = key.private_key.get_secret_value().encode()
    private: Any = _loaded(
        key.kid, "private_key", "the private key", lambda: load_pem_private_key(secret, None)
    )
    if private.public_key() != public:
        raise BadTokenKeys(f"token key {key.kid!r}: `private_key` does not belong to `key`")
    return public, private


def _loaded(kid: str, name: str, what: str, load: Any) -> Any:
    try:
        return load()
    except _NO_KEY:
        raise BadTokenKeys(f"token key {kid!r}: `{name}` must be {what} in PEM") from None


def _refuse_weak_public(kid: str, alg: str, public: Any) -> None:
    match alg, public:
        case "RS256", RSAPublicKey():
            if public.key_size not in RSA_BITS:
                raise BadTokenKeys(f"token key {kid!r}: RSA keys have 2048 to 8192 bits")
        case "ES256", EllipticCurvePublicKey(curve=SECP256R1()):
            pass
        case "EdDSA", Ed25519PublicKey():
            pass
        case _:
            raise BadTokenKeys(f"token key {kid!r} is not a public key for {alg}")


def published_key(jwk: Mapping[str, Any], demands: Demands) -> RingKey:
    """Make the key of one member of an issuer's set (RFC 7517). Raises BadTokenKeys.

    Only public keys that are meant for signatures, with a kid, and strong enough.
    """
    kid = jwk.get("kid")
    # A number is text of ours.
    if type(kid) is not str or len(kid) not in KID_LENGTHS or not kid.isprintable():
        raise BadTokenKeys("a published key has no plain `kid`")
    alg = _published_algorithm(kid, jwk)
    if alg not in demands.algorithms:
        raise BadTokenKeys(f"token key {kid!r}: {alg} is not in JWT_ALGORITHMS")
    try:
        public = jwt.PyJWK(dict(jwk), algorithm=alg).key
    except _NO_KEY:
        raise BadTokenKeys(f"token key {kid!r} cannot be read") from None
    _refuse_weak_public(kid, alg, public)
    return RingKey(
        kid, alg, kid in demands.fleet_kids, _backend(alg, demands, verifying_key=public)
    )


def _published_algorithm(kid: str, jwk: Mapping[str, Any]) -> str:
    kty, crv = jwk.get("kty"), jwk.get("crv")
    known = isinstance(kty, str) and (crv is None or isinstance(crv, str))
    alg = _ALGORITHM_OF.get((kty, crv)) if known else None  # type: ignore[arg-type]  # both text
    # RFC 9864 names the curve in the algorithm.
    if alg is None or jwk.get("alg", alg) not in (alg, crv or alg):
        raise BadTokenKeys(f"token key {kid!r}: its kind is not used here")
    if "d" in jwk or "k" in jwk:
        raise BadTokenKeys(f"token key {kid!r}: a private key was published; replace it")
    operations = jwk.get("key_ops", ["verify"])
    if jwk.get("use", "sig") != "sig" or operations != ["verify"]:
        raise BadTokenKeys(f"token key {kid!r} is not meant for signatures")
    return alg
