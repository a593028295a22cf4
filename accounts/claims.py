"""What a token says, read strictly: claims in, a principal out. No clock, no key, no I/O.

Every odd value is refused (reliability.md H001 to H040): a claim we half understand is a claim that
somebody will make mean more than it should.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from accounts.models import Account
from opitios.core.jsontext import Number


class Permission(StrEnum):
    """The closed list of what a token may allow (api.md §2)."""

    MARKET_DATA = "market_data"
    ACCOUNT_READ = "account_read"
    TRADE = "trade"
    MONITOR = "monitor"
    OPERATOR = "operator"
    ADMIN = "admin"


# R8 in seconds: no token lives longer.
MAX_LIFETIME = 24 * 60 * 60
# api.md §2: a longer list does not fit the 8 KB of a token anyway.
MAX_ACCOUNTS = 200
# Claims of our own that are lists or maps of settings: a handful, never more.
MAX_LIMITS = 16

ACCOUNT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
# Visible ASCII: look-alike letters, spaces and control characters have no place in an audit trail.
VISIBLE = re.compile(r"[!-~]{1,128}")
# Seconds since 1970, up to the year 9999.
_SECONDS = re.compile(r"[1-9][0-9]{0,11}")
COUNT = re.compile(r"0|[1-9][0-9]{0,8}")
LIMIT_NAME = re.compile(r"[a-z][a-z_]{0,63}")
_LAST_SECOND = 253402300799

_PERMISSIONS = {word.value: word.value for word in Permission} | {"trading": Permission.TRADE.value}
_TOKEN_KINDS = ("token_type", "token_use")


class OddClaim(ValueError):
    """A claim is missing, of the wrong type or outside what we know. Never shown to the caller."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks, as a verified token says. `accounts` None means every account."""

    sub: str
    accounts: frozenset[str] | None
    permissions: frozenset[str]
    issued_at: datetime
    expires_at: datetime
    key_id: str
    account_type: str | None = None
    jti: str | None = None
    act: str | None = None
    rate_limits: Mapping[str, int] | None = field(default=None, hash=False)
    # Accounts that may not be reached from where the caller is (gate.py).
    barred: frozenset[str] = frozenset()

    # DRF asks this of `request.user`; nothing here can ever be staff.
    is_authenticated = True

    def may(self, permission: str) -> bool:
        """Say whether the token carries this permission."""
        return permission in self.permissions

    def holds(self, account_id: str) -> bool:
        """Say whether the account is in the token's set; says nothing of whether it exists."""
        if self.accounts is None:
            return account_id not in self.barred
        return account_id in self.accounts


def in_our_words(claims: Mapping[str, Any], names: Mapping[str, str]) -> Mapping[str, Any]:
    """Give an issuer's claims our names; `names`: ours to theirs (JWT_CLAIMS).

    What stands under a name of ours that the issuer calls otherwise is not ours, and not looked at.
    """
    if not names:
        return claims
    others = {name: value for name, value in claims.items() if name not in names}
    return others | {ours: claims[theirs] for ours, theirs in names.items() if theirs in claims}


def in_their_words(claims: Mapping[str, Any], names: Mapping[str, str]) -> Mapping[str, Any]:
    """Give our claims the issuer's names."""
    return {names.get(name, name): value for name, value in claims.items()}


def read_claims(
    claims: Mapping[str, Any], *, key_id: str, fleet: bool, require_jti: bool = False
) -> Principal:
    """Make the principal of one payload whose numbers are jsontext.Number.

    `fleet`: the signing key may say `account_scope: all`. Raises OddClaim. Times are checked for
    their shape and span only: now is the caller's.
    """
    _refuse_other_kinds(claims)
    _refuse_odd_addresses(claims)
    issued, expires = _span(claims)
    return Principal(
        sub=_visible(claims, "sub", required=True) or "",
        accounts=_accounts(claims, fleet=fleet),
        permissions=_permissions(claims.get("permissions", [])),
        issued_at=datetime.fromtimestamp(issued, tz=UTC),
        expires_at=datetime.fromtimestamp(expires, tz=UTC),
        key_id=key_id,
        account_type=_account_type(claims),
        jti=_visible(claims, "jti", required=require_jti),
        act=_visible(claims, "act"),
        rate_limits=_rate_limits(claims),
    )


