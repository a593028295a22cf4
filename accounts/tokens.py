"""Tokens to principals: the key ring, the checks around simplejwt's backend, and the cache.

The caller learns "expired" or "not valid", never which check failed (RFC 8725, reliability.md G14).
"""

import base64
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from jwt.exceptions import PyJWTError
from rest_framework_simplejwt.backends import TokenBackend
from rest_framework_simplejwt.exceptions import TokenBackendError, TokenBackendExpiredToken

from accounts.claims import MAX_LIFETIME, OddClaim, Permission, Principal, read_claims
from opitios.core import clock, ids, jsontext
from opitios.core.config import Config, JwtKey, get_config
from opitios.core.errors import Problem, Reason

__all__ = [
    "BadTokenKeys",
    "CannotMint",
    "Grant",
    "Permission",
    "Principal",
    "Verifier",
    "mint",
    "principal_from",
    "verifier",
]

# R8: no token is longer, so nothing longer is looked at.
MAX_TOKEN_BYTES = 8 * 1024
# RFC 7518 §3.2: a secret as long as the hash. §3.3: RSA keys of 2048 bits or more.
MIN_SECRET_BYTES = 32
MIN_RSA_BITS = 2048
# Issuers' clocks differ: `iat` and `nbf` may lie this far ahead. `exp` has no leeway.
LEEWAY_SECONDS = 60
# R10: verified tokens kept by a process; about 2 KB each.
CACHED_TOKENS = 10_000

EXPIRED: Final = "The token is expired."
NOT_VALID: Final = "The token is not valid."

# Three parts of base64url without padding.
_SHAPE = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
# Headers that name another key, another meaning of the bytes, or a token inside the token.
_REFUSED_HEADERS = frozenset({"crit", "jku", "jwk", "x5u", "x5c", "b64", "cty", "enc", "zip"})


class BadTokenKeys(Exception):
    """OPITIOS_JWT_KEYS cannot be used, and which kid is at fault. Never its value."""


class CannotMint(Exception):
    """A development token cannot be made as asked, and why."""


class _Odd(Exception):
    """A token is not one of ours, or is malformed. Never shown to the caller."""


@dataclass(frozen=True, slots=True)
class _RingKey:
    settings: JwtKey
    backend: TokenBackend


