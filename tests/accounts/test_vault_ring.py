"""The master key ring, hints and fingerprints."""

import base64

import pytest

from accounts.vault import BadKeyRing, fingerprint_of, hint_of, read_ring

GOOD = base64.b64encode(b"\x07" * 32).decode()


def test_the_first_key_seals_and_all_are_known() -> None:
    ring = read_ring(f"k2:{GOOD}, k1:{GOOD}")

    assert ring.current == "k2"
    assert list(ring.keys) == ["k2", "k1"]
    assert GOOD not in repr(ring)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "number 1"),
        (GOOD, "number 1"),
        (f"k1:{GOOD},", "number 2"),
        (f"k1:{GOOD},k 0:{GOOD}", "number 2"),
        (f"{'k' * 33}:{GOOD}", "number 1"),
        (f"k1:{GOOD},k1:{GOOD}", "'k1' stands twice"),
        ("k1:", "'k1' has 0 bytes"),
        ("k1:not base64", "'k1' is not base64"),
        (f"k1:{GOOD[:-4]}", "'k1' has 30 bytes"),
        (f"k1:{base64.b64encode(b'x' * 33).decode()}", "'k1' has 33 bytes"),
        ("k1:é", "'k1' is not base64"),
    ],
)
def test_a_malformed_ring_names_the_key_and_never_shows_it(text: str, says: str) -> None:
    with pytest.raises(BadKeyRing, match=says) as caught:
        read_ring(text)

    assert GOOD not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_hint_shows_six_characters_of_a_long_key_and_none_of_a_short_one() -> None:
    assert hint_of("PKABCDEFGHIJ7F2A") == "PK…7F2A"
    assert hint_of("PKABCDEFGHI") == "…"


def test_a_fingerprint_is_equal_for_equal_keys_only() -> None:
    assert fingerprint_of("PKABC") == fingerprint_of("PKABC")
    assert fingerprint_of("PKABC") != fingerprint_of("PKABD")
    assert len(fingerprint_of("PKABC")) == 64
