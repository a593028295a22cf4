"""Tokens to principals: the checks around simplejwt's backend, and the cache.

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
from rest_framework_simplejwt.exceptions import TokenBackendError, TokenBackendExpiredToken

from accounts import claims, jwks
from accounts.claims import MAX_LIFETIME, OddClaim, Permission, Principal
from accounts.tokenkeys import BadTokenKeys, Demands, RingKey, ring_of
from opitios.core import clock, ids, jsontext
from opitios.core.config import JwtKey, get_config
from opitios.core.errors import Problem, Reason

__all__ = [
    "BadTokenKeys",
    "CannotMint",
    "Grant",
    "Permission",
    "Principal",
    "Verifier",
    "mint",
    "verifier",
]

# R8: no token is longer, so nothing longer is looked at.
MAX_TOKEN_BYTES = 8 * 1024
# R10: verified tokens kept by a process; about 2 KB each.
CACHED_TOKENS = 10_000

EXPIRED: Final = "The token is expired."
NOT_VALID: Final = "The token is not valid."

# Three parts of base64url without padding.
_SHAPE = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
# Headers that name another key, another meaning of the bytes, or a token inside the token.
_REFUSED_HEADERS = frozenset({"crit", "jku", "jwk", "x5u", "x5c", "b64", "cty", "enc", "zip"})


class CannotMint(Exception):
    """A development token cannot be made as asked, and why."""


class _Odd(Exception):
    """A token is not one of ours, or is malformed. Never shown to the caller."""


class Verifier:
    """Verifies tokens against one ring of keys, and remembers the ones it has verified.

    Raises BadTokenKeys on a weak, malformed or doubled key: such a process must not start.
    """

    def __init__(self, keys: Sequence[JwtKey], demands: Demands | None = None) -> None:
        self._demands = demands or Demands()
        self._ring = ring_of(keys, self._demands)
        self._published: jwks.PublishedKeys | None = None
        self._lock = threading.Lock()
        # The oldest first. Read by every request without a lock: an entry is never changed.
        self._cache: dict[bytes, Principal] = {}

    def follow(self, published: jwks.PublishedKeys) -> None:
        """Take an issuer's published keys too; those of the ring win."""
        self._published = published

    def start(self) -> None:
        """Begin reading the issuer's keys, where there is an issuer that publishes them."""
        if self._published is not None:
            self._published.start()

    def principal(self, token: str) -> Principal:
        """Verify a token, or remember that it was verified.

        Raises Problem UNAUTHORIZED; UNAVAILABLE while the issuer's keys are not known.
        """
        if len(token) > MAX_TOKEN_BYTES or not token.isascii():
            raise Problem(Reason.UNAUTHORIZED, NOT_VALID)
        # Before the keys are looked at: what is verified by keys that change goes to a cache that
        # is forgotten with them.
        cache = self._cache
        known = self.remembered(token)
        if known is not None:
            return known
        principal = self._verified(token)
        self._remember(cache, _digest(token), principal)
        return principal

    def remembered(self, token: str) -> Principal | None:
        """Find the principal of a token that was verified here before and is not expired."""
        known = self._cache.get(_digest(token))
        return known if known is not None and known.expires_at > clock.now() else None

    def _remember(self, cache: dict[bytes, Principal], digest: bytes, principal: Principal) -> None:
        with self._lock:
            cache[digest] = principal
            while len(cache) > CACHED_TOKENS:
                del cache[next(iter(cache))]

    def forget(self) -> None:
        """Verify every token anew: the keys have changed."""
        self._cache = {}

    def trusts(self, key_id: str) -> bool:
        """Whether a key is still in force."""
        return key_id in self._ring or (
            self._published is not None and self._published.holds(key_id)
        )

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
        header, said = _open_parts(token)
        self._check_header(header)
        key = self._key_for(header)
        principal = claims.read_claims(
            claims.in_our_words(said, self._demands.claims),
            key_id=key.kid,
            fleet=key.fleet,
            require_jti=self._demands.require_jti,
        )
        key.backend.decode(token)  # type: ignore[arg-type]  # annotated as its Token, takes the text
        return principal

    def _check_header(self, header: Mapping[str, Any]) -> None:
        if not _REFUSED_HEADERS.isdisjoint(header):
            raise _Odd("header")
        wanted = self._demands.typ
        # RFC 7515 §4.1.9: the media type may be written with or without its first half.
        allowed = (None, "JWT") if wanted is None else (wanted, f"application/{wanted}")
        if header.get("typ") not in allowed or ("typ" in header and header["typ"] is None):
            raise _Odd("typ")

    def _key_for(self, header: Mapping[str, Any]) -> RingKey:
        key = self._named(header["kid"]) if "kid" in header else self._only_key()
        if key is None or header.get("alg") != key.alg:
            raise _Odd("key")
        return key

    def _named(self, kid: object) -> RingKey | None:
        if type(kid) is not str:
            return None
        key = self._ring.get(kid)
        if key is None and self._published is not None:
            key = self._published.get(kid)
        return key

    def _only_key(self) -> RingKey | None:
        # An issuer that publishes keys replaces them: there is never an only one.
        alone = len(self._ring) == 1 and self._published is None
        return next(iter(self._ring.values())) if alone else None

    def sign(self, payload: Mapping[str, Any], *, fleet: bool) -> str:
        """Sign with the first key that can, and that may speak for the fleet where asked.

        Raises CannotMint where no such key is configured.
        """
        for key in self._ring.values():
            if key.can_sign and (key.fleet or not fleet):
                return jwt.encode(
                    {**self._addressed(), **claims.in_their_words(payload, self._demands.claims)},
                    key.backend.prepared_signing_key,
                    algorithm=key.alg,
                    headers={"kid": key.kid, "typ": self._demands.typ or "JWT"},
                )
        wanted = "no signing key marked `fleet`" if fleet else "no signing key"
        raise CannotMint(f"{wanted} is configured in OPITIOS_JWT_KEYS")

    def _addressed(self) -> dict[str, str]:
        both = {"aud": self._demands.audience, "iss": self._demands.issuer}
        return {name: value for name, value in both.items() if value is not None}


def _digest(token: str) -> bytes:
    # Only the digest is kept: a dump of the cache holds no usable token.
    return sha256(token.encode()).digest()


def _open_parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    shape = _SHAPE.fullmatch(token)
    if shape is None:
        raise _Odd("shape")
    header, said, _signature = (_decode(part) for part in shape.groups())
    return _read(header), _read(said)


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


@lru_cache(maxsize=1)
def verifier() -> Verifier:
    """Build the verifier of this process's settings, once. Raises BadTokenKeys."""
    config = get_config()
    demands = Demands(
        audience=config.jwt_audience,
        issuer=config.jwt_issuer,
        typ=config.jwt_typ,
        require_jti=config.jwt_require_jti,
        claims={str(ours): theirs for ours, theirs in config.jwt_claims.items()},
        algorithms=config.jwt_algorithms,
        fleet_kids=config.jwt_jwks_fleet_kids,
    )
    made = Verifier(config.jwt_keys, demands)
    if config.jwt_jwks_url is not None:
        source = jwks.source_of(config.jwt_jwks_url, demo=config.demo)
        made.follow(jwks.PublishedKeys(source, demands, config.timers, on_change=made.forget))
    return made


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
        claims.read_claims(written, key_id="", fleet=True)
    except OddClaim as error:
        raise CannotMint(f"the claim {error} would be refused") from error