class Verifier:
    """Verifies tokens against one ring of keys, and remembers the ones it has verified.

    Raises BadTokenKeys on a weak, malformed or doubled key: such a process must not start.
    """

    def __init__(
        self, keys: Sequence[JwtKey], *, audience: str | None = None, issuer: str | None = None
    ) -> None:
        self._audience = audience
        self._issuer = issuer
        self._ring = self._build_ring(keys)
        self._lock = threading.Lock()
        # The oldest first. Read by every request without a lock: an entry is never changed.
        self._cache: dict[bytes, Principal] = {}

    def _build_ring(self, keys: Sequence[JwtKey]) -> dict[str, _RingKey]:
        ring: dict[str, _RingKey] = {}
        for key in keys:
            if key.kid in ring:
                raise BadTokenKeys(f"token key {key.kid!r} stands twice in the ring")
            ring[key.kid] = _RingKey(key, self._backend(key))
        return ring

    def _backend(self, key: JwtKey) -> TokenBackend:
        _refuse_weak(key)
        secret = key.key.get_secret_value()
        private = key.private_key.get_secret_value() if key.private_key else None
        return TokenBackend(
            key.alg,
            signing_key=secret if key.alg == "HS256" else private,
            verifying_key=secret,
            audience=self._audience,
            issuer=self._issuer,
            leeway=LEEWAY_SECONDS,
        )

    def principal(self, token: str) -> Principal:
        """Verify a token, or remember that it was verified. Raises Problem UNAUTHORIZED."""
        if len(token) > MAX_TOKEN_BYTES or not token.isascii():
            raise Problem(Reason.UNAUTHORIZED, NOT_VALID)
        # Only the digest is kept: a dump of the cache holds no usable token.
        digest = sha256(token.encode()).digest()
        known = self._cache.get(digest)
        if known is not None and known.expires_at > clock.now():
            return known
        principal = self._verified(token)
        self._remember(digest, principal)
        return principal

    def _remember(self, digest: bytes, principal: Principal) -> None:
        with self._lock:
            self._cache[digest] = principal
            while len(self._cache) > CACHED_TOKENS:
                del self._cache[next(iter(self._cache))]

    def _verified(self, token: str) -> Principal:
        try:
            principal = self._verify(token)
        except TokenBackendExpiredToken as error:
            raise Problem(Reason.UNAUTHORIZED, EXPIRED) from error
        except (_Odd, OddClaim, TokenBackendError) as error:
            raise Problem(Reason.UNAUTHORIZED, NOT_VALID) from error
        # The backend's leeway is for `iat` and `nbf`; an expiry has none.
        if principal.expires_at <= clock.now():
            raise Problem(Reason.UNAUTHORIZED, EXPIRED)
        return principal

    def _verify(self, token: str) -> Principal:
        """Check the shape, choose the key, read the claims, then the signature and the times.

        Claims are read before the signature because libraries trip over odd signed values; nothing
        of them is believed until the backend has verified it.
        """
        header, claims = _open_parts(token)
        key = self._key_for(header)
        principal = read_claims(claims, key_id=key.settings.kid, fleet=key.settings.fleet)
        key.backend.decode(token)  # type: ignore[arg-type]  # annotated as its Token, takes the text
        return principal

    def _key_for(self, header: Mapping[str, Any]) -> _RingKey:
        if "kid" in header:
            key = self._ring.get(header["kid"]) if type(header["kid"]) is str else None
        else:
            key = next(iter(self._ring.values())) if len(self._ring) == 1 else None
        if key is None or header.get("alg") != key.settings.alg:
            raise _Odd("key")
        return key

    def sign(self, payload: Mapping[str, Any], *, fleet: bool) -> str:
        """Sign with the first key that can, and that may speak for the fleet where asked.

        Raises CannotMint where no such key is configured.
        """
        for key in self._ring.values():
            if key.backend.signing_key is not None and (key.settings.fleet or not fleet):
                return jwt.encode(
                    {**self._addressed(), **payload},
                    key.backend.prepared_signing_key,
                    algorithm=key.settings.alg,
                    headers={"kid": key.settings.kid},
                )
        wanted = "no signing key marked `fleet`" if fleet else "no signing key"
        raise CannotMint(f"{wanted} is configured in OPITIOS_JWT_KEYS")

    def _addressed(self) -> dict[str, str]:
        both = {"aud": self._audience, "iss": self._issuer}
        return {name: value for name, value in both.items() if value is not None}


def _open_parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    shape = _SHAPE.fullmatch(token)
    if shape is None:
        raise _Odd("shape")
    header, claims, _signature = (_decode(part) for part in shape.groups())
    read = _read(header), _read(claims)
    _check_header(read[0])
    return read


def _decode(part: str) -> bytes:
    # Unused bits of the last character are ignored by decoders: the same token in other letters.
    if len(part) % 4 == 1:
        raise _Odd("base64")
    decoded = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    if base64.urlsafe_b64encode(decoded).rstrip(b"=") != part.encode():
        raise _Odd("base64")
    return decoded


def _read(raw: bytes) -> dict[str, Any]:
    try:
        return jsontext.read_object(raw)
    except jsontext.Unreadable as error:
        raise _Odd("json") from error


def _check_header(header: Mapping[str, Any]) -> None:
    if not _REFUSED_HEADERS.isdisjoint(header) or header.get("typ", "JWT") != "JWT":
        raise _Odd("header")


def _refuse_weak(key: JwtKey) -> None:
    if key.alg == "HS256":
        _refuse_weak_secret(key)
    else:
        _refuse_weak_rsa(key)