def _refuse_other_kinds(claims: Mapping[str, Any]) -> None:
    # A refresh or an id token of the same issuer carries the same signature; it is no access token.
    for name in _TOKEN_KINDS:
        if claims.get(name, "access") != "access":
            raise OddClaim(name)


def _refuse_odd_addresses(claims: Mapping[str, Any]) -> None:
    # RFC 7519 §4.1: what they must be is the backend's to say, of which kind they are is ours.
    if not _plain_text(claims.get("iss", "")):
        raise OddClaim("iss")
    aud = claims.get("aud", "")
    if not all(map(_plain_text, aud if isinstance(aud, list) else [aud])):
        raise OddClaim("aud")


def _span(claims: Mapping[str, Any]) -> tuple[int, int]:
    issued, expires = _seconds(claims, "iat"), _seconds(claims, "exp")
    if "nbf" in claims:
        _seconds(claims, "nbf")
    if not 0 < expires - issued <= MAX_LIFETIME:
        raise OddClaim("exp")
    return issued, expires


def _seconds(claims: Mapping[str, Any], name: str) -> int:
    value = claims.get(name)
    if not isinstance(value, Number) or not _SECONDS.fullmatch(value):
        raise OddClaim(name)
    if int(value) > _LAST_SECOND:
        raise OddClaim(name)
    return int(value)


def _plain_text(value: Any) -> bool:
    # A Number is text of ours, not of the issuer.
    return isinstance(value, str) and not isinstance(value, Number)


def _visible(claims: Mapping[str, Any], name: str, *, required: bool = False) -> str | None:
    if name not in claims and not required:
        return None
    value = claims.get(name)
    if not _plain_text(value) or not VISIBLE.fullmatch(str(value)):
        raise OddClaim(name)
    return str(value)


def _accounts(claims: Mapping[str, Any], *, fleet: bool) -> frozenset[str] | None:
    given = [name for name in ("account_id", "account_ids", "account_scope") if name in claims]
    if len(given) > 1:
        raise OddClaim("account_ids")
    if "account_id" in given:
        return frozenset([_account_id(claims["account_id"])])
    if "account_ids" in given:
        return _account_ids(claims["account_ids"])
    if not given:
        return frozenset()
    if not fleet or claims["account_scope"] != "all":
        raise OddClaim("account_scope")
    return None


def _account_id(value: Any) -> str:
    if not _plain_text(value) or not ACCOUNT_ID.fullmatch(value):
        raise OddClaim("account_id")
    return str(value)


def _account_ids(value: Any) -> frozenset[str]:
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_ACCOUNTS:
        raise OddClaim("account_ids")
    return frozenset(_account_id(item) for item in value)


def _permissions(value: Any) -> frozenset[str]:
    if not isinstance(value, list):
        raise OddClaim("permissions")
    for word in value:
        if not _plain_text(word) or word not in _PERMISSIONS:
            raise OddClaim("permissions")
    return frozenset(_PERMISSIONS[word] for word in value)


def _account_type(claims: Mapping[str, Any]) -> str | None:
    if "account_type" not in claims:
        return None
    value = claims["account_type"]
    if not _plain_text(value) or value not in Account.Type.values:
        raise OddClaim("account_type")
    return str(value)


def _rate_limits(claims: Mapping[str, Any]) -> Mapping[str, int] | None:
    if "rate_limits" not in claims:
        return None
    value = claims["rate_limits"]
    if not isinstance(value, dict) or len(value) > MAX_LIMITS:
        raise OddClaim("rate_limits")
    for name, count in value.items():
        if not LIMIT_NAME.fullmatch(name):
            raise OddClaim("rate_limits")
        if not isinstance(count, Number) or not COUNT.fullmatch(count):
            raise OddClaim("rate_limits")
    return {name: int(count) for name, count in value.items()}
