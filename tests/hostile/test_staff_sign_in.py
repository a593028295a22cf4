"""Guessing at the admin's door is slowed down, and shuts nobody else out (H181, H182)."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from django.conf import settings
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import Client

from opitios.core import client_address, clock
from opitios.core.client_address import read_networks
from tests.admin.conftest import PASSWORD

pytestmark = pytest.mark.django_db

LIMIT = settings.AXES_FAILURE_LIMIT


@pytest.fixture(autouse=True)
def quick_hashes(settings: Any) -> None:
    """A password's hash is slow on purpose; how slow is not what is tried here."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def name(db: None) -> str:
    """A member of staff."""
    return User.objects.create_user(
        f"s-{uuid4().hex[:12]}", password=PASSWORD, is_staff=True
    ).username


@pytest.fixture
def source() -> str:
    """An address nobody guessed from."""
    return f"2001:db8::{uuid4().hex[:4]}:{uuid4().hex[:4]}"


def sign_in(name: str, password: str, source: str, **headers: str) -> HttpResponse:
    """One attempt from an address."""
    form = {"username": name, "password": password, "next": "/admin/"}
    about: dict[str, Any] = {"REMOTE_ADDR": source, **headers}
    answered: Any = Client().post("/admin/login/", form, **about)
    assert isinstance(answered, HttpResponse)
    return answered


def guess(name: str, source: str, times: int = LIMIT) -> list[int]:
    """Wrong passwords; the status of each answer."""
    return [sign_in(name, f"guess-{n}", source).status_code for n in range(times)]


def test_h181_guessing_ends_after_a_few_and_the_right_password_does_not_help(
    name: str, source: str
) -> None:
    assert guess(name, source, LIMIT + 4) == [200] * (LIMIT - 1) + [429] * 5

    refused = sign_in(name, PASSWORD, source)

    assert refused.status_code == 429
    assert refused["Retry-After"] == "900"
    assert b"try again in 15 minutes" in refused.content
    assert "sessionid" not in refused.cookies


def test_h181_a_login_that_does_not_exist_is_answered_alike(name: str, source: str) -> None:
    nobody = f"n-{uuid4().hex[:12]}"
    known, unknown = (
        [sign_in(who, "guess", source) for _ in range(LIMIT + 2)] for who in (name, nobody)
    )

    assert [each.status_code for each in known] == [each.status_code for each in unknown]
    assert known[-1].content == unknown[-1].content


def test_h181_a_header_of_the_guesser_s_does_not_make_it_another_address(
    name: str, source: str
) -> None:
    for number in range(LIMIT):
        sign_in(name, "guess", source, HTTP_X_FORWARDED_FOR=f"10.0.0.{number}")

    spoofed = sign_in(name, PASSWORD, source, HTTP_X_FORWARDED_FOR="10.9.9.9", HTTP_USER_AGENT="x")

    assert spoofed.status_code == 429


def test_h182_nobody_else_is_shut_out(
    name: str, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = User.objects.create_user(f"s-{uuid4().hex[:12]}", password=PASSWORD, is_staff=True)
    guess(name, source, LIMIT + 5)

    # The same name from elsewhere, another name from there.
    assert sign_in(name, PASSWORD, "192.0.2.7").status_code == 302
    assert sign_in(other.username, PASSWORD, source).status_code == 302
    assert sign_in(name, PASSWORD, source).status_code == 429
    # Behind a proxy it is the client's address that counts.
    monkeypatch.setattr(client_address, "_trusted", lambda: read_networks([source]))
    through = sign_in(name, PASSWORD, source, HTTP_X_FORWARDED_FOR="198.51.100.4")
    assert through.status_code == 302


def test_h182_a_lock_out_ends_by_itself_however_long_the_guessing_goes_on(
    name: str, source: str
) -> None:
    guess(name, source)
    later = clock.now() + timedelta(minutes=14)
    with time_machine.travel(later, tick=True):
        assert guess(name, source, 3) == [429] * 3

    with time_machine.travel(later + timedelta(minutes=2), tick=True):
        assert sign_in(name, PASSWORD, source).status_code == 302
