"""Suspend and resume: the mark, the entry with actor and reason, and every refusal."""

import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError

from accounts import custody, journal, poolview
from accounts.custody import Refused
from accounts.journal import Actor
from accounts.models import Account, Credential
from accounts.standings import BEGINNING, changed_since
from opitios.core import clock
from tests.support.accounts import open_account
from tests.support.orders import entries, kinds

pytestmark = pytest.mark.django_db

ME = Actor("staff", "jane")


def run(*words: str) -> str:
    """A command's output."""
    out = StringIO()
    call_command(*words, stdout=out, stderr=StringIO())
    return out.getvalue()


def last_entry(account_id: str) -> dict[str, Any]:
    """The newest entry of an account's journal."""
    return entries(account_id)[-1]


def test_an_account_is_suspended_with_actor_and_reason_in_its_own_journal() -> None:
    account_id = open_account()

    since = custody.suspend(account_id, actor=ME, reason="  strange orders\n")

    account = Account.objects.get(pk=account_id)
    assert (account.suspended_at, account.suspended_reason) == (since, "strange orders")
    entry = last_entry(account_id)
    assert (entry["kind"], entry["reason"]) == ("account.suspended", "strange orders")
    assert entry["actor"] == {"kind": "staff", "name": "jane", "on_behalf_of": None}
    assert entry["before"] == {"suspended_at": None, "suspended_reason": None}
    assert entry["after"]["suspended_reason"] == "strange orders"
    assert journal.verify(account_id).ok


def test_what_accepts_orders_hears_of_it_with_what_the_desks_tell() -> None:
    account_id, other = open_account(), open_account()
    before = changed_since(BEGINNING)[account_id].told_at

    custody.suspend(account_id, actor=ME, reason="strange orders")

    told = changed_since(before)
    assert told[account_id].is_suspended
    assert not changed_since(BEGINNING)[other].is_suspended
    custody.resume(account_id, actor=ME, reason="explained")
    assert not changed_since(told[account_id].told_at)[account_id].is_suspended


def test_a_resumed_account_keeps_both_entries() -> None:
    account_id = open_account()
    since = custody.suspend(account_id, actor=ME, reason="strange orders")

    assert custody.resume(account_id, actor=Actor("staff", "joe"), reason="explained") == since

    account = Account.objects.get(pk=account_id)
    assert (account.suspended_at, account.suspended_reason) == (None, None)
    entry = last_entry(account_id)
    assert (entry["kind"], entry["reason"]) == ("account.resumed", "explained")
    assert entry["actor"]["name"] == "joe"
    assert entry["before"]["suspended_reason"] == "strange orders"
    assert entry["after"] == {"suspended_at": None, "suspended_reason": None}


def test_what_is_so_already_is_refused_and_leaves_no_entry() -> None:
    account_id = open_account()
    with pytest.raises(Refused, match="is not suspended"):
        custody.resume(account_id, actor=ME, reason="why not")
    custody.suspend(account_id, actor=ME, reason="first")

    with pytest.raises(Refused, match="suspended already: first"):
        custody.suspend(account_id, actor=ME, reason="second")

    assert kinds(account_id) == ["account.suspended"]
    assert Account.objects.get(pk=account_id).suspended_reason == "first"


@pytest.mark.parametrize("reason", ["", "  \n", "x" * 201, "two\nlines", "bell\x07", "\u202eback"])
def test_a_reason_that_says_nothing_or_hides_something_is_refused(reason: str) -> None:
    account_id = open_account()

    with pytest.raises(Refused, match="say why"):
        custody.suspend(account_id, actor=ME, reason=reason)

    assert Account.objects.get(pk=account_id).suspended_at is None
    assert kinds(account_id) == []


def test_an_account_that_does_not_exist_is_named() -> None:
    for act in (custody.suspend, custody.resume):
        with pytest.raises(Refused, match="there is no account 'nobody'"):
            act("nobody", actor=ME, reason="why not")


def test_a_mark_without_a_reason_cannot_be_stored() -> None:
    account = Account.objects.get(pk=open_account())

    with pytest.raises(DatabaseError, match="a_suspended_account_says_why"):
        Account.objects.filter(pk=account.pk).update(suspended_reason="nobody knows since when")


@pytest.mark.parametrize("field", ["account_type", "priority", "data_plan"])
def test_a_word_nobody_knows_cannot_be_stored(field: str) -> None:
    account_id = open_account()

    with pytest.raises(DatabaseError, match="known_words"):
        Account.objects.filter(pk=account_id).update(**{field: "platinum"})


def test_the_pool_shows_type_priority_plan_suspension_and_the_key_s_age() -> None:
    account_id = open_account()
    Account.objects.filter(pk=account_id).update(priority="high", data_plan="plus")
    now = clock.now()
    Credential.objects.filter(account_id=account_id).update(created_at=now - timedelta(days=41))

    [before] = poolview.merged(frozenset({account_id}), now)["accounts"]
    since = custody.suspend(account_id, actor=ME, reason="strange orders")
    [shown] = poolview.merged(frozenset({account_id}), now)["accounts"]

    assert before["suspended"] is None
    assert shown["suspended"] == {"since": clock.rfc3339(since), "reason": "strange orders"}
    words = (shown["account_type"], shown["priority"], shown["data_plan"])
    assert words == ("trading", "high", "plus")
    assert (shown["key"]["age_days"], shown["key"]["version"]) == (41, 1)


def test_the_commands_say_what_they_did() -> None:
    account_id = open_account()

    told = json.loads(run("suspend", account_id, "--reason", "strange orders", "--json"))
    said = run("resume", account_id, "--reason", "explained")

    assert told["account_id"] == account_id
    assert f"{account_id} is resumed; it was suspended since {told['suspended_at']}" in said
    actors = [entry["actor"]["name"] for entry in entries(account_id)]
    assert [name.partition(":")[0] for name in actors] == ["suspend", "resume"]
    assert all(name.partition(":")[2] for name in actors)


@pytest.mark.parametrize("command", ["suspend", "resume"])
def test_a_command_without_a_reason_does_nothing(command: str) -> None:
    account_id = open_account()

    with pytest.raises(CommandError, match="--reason"):
        run(command, account_id)
    with pytest.raises(CommandError, match="there is no account"):
        run(command, "nobody", "--reason", "why not")

    assert kinds(account_id) == []
