"""A start with unusable keys is refused by a check with an id, which never shows a key."""

import base64

import pytest

from accounts import checks
from accounts.tokens import Verifier
from accounts.vault import read_ring
from tests.accounts.issuer import hs256

GOOD = base64.b64encode(bytes(32)).decode()


def test_the_configured_keys_pass() -> None:
    assert checks.check_master_keys(None) == []
    assert checks.check_token_keys(None) == []


def test_a_bad_master_key_ring_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "key_ring", lambda: read_ring(f"k1:{GOOD},k1:{GOOD}"))

    (found,) = checks.check_master_keys(None)

    assert (found.id, found.is_serious()) == ("accounts.E001", True)
    assert GOOD not in str(found)


def test_a_weak_token_key_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    short = "CANARY-too-short"
    monkeypatch.setattr(checks, "verifier", lambda: Verifier([hs256(secret=short)]))

    (found,) = checks.check_token_keys(None)

    assert (found.id, found.is_serious()) == ("accounts.E002", True)
    assert short not in str(found)
