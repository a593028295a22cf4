"""Master key rings of tests: another newest key, and the way back."""

import base64
import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from accounts import rotation, vault
from accounts.models import ProcessRow
from tests.accounts.custodial import ME
from tests.support.environment import MASTER_KEY


def fresh_key(name: str) -> str:
    """A new master key, as it stands in a ring."""
    return f"{name}:{base64.b64encode(os.urandom(32)).decode()}"


def use_ring(monkeypatch: pytest.MonkeyPatch, *keys: str) -> None:
    """Give this process another ring; the first key seals."""
    text = ",".join(keys)
    monkeypatch.setattr(vault, "key_ring", lambda: vault.read_ring(text))


def forget_processes() -> None:
    """Let nobody have been alive lately: earlier tests' processes knew other rings."""
    ProcessRow.objects.all().delete()


@contextmanager
def committed(monkeypatch: pytest.MonkeyPatch, new: str) -> Iterator[None]:
    """Let key pairs be sealed under a new master key for good, and bring them back in the end."""
    forget_processes()
    use_ring(monkeypatch, new, MASTER_KEY)
    try:
        yield
    finally:
        forget_processes()
        use_ring(monkeypatch, MASTER_KEY, new)
        assert not rotation.rotate(actor=ME, reason="back").broken
