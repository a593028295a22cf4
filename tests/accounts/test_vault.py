"""A sealed pair opens in its own place only, and says nothing when it does not."""

import base64
import os
from typing import Any

import pytest

from accounts import vault
from accounts.models import Credential
from accounts.vault import SealBroken, open_pair, seal_pair

API_KEY, SECRET_KEY = "PKCANARYAPIKEY7F2A", "canary/secret+of=the.broker"
SEALED_FIELDS = ["wrapped_data_key", "sealed_api_key", "sealed_secret_key"]


def ring_of(*ids: str) -> str:
    """A setting with fresh keys under these ids."""
    return ",".join(f"{name}:{base64.b64encode(os.urandom(32)).decode()}" for name in ids)


@pytest.fixture(autouse=True)
def ring(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A ring of two keys; the first one seals."""
    use_ring(monkeypatch, ring_of("k1", "k0"))
    return monkeypatch


def use_ring(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Give the vault another ring."""
    monkeypatch.setattr(vault, "key_ring", lambda: vault.read_ring(text))


def sealed(account_id: str = "A", version: int = 1, **changed: Any) -> Credential:
    """A stored pair, not saved."""
    pair = seal_pair(account_id=account_id, version=version, api_key=API_KEY, secret_key=SECRET_KEY)
    fields = {name: getattr(pair, name) for name in (*SEALED_FIELDS, "master_key_id")}
    return Credential(account_id=account_id, version=version, **fields | changed)


def test_a_sealed_pair_opens() -> None:
    pair = open_pair(sealed())

    assert (pair.key_id, pair.secret) == (API_KEY, SECRET_KEY)


def test_it_opens_from_the_driver_s_memoryviews() -> None:
    credential = sealed()
    for name in SEALED_FIELDS:
        setattr(credential, name, memoryview(getattr(credential, name)))

    assert open_pair(credential).secret == SECRET_KEY


def test_every_seal_is_different() -> None:
    """H132: no nonce comes twice."""
    one, two = sealed(), sealed()

    for name in SEALED_FIELDS:
        assert getattr(one, name) != getattr(two, name)
        assert getattr(one, name)[1:13] != getattr(two, name)[1:13]


@pytest.mark.parametrize("changed", [{"account_id": "B"}, {"version": 2}])
def test_a_row_moved_to_another_place_does_not_open(changed: dict[str, Any]) -> None:
    """H132."""
    credential = sealed()
    for name, value in changed.items():
        setattr(credential, name, value)

    with pytest.raises(SealBroken, match="moved"):
        open_pair(credential)


def test_a_value_moved_to_another_field_does_not_open() -> None:
    """H132."""
    credential = sealed()
    credential.sealed_api_key = credential.sealed_secret_key

    with pytest.raises(SealBroken, match="api_key was changed, moved"):
        open_pair(credential)


def test_places_whose_parts_run_together_are_different() -> None:
    assert vault._place("a1", "key", 1) != vault._place("a", "1key", 1)


@pytest.mark.parametrize("name", SEALED_FIELDS)
def test_each_changed_byte_is_noticed(name: str) -> None:
    """H132."""
    credential = sealed()
    whole = getattr(credential, name)

    for place in range(len(whole)):
        setattr(credential, name, whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])

        with pytest.raises(SealBroken):
            open_pair(credential)


@pytest.mark.parametrize("length", [0, 1, 12, 13, 28, 30])
def test_a_cut_value_does_not_open(length: int) -> None:
    """H132."""
    credential = sealed()
    credential.sealed_secret_key = bytes(credential.sealed_secret_key)[:length]

    with pytest.raises(SealBroken):
        open_pair(credential)


def test_a_retired_key_still_opens_and_a_lost_one_says_its_name(ring: pytest.MonkeyPatch) -> None:
    """H132."""
    old, new = ring_of("k1"), ring_of("k2")
    use_ring(ring, old)
    credential = sealed()

    use_ring(ring, f"{new},{old}")
    assert open_pair(credential).secret == SECRET_KEY
    assert sealed().master_key_id == "k2"

    use_ring(ring, new)
    with pytest.raises(SealBroken, match="'k1' is not in the ring"):
        open_pair(credential)


def test_another_key_under_the_same_id_does_not_open(ring: pytest.MonkeyPatch) -> None:
    credential = sealed()

    use_ring(ring, ring_of("k1"))

    with pytest.raises(SealBroken, match="data_key"):
        open_pair(credential)


def test_no_message_and_no_repr_shows_a_secret(ring: pytest.MonkeyPatch) -> None:
    credential = sealed()
    shown = [repr(open_pair(credential)), str(credential), repr(vault.key_ring())]
    credential.sealed_secret_key = credential.sealed_api_key
    with pytest.raises(SealBroken) as caught:
        open_pair(credential)

    for text in [*shown, str(caught.value), repr(caught.value)]:
        assert API_KEY not in text
        assert SECRET_KEY not in text
