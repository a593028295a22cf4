"""The demonstration's staff login."""

import secrets

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

pytestmark = pytest.mark.django_db


def test_it_is_made_once_and_keeps_the_password_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"staff-{secrets.token_hex(4)}"
    for password in ("first", "second", "second"):
        monkeypatch.setenv("STAFF_PASSWORD", password)

        call_command("ensure_staff", name)

    user = User.objects.get(username=name)
    assert user.check_password("second")
    assert (user.is_staff, user.is_superuser, user.is_active) == (True, True, True)


def test_without_a_password_nobody_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STAFF_PASSWORD", raising=False)
    name = f"staff-{secrets.token_hex(4)}"

    with pytest.raises(CommandError, match="STAFF_PASSWORD"):
        call_command("ensure_staff", name)

    assert not User.objects.filter(username=name).exists()
