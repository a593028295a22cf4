"""`mint_token` prints a token and nothing else; what it cannot make it explains."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from accounts import tokens
from accounts.tokens import Verifier, verifier
from tests.accounts.issuer import hs256, rs256

pytestmark = pytest.mark.django_db


def minted(*options: str) -> tuple[str, str]:
    """Output and warnings."""
    out, err = StringIO(), StringIO()
    call_command("mint_token", *options, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_it_prints_a_token_that_verifies_and_warns_of_unknown_accounts() -> None:
    out, err = minted("--accounts", "none_a,none_b", "--permissions", "trade,account_read")

    principal = verifier().principal(out.removesuffix("\n"))
    assert principal.accounts == frozenset({"none_a", "none_b"})
    assert principal.permissions == {"trade", "account_read"}
    assert (principal.expires_at - principal.issued_at).total_seconds() == 3600
    assert err.splitlines() == [
        "warning: there is no account none_a",
        "warning: there is no account none_b",
    ]


def test_it_prints_json() -> None:
    out, err = minted("--all", "--ttl", "24h", "--sub", "ops", "--permissions", "admin", "--json")

    answer = json.loads(out)
    principal = verifier().principal(answer["token"])
    assert (principal.sub, principal.accounts) == ("ops", None)
    assert answer["sub"] == "ops"
    assert answer["expires_at"].endswith("Z")
    assert err == ""


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--permissions", "trade,root"), "no such permission: root; there are market_data"),
        (("--ttl", "25h"), "at most 24 h"),
        (("--ttl", "86401s"), "at most 24 h"),
        (("--ttl", "1d"), "not a duration"),
        (("--ttl", "0s"), "not a duration"),
        (("--ttl", "-1h"), "expected one argument"),
        (("--accounts", "*"), "account_id would be refused"),
        (("--accounts", "a", "--all"), "not allowed with"),
        (("--sub", "two words"), "sub would be refused"),
    ],
)
def test_what_cannot_be_minted_is_explained(options: tuple[str, ...], says: str) -> None:
    with pytest.raises(CommandError, match=says.replace("(", r"\(")):
        minted(*options)


def test_without_a_signing_key_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "verifier", lambda: Verifier([rs256()]))
    with pytest.raises(CommandError, match="no signing key is configured in OPITIOS_JWT_KEYS"):
        minted()

    monkeypatch.setattr(tokens, "verifier", lambda: Verifier([hs256()]))
    with pytest.raises(CommandError, match="marked `fleet`"):
        minted("--all")
