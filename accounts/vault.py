"""Seals and opens key pairs: AES-256-GCM, a data key per account and version, a master key ring.

What stands sealed is sealed anew under another data key and the newest master key (rotation.py).

A sealed value is `format byte ‖ nonce ‖ ciphertext and tag`. Its associated data names the account,
the field and the key version, so a value moved to another row, field or version does not open.
Clear text leaves this file only as the `Credentials` a broker client is built from.
"""

import base64
import binascii
import hmac
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.views.decorators.debug import sensitive_variables

from accounts.models import Credential
from opitios.broker.port import Credentials
from opitios.core.config import get_config

FORMAT = b"\x01"
# AES-256.
KEY_BYTES = 32
# NIST SP 800-38D: 96 bits, random; a data key seals two values, a master key one per key version.
NONCE_BYTES = 12
TAG_BYTES = 16
# A hint shows six characters: on a key shorter than this it would show too much of it.
HINT_FROM_LENGTH = 12
# Of a digest of a random key of 32 bytes: two of them are alike once in 2^64.
MARK_DIGITS = 16

# Before a sealed value in an account file.
SEALED = "sealed:"

_KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,32}")


class BadKeyRing(Exception):
    """OPITIOS_MASTER_KEYS cannot be used, and which key is at fault. Never its value."""


class SealBroken(Exception):
    """A sealed value does not open: changed, moved, cut, or its master key is not in the ring."""


@dataclass(frozen=True, slots=True)
class KeyRing:
    """Master keys by id. The first of the setting seals; every one of them opens."""

    current: str
    keys: Mapping[str, bytes]

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(self.keys)})"


@dataclass(frozen=True, slots=True)
class Sealed:
    """What `Credential` stores of one key pair."""

    master_key_id: str
    wrapped_data_key: bytes
    sealed_api_key: bytes
    sealed_secret_key: bytes
    hint: str
    fingerprint: str


@lru_cache(maxsize=2)
@sensitive_variables()
def read_ring(text: str) -> KeyRing:
    """Read "k2:<base64 of 32 bytes>,k1:<…>".

    Raises BadKeyRing naming the key id, or its place where the id itself is wrong.
    """
    keys: dict[str, bytes] = {}
    for place, part in enumerate(text.split(","), start=1):
        key_id, colon, encoded = part.strip().partition(":")
        if not colon or not _KEY_ID.fullmatch(key_id):
            raise BadKeyRing(f"master key number {place} is not written as id:base64")
        if key_id in keys:
            raise BadKeyRing(f"master key {key_id!r} stands twice in the ring")
        keys[key_id] = _master_key(key_id, encoded)
    return KeyRing(current=next(iter(keys)), keys=keys)


@sensitive_variables()
def _master_key(key_id: str, encoded: str) -> bytes:
    try:
        key = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        # The cause would show the value.
        raise BadKeyRing(f"master key {key_id!r} is not base64") from None
    if len(key) != KEY_BYTES:
        raise BadKeyRing(f"master key {key_id!r} has {len(key)} bytes, not {KEY_BYTES}")
    return key


def key_ring() -> KeyRing:
    """Read the ring of this process's settings. Raises BadKeyRing."""
    return read_ring(get_config().master_keys.get_secret_value())


@sensitive_variables()
def seal_pair(*, account_id: str, version: int, api_key: str, secret_key: str) -> Sealed:
    """Seal one pair under a fresh data key, wrapped by the current master key."""
    ring = key_ring()
    data_key = AESGCM.generate_key(bit_length=8 * KEY_BYTES)
    return Sealed(
        master_key_id=ring.current,
        wrapped_data_key=_seal(
            ring.keys[ring.current], data_key, _wrap_place(account_id, version, ring.current)
        ),
        sealed_api_key=_seal(data_key, api_key.encode(), _place(account_id, "api_key", version)),
        sealed_secret_key=_seal(
            data_key, secret_key.encode(), _place(account_id, "secret_key", version)
        ),
        hint=hint_of(api_key),
        fingerprint=fingerprint_of(api_key),
    )


@sensitive_variables()
def open_pair(credential: Credential) -> Credentials:
    """Open one stored pair. Raises SealBroken, whose message holds no secret."""
    account_id, version = credential.account_id, credential.version
    name = credential.master_key_id
    master_key = key_ring().keys.get(name)
    if master_key is None:
        raise SealBroken(f"{account_id} v{version}: master key {name!r} is not in the ring")
    wrap = _wrap_place(account_id, version, name)
    about = f"{account_id} v{version}"
    data_key = _open(master_key, credential.wrapped_data_key, wrap, f"{about}: data_key")
    key_id, secret = (
        _open(data_key, sealed, _place(account_id, field, version), f"{about}: {field}").decode()
        for field, sealed in (
            ("api_key", credential.sealed_api_key),
            ("secret_key", credential.sealed_secret_key),
        )
    )
    return Credentials(key_id=key_id, secret=secret)


def credential_of(*, account_id: str, version: int, pair: Credentials) -> Credential:
    """Seal a pair into the row that stores it; the row is not saved."""
    sealed = seal_pair(
        account_id=account_id, version=version, api_key=pair.key_id, secret_key=pair.secret
    )
    return Credential(account_id=account_id, version=version, **asdict(sealed))


