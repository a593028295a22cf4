"""The token that staff watch the stream with: short, for reading alone, and in the journal."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import orjson
import pytest
from django.test import Client

from tests.admin.conftest import signed_in
from tests.support.accounts import open_account

pytestmark = pytest.mark.django_db

__all__ = ("signed_in",)

PAGE, TOKEN = "/admin/stream/", "/admin/stream/token"
SEES = ("view_account", "view_order")
As = Callable[..., Client]


def entries() -> list[Any]:
    """Every entry of such a token, oldest first."""
    from accounts.models import JournalEntry  # noqa: PLC0415

    found = JournalEntry.objects.filter(account_id="_system", kind="staff.stream_token")
    return [orjson.loads(entry.body) for entry in found.order_by("seq")]


def user_of(client: Client) -> str:
    from django.contrib.auth.models import User  # noqa: PLC0415

    return User.objects.get(pk=client.session["_auth_user_id"]).get_username()


def test_a_token_is_for_the_accounts_named_for_reading_and_for_minutes(signed_in: As) -> None:
    from accounts.tokens import verifier  # noqa: PLC0415

    mine, client = open_account(), signed_in(*SEES)

    answer = client.post(TOKEN, {"accounts": f"{mine}, {mine}"})

    assert answer.status_code == 200
    assert "no-store" in answer["Cache-Control"]
    principal = verifier().principal(answer.json()["token"])
    assert principal.accounts == frozenset({mine})
    assert principal.permissions == {"account_read", "market_data"}
    assert principal.sub == answer.json()["subject"] == f"staff:{user_of(client)}"
    assert principal.expires_at - principal.issued_at == timedelta(minutes=10)


def test_each_token_is_in_the_systems_journal_and_its_text_nowhere(signed_in: As) -> None:
    from accounts.models import JournalEntry  # noqa: PLC0415

    mine, client = open_account(), signed_in(*SEES)
    before = len(entries())

    signed = client.post(TOKEN, {"accounts": mine}).json()["token"]
    client.post(TOKEN, {"accounts": "*"})
    client.post(TOKEN, {"accounts": ""})

    ours = [each for each in entries()[before:] if each["actor"]["name"] == user_of(client)]
    assert [each["after"]["accounts"] for each in ours] == [[mine], "*", []]
    assert [each["actor"]["kind"] for each in ours] == ["staff"] * 3
    assert ours[2]["after"]["permissions"] == ["market_data"]
    assert len({each["after"]["jti"] for each in ours}) == 3
    assert signed not in orjson.dumps(ours).decode()
    assert not JournalEntry.objects.filter(account_id=mine).exists()


@pytest.mark.parametrize(
    "named", ["nobody_001", "*,account", "a" * 65, "\0", ",".join(f"a{n}" for n in range(201))]
)
def test_what_is_no_account_gets_no_token_and_leaves_no_entry(signed_in: As, named: str) -> None:
    client, before = signed_in(*SEES), len(entries())

    answer = client.post(TOKEN, {"accounts": named})

    assert answer.status_code == 422
    assert set(answer.json()) == {"message"}
    assert len(entries()) == before


def test_a_gateway_that_cannot_sign_says_so(signed_in: As, monkeypatch: pytest.MonkeyPatch) -> None:
    from accounts import tokens  # noqa: PLC0415
    from streaming import staff  # noqa: PLC0415

    nobody = tokens.Verifier([])
    monkeypatch.setattr(tokens, "verifier", lambda: nobody)
    monkeypatch.setattr(staff, "verifier", lambda: nobody)

    answer = signed_in(*SEES).post(TOKEN, {"accounts": "*"})

    assert answer.status_code == 422
    assert "OPITIOS_JWT_KEYS" in answer.json()["message"]


@pytest.mark.parametrize("rights", [("view_account",), ("view_order",), ("view_halt",)])
def test_who_may_not_see_orders_and_accounts_sees_no_stream(
    signed_in: As, rights: tuple[str, ...]
) -> None:
    client, before = signed_in(*rights), len(entries())

    assert client.get(PAGE).status_code == 403
    assert client.post(TOKEN, {"accounts": ""}).status_code == 403
    assert len(entries()) == before


def test_only_a_form_of_ours_gets_a_token(signed_in: As) -> None:
    client, stranger = signed_in(*SEES), Client()
    forged = Client(enforce_csrf_checks=True)
    forged.cookies = client.cookies

    assert client.get(TOKEN, {"accounts": "*"}).status_code == 405
    assert forged.post(TOKEN, {"accounts": "*"}).status_code == 403
    answer = stranger.post(TOKEN, {"accounts": "*"})
    assert (answer.status_code, answer["Location"].startswith("/admin/login/")) == (302, True)


def test_the_page_sends_nothing_anywhere_but_here_and_to_the_stream(signed_in: As) -> None:
    from streaming.staff import _policy  # noqa: PLC0415

    answer = signed_in(*SEES).get(PAGE)

    assert answer.status_code == 200
    assert "connect-src 'self';" in answer["Content-Security-Policy"]
    assert "'unsafe-inline'" not in answer["Content-Security-Policy"].partition("style-src")[0]
    assert 'data-stream="/ws/v1/stream"' in answer.content.decode()
    told = _policy("wss://stream.example:8443/ws/v1/stream")
    assert "connect-src 'self' wss://stream.example:8443;" in told


@pytest.mark.parametrize(
    "url", ["http://h/ws/v1/stream", "ws://h/s?token=t", "ws://u:p@h/s", "ws://h; img-src *"]
)
def test_an_address_of_the_stream_that_is_none_starts_nothing(url: str) -> None:
    from pydantic import ValidationError  # noqa: PLC0415

    from opitios.core.config import Config, get_config  # noqa: PLC0415

    told = get_config().model_dump() | {"stream_url": url}

    with pytest.raises(ValidationError, match="OPITIOS_STREAM_URL"):
        Config.model_validate(told)
