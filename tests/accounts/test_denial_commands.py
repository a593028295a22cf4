"""`deny_token`, `subjects` and `account_networks`: what they do, say and refuse."""

import json
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command

from accounts.models import AccountNetworks, DeniedToken, Subject
from tests.accounts.custodial import last_system_seq, system_entries
from tests.support.accounts import open_account

pytestmark = pytest.mark.django_db

WHY = "--reason=stolen"


def said(*words: str) -> str:
    """What a command prints."""
    out = StringIO()
    call_command(*words, stdout=out)
    return out.getvalue()


def told(*words: str) -> dict[str, Any]:
    """What a command prints as JSON."""
    answer: dict[str, Any] = json.loads(said(*words, "--json"))
    return answer


@pytest.fixture
def name() -> str:
    """A subject, or a jti, nobody else has."""
    return f"n-{uuid4().hex[:12]}"


def test_a_token_is_denied_listed_and_lifted(name: str) -> None:
    since = last_system_seq()

    done = told("deny_token", "--jti", name, WHY, "--actor", "jane")
    listed = {row["value"]: row for row in told("deny_token", "--list")["denied"]}
    again = told("deny_token", "--jti", name, "--until", "2999-01-01T00:00:00Z", WHY)
    lifted = told("deny_token", "--jti", name, "--lift", "--reason", "found again")

    assert done["denied"] is True
    assert done["jti"] == name
    assert (listed[name]["actor"], listed[name]["reason"]) == ("deny_token:jane", "stolen")
    assert again["until"] == "2999-01-01T00:00:00.000000Z"
    assert lifted["denied"] is False
    assert not DeniedToken.objects.filter(value=name).exists()
    kinds = [entry["kind"] for entry in system_entries(since)]
    assert kinds == ["token.denied", "token.denied", "token.lifted"]


def test_a_denial_is_told_in_a_sentence_and_in_a_table(name: str) -> None:
    assert said("deny_token", "--sub", name, WHY).strip() == (
        f"sub {name} is refused everywhere, until it is lifted"
    )
    assert name in said("deny_token", "--list")
    assert "let in again" in said("deny_token", "--sub", name, "--lift", WHY)


@pytest.mark.parametrize(
    "words",
    [
        ["--jti", "a b", WHY],
        ["--jti", "", WHY],
        ["--sub", "x" * 129, WHY],
        ["--sub", "somebody"],
        ["--sub", "somebody", "--reason", " "],
        ["--sub", "somebody", "--reason", "two\nlines"],
        ["--sub", "somebody", "--lift", WHY],
        ["--sub", "somebody", "--until", "2001-01-01T00:00:00Z", WHY],
        ["--sub", "somebody", "--until", "2999-01-01T00:00:00", WHY],
        ["--sub", "somebody", "--until", "tomorrow", WHY],
        ["--sub", "somebody", "--jti", "both", WHY],
        [],
    ],
)
def test_what_makes_no_denial_is_refused_and_changes_nothing(words: list[str]) -> None:
    since = last_system_seq()

    with pytest.raises(CommandError):
        said("deny_token", *words)

    assert system_entries(since) == []
    assert not DeniedToken.objects.filter(value="somebody").exists()


def test_a_subject_is_set_shown_and_set_back(name: str) -> None:
    since = last_system_seq()
    change = ("--allow-ip", "10.0.0.0/8", "--allow-ip", "2001:DB8::1", "--note", "night bot")
    limits = ("--limit", "orders_per_day=100", "--limit", "requests_per_minute=0")

    done = told("subjects", "set", name, *change, *limits, WHY)
    assert done == {
        "sub": name,
        "allowed_ips": ["10.0.0.0/8", "2001:db8::1/128"],
        "rate_limits": {"orders_per_day": 100, "requests_per_minute": 0},
        "note": "night bot",
        "last_seen_at": None,
    }
    assert told("subjects", "show", name) == done
    assert done in told("subjects", "list")["subjects"]
    assert name in said("subjects", "list")
    back = told("subjects", "set", name, "--from-anywhere", "--no-limits", WHY)
    assert (back["allowed_ips"], back["rate_limits"], back["note"]) == ([], None, "night bot")
    first, second = system_entries(since)
    assert (first["kind"], first["after"], second["before"]) == ("subject.changed", done, done)


@pytest.mark.parametrize(
    "words",
    [
        ["--allow-ip", "10.0.0.1/8"],
        ["--allow-ip", "home"],
        [word for n in range(65) for word in ("--allow-ip", f"10.0.0.{n}")],
        ["--limit", "orders"],
        ["--limit", "Orders=1"],
        ["--limit", "orders=-1"],
        ["--limit", "orders=1e3"],
        ["--note", "x" * 201],
        ["--note", "two\nlines"],
        [],
    ],
    ids=lambda words: " ".join(words)[:30],
)
def test_an_odd_subject_is_refused_and_changes_nothing(words: list[str], name: str) -> None:
    with pytest.raises(CommandError):
        said("subjects", "set", name, *words, WHY)

    assert not Subject.objects.filter(sub=name).exists()
    with pytest.raises(CommandError, match="nothing is known"):
        said("subjects", "show", name)


def test_an_account_s_networks_are_set_and_taken_away() -> None:
    account = open_account()
    since = last_system_seq()

    done = told("account_networks", account, "10.0.0.0/8", WHY)
    assert done == {"account_id": account, "allowed_ips": ["10.0.0.0/8"]}
    assert AccountNetworks.objects.get(pk=account).allowed_ips == ["10.0.0.0/8"]
    assert "from anywhere" in said("account_networks", account, WHY)
    assert not AccountNetworks.objects.filter(pk=account).exists()
    kinds = [entry["kind"] for entry in system_entries(since)]
    assert kinds == ["account.networks_changed"] * 2
    for words in (["nobody", "10.0.0.0/8"], [account, "ten"]):
        with pytest.raises(CommandError):
            said("account_networks", *words, WHY)
