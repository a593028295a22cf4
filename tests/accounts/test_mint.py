"""Development tokens: what is minted verifies, and what would not verify is not minted."""

from datetime import timedelta

import pytest

from accounts.tokenkeys import Demands
from accounts.tokens import CannotMint, Grant, Verifier, mint
from opitios.core import clock
from opitios.core.config import JwtKey
from tests.accounts.issuer import OTHER_SECRET, hs256, rs256, rsa_pair, verifier

HOUR = timedelta(hours=1)
GRANT = Grant(sub="bot-7", accounts=["A"], permissions=["trade"], ttl=HOUR)


def minted(grant: Grant, *keys: JwtKey) -> str:
    """A token of these keys, or of one HS256 key."""
    return mint(grant, now=clock.now(), signer=verifier(*(keys or (hs256(),))))


def test_a_minted_token_verifies() -> None:
    ring = verifier(hs256("old", secret=OTHER_SECRET), hs256())

    principal = ring.principal(mint(GRANT, now=clock.now(), signer=ring))

    assert (principal.sub, principal.permissions) == ("bot-7", frozenset({"trade"}))
    assert principal.accounts == frozenset({"A"})
    assert principal.expires_at - principal.issued_at == HOUR
    assert principal.key_id == "old"


def test_a_minted_token_carries_issuer_and_audience() -> None:
    ring = Verifier([hs256()], Demands(audience="opitios", issuer="us"))

    ring.principal(mint(GRANT, now=clock.now(), signer=ring))


def test_an_rsa_key_with_its_private_half_signs() -> None:
    public, private = rsa_pair()
    key = JwtKey.model_validate(
        {"kid": "rs", "alg": "RS256", "key": public, "private_key": private}
    )

    assert verifier(key).principal(minted(GRANT, key)).key_id == "rs"


def test_the_whole_fleet_is_signed_by_a_fleet_key() -> None:
    grant = Grant(sub="ops", accounts=None, permissions=["admin"], ttl=HOUR)
    keys = (hs256("one"), hs256("two", secret=OTHER_SECRET, fleet=True))

    principal = verifier(*keys).principal(minted(grant, *keys))

    assert (principal.key_id, principal.accounts) == ("two", None)
    with pytest.raises(CannotMint, match="fleet"):
        minted(grant, hs256())


def test_without_a_private_key_nothing_is_signed() -> None:
    with pytest.raises(CannotMint, match="no signing key"):
        minted(GRANT, rs256())


@pytest.mark.parametrize(
    "ttl", [timedelta(0), timedelta(seconds=-1), timedelta(hours=24, seconds=1)]
)
def test_a_lifetime_beyond_a_day_is_not_minted(ttl: timedelta) -> None:
    with pytest.raises(CannotMint, match="24 h"):
        minted(Grant(sub="a", accounts=[], permissions=[], ttl=ttl))


@pytest.mark.parametrize(
    ("sub", "accounts", "permissions"),
    [
        ("", [], []),
        ("a b", [], []),
        ("a", ["*"], []),
        ("a", [f"a{n}" for n in range(201)], []),
        ("a", [], ["root"]),
    ],
)
def test_what_a_verifier_would_refuse_is_not_minted(
    sub: str, accounts: list[str], permissions: list[str]
) -> None:
    with pytest.raises(CannotMint, match="would be refused"):
        minted(Grant(sub=sub, accounts=accounts, permissions=permissions, ttl=HOUR))


def test_a_token_longer_than_the_limit_is_not_minted() -> None:
    accounts = [f"{n:064d}" for n in range(200)]

    with pytest.raises(CannotMint, match="8192 bytes"):
        minted(Grant(sub="a", accounts=accounts, permissions=[], ttl=HOUR))