def _refuse_weak_secret(key: JwtKey) -> None:
    secret = key.key.get_secret_value().encode()
    if len(secret) < MIN_SECRET_BYTES:
        raise BadTokenKeys(
            f"token key {key.kid!r}: an HS256 secret needs {MIN_SECRET_BYTES} bytes, "
            f"this one has {len(secret)}"
        )
    # A public key as shared secret is the oldest way to forge a token.
    if b"-----BEGIN" in secret:
        raise BadTokenKeys(f"token key {key.kid!r}: an HS256 secret must not be a PEM key")


def _refuse_weak_rsa(key: JwtKey) -> None:
    public = _rsa(key.kid, key.key.get_secret_value())
    if not isinstance(public, RSAPublicKey):
        raise BadTokenKeys(f"token key {key.kid!r}: `key` must be the RSA public key in PEM")
    if public.key_size < MIN_RSA_BITS:
        raise BadTokenKeys(f"token key {key.kid!r}: RSA keys need {MIN_RSA_BITS} bits or more")
    if key.private_key is None:
        return
    private = _rsa(key.kid, key.private_key.get_secret_value())
    if (
        not isinstance(private, RSAPrivateKey)
        or private.public_key().public_numbers() != public.public_numbers()
    ):
        raise BadTokenKeys(f"token key {key.kid!r}: `private_key` does not belong to `key`")


def _rsa(kid: str, pem: str) -> Any:
    try:
        return jwt.get_algorithm_by_name("RS256").prepare_key(pem)
    except (PyJWTError, ValueError, TypeError):
        # The cause may quote the key.
        raise BadTokenKeys(f"token key {kid!r} is not an RSA key in PEM") from None


@lru_cache(maxsize=1)
def verifier() -> Verifier:
    """Build the verifier of this process's settings, once. Raises BadTokenKeys."""
    config: Config = get_config()
    return Verifier(config.jwt_keys, audience=config.jwt_audience, issuer=config.jwt_issuer)


def principal_from(token: str) -> Principal:
    """Verify a token of the API. Raises Problem UNAUTHORIZED for anything odd, nothing else."""
    return verifier().principal(token)


@dataclass(frozen=True, slots=True)
class Grant:
    """What a development token shall allow. `accounts` None means every account."""

    sub: str
    accounts: Sequence[str] | None
    permissions: Sequence[str]
    ttl: timedelta


def mint(grant: Grant, *, now: datetime, signer: Verifier | None = None) -> str:
    """Make a token for development: real tokens are issued elsewhere (R9).

    Raises CannotMint where the verifier would refuse the result, or no key can sign.
    """
    issued = int(now.timestamp())
    lifetime = int(grant.ttl.total_seconds())
    if not 0 < lifetime <= MAX_LIFETIME:
        raise CannotMint(f"a token lives at least 1 second and at most {MAX_LIFETIME // 3600} h")
    payload = {
        "sub": grant.sub,
        "iat": issued,
        "exp": issued + lifetime,
        "jti": str(ids.new_id()),
        "permissions": list(grant.permissions),
        **_account_claims(grant.accounts),
    }
    _refuse_odd(payload)
    token = (signer or verifier()).sign(payload, fleet=grant.accounts is None)
    if len(token) > MAX_TOKEN_BYTES:
        raise CannotMint(f"a token with so many accounts is longer than {MAX_TOKEN_BYTES} bytes")
    return token


def _account_claims(accounts: Sequence[str] | None) -> dict[str, Any]:
    if accounts is None:
        return {"account_scope": "all"}
    return {"account_ids": list(accounts)} if accounts else {}


def _refuse_odd(payload: dict[str, Any]) -> None:
    written = jsontext.read_object(jsontext.dumps(payload))
    try:
        read_claims(written, key_id="", fleet=True)
    except OddClaim as error:
        raise CannotMint(f"the claim {error} would be refused") from error
