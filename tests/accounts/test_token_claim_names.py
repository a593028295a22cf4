"""An issuer's own names for our claims: other names, the same strictness."""

from typing import Any

import pytest

from accounts.tokens import Verifier
from opitios.core.config import Config
from tests.accounts.issuer import claims, hs256, refused, token, verifier

NAMES = {
    "sub": "user_id",
    "account_ids": "https://issuer.example/accounts",
    "permissions": "opitios_permissions",
}


def theirs(**changed: Any) -> dict[str, Any]:
    """A good payload of that issuer."""
    good = {"user_id": "u-9", "https://issuer.example/accounts": ["A"],
            "opitios_permissions": ["trade"], "sub": None, "permissions": None}  # fmt: skip
    return claims(**good | changed)


@pytest.fixture
def ring() -> Verifier:
    """A verifier that knows their names."""
    return verifier(hs256(fleet=True), claims=NAMES)


def test_their_names_are_read_as_ours(ring: Verifier) -> None:
    principal = ring.principal(token(theirs()))

    assert (principal.sub, principal.accounts) == ("u-9", frozenset("A"))
    assert principal.permissions == {"trade"}


def test_what_stands_under_our_own_name_is_not_looked_at(ring: Verifier) -> None:
    both = theirs(sub="root", account_ids=["B"], permissions=["admin"])

    principal = ring.principal(token(both))

    assert (principal.sub, principal.accounts) == ("u-9", frozenset("A"))
    assert principal.permissions == {"trade"}


@pytest.mark.parametrize(
    "odd",
    [
        {"user_id": None, "sub": "bot-7"},
        {"user_id": 7},
        {"user_id": ["u"]},
        {"user_id": "u 9"},
        {"https://issuer.example/accounts": "A"},
        {"https://issuer.example/accounts": ["*"]},
        {"https://issuer.example/accounts": []},
        {"opitios_permissions": "trade"},
        {"opitios_permissions": ["root"]},
        # A claim that keeps our name names accounts a second way.
        {"account_id": "B"},
        {"account_scope": "all"},
    ],
    ids=repr,
)
def test_their_values_are_checked_as_ours(ring: Verifier, odd: dict[str, Any]) -> None:
    with refused():
        ring.principal(token(theirs(**odd)))


def test_a_development_token_speaks_their_names() -> None:
    signer = verifier(hs256(), claims=NAMES)
    payload = claims(account_ids=["A"])

    assert signer.principal(signer.sign(payload, fleet=False)).accounts == frozenset("A")


@pytest.mark.parametrize("name", ["exp", "iat", "nbf", "iss", "aud", "is_staff"])
def test_times_and_addresses_have_no_other_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JWT_CLAIMS", f'{{"{name}": "x"}}')

    with pytest.raises(ValueError, match="JWT_CLAIMS"):
        Config()