def seal_anew(credential: Credential) -> Credential:
    """Seal a stored pair under a fresh data key and the current master key; an unsaved row.

    Raises SealBroken where the stored one does not open, or the new one not to the same pair:
    what is written over must never be the last that opened.
    """
    pair = open_pair(credential)
    fresh = credential_of(account_id=credential.account_id, version=credential.version, pair=pair)
    if open_pair(fresh) != pair:
        raise SealBroken(f"{credential} was not sealed anew: it opens to something else")
    fresh.pk, fresh.created_at = credential.pk, credential.created_at
    return fresh


def ring_marks() -> dict[str, str]:
    """Name each master key of this process with a keyed digest of it, 16 hex digits.

    Equal marks mean equal keys; nothing else can be learnt from them. Raises BadKeyRing.
    """
    key = _fingerprint_key(get_config().secret_key.get_secret_value())
    # A broker key holds no space: its fingerprint is never a mark.
    return {
        name: hmac.digest(key, b"master key " + value, "sha256").hex()[:MARK_DIGITS]
        for name, value in key_ring().keys.items()
    }


@sensitive_variables()
def seal_value(clear: str, *, account_id: str, field: str) -> str:
    """Seal one key for the account file: `sealed:<master key id>:<base64url>`.

    It opens as this field of this account only.
    """
    ring = key_ring()
    place = _file_place(account_id, field, ring.current)
    sealed = _seal(ring.keys[ring.current], clear.encode(), place)
    return f"{SEALED}{ring.current}:{base64.urlsafe_b64encode(sealed).rstrip(b'=').decode()}"


@sensitive_variables()
def open_value(text: str, *, account_id: str, field: str) -> str:
    """Open what `seal_value` made. Raises SealBroken, whose message holds no secret."""
    name, _, encoded = text.removeprefix(SEALED).partition(":")
    master_key = key_ring().keys.get(name)
    if master_key is None:
        raise SealBroken(f"the master key {name!r} is not in the ring")
    padded = encoded + "=" * (-len(encoded) % 4)
    try:
        sealed = base64.b64decode(padded, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        # The cause would show the value.
        raise SealBroken("the sealed value is not base64: was it cut?") from None
    place = _file_place(account_id, field, name)
    return _open(master_key, sealed, place, "the sealed value").decode()


def is_under_current_key(text: str) -> bool:
    """Say whether a sealed value of a file is under the master key that seals now."""
    return text.startswith(f"{SEALED}{key_ring().current}:")


def hint_of(api_key: str) -> str:
    """First two and last four characters: enough to recognise a key, too little to use it."""
    if len(api_key) < HINT_FROM_LENGTH:
        return "…"
    return f"{api_key[:2]}…{api_key[-4:]}"


def fingerprint_of(api_key: str) -> str:
    """Keyed digest of an api key, in hex: equal for equal keys, and reveals nothing else.

    Its key comes from SECRET_KEY, not from the ring: it must survive a change of master key.
    """
    key = _fingerprint_key(get_config().secret_key.get_secret_value())
    return hmac.digest(key, api_key.encode(), "sha256").hex()


def fingerprint_of_pair(pair: Credentials) -> str:
    """The fingerprint of a pair's api key."""
    return fingerprint_of(pair.key_id)


@lru_cache(maxsize=2)
def _fingerprint_key(secret: str) -> bytes:
    derive = HKDF(
        algorithm=SHA256(), length=KEY_BYTES, salt=None, info=b"opitios api-key fingerprint"
    )
    return derive.derive(secret.encode())


def _place(account_id: str, field: str, version: int, *more: str) -> bytes:
    # Lengths in front: ("a", "bc") and ("ab", "c") must not be the same place.
    parts = [part.encode() for part in (account_id, field, str(version), *more)]
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def _wrap_place(account_id: str, version: int, master_key_id: str) -> bytes:
    return _place(account_id, "data_key", version, master_key_id)


def _seal(key: bytes, clear: bytes, place: bytes) -> bytes:
    nonce = os.urandom(NONCE_BYTES)
    return FORMAT + nonce + AESGCM(key).encrypt(nonce, clear, FORMAT + place)


def _file_place(account_id: str, field: str, master_key_id: str) -> bytes:
    # No key pair has the version 0: a value of a file never opens as one of the database.
    return _place(account_id, field, 0, "account file", master_key_id)


def _open(key: bytes, stored: bytes | memoryview, place: bytes, about: str) -> bytes:
    # psycopg hands a bytea over as memoryview or bytes.
    sealed = bytes(stored)
    if sealed[:1] != FORMAT or len(sealed) < 1 + NONCE_BYTES + TAG_BYTES:
        raise SealBroken(f"{about} is not a sealed value of format 1")
    nonce, ciphertext = sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
    try:
        return AESGCM(key).decrypt(nonce, ciphertext, FORMAT + place)
    except InvalidTag:
        raise SealBroken(f"{about} was changed, moved or sealed under another key") from None
