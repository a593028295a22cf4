"""`manage.py halt` and `manage.py limits`: what they do, say, and refuse."""

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from accounts.models import Halt
from tests.support.orders import entries, kinds, place
from trading import limits

pytestmark = pytest.mark.django_db


def run(*words: str) -> str:
    """Run a command; what it printed."""
    out = StringIO()
    call_command(*words, stdout=out)
    return out.getvalue().strip()


def halt(*words: str) -> dict[str, Any]:
    """Run `halt` with --json; the halt it told of."""
    told: dict[str, Any] = json.loads(run("halt", *words, "--json"))
    return told


def test_a_halt_is_set_listed_and_lifted(account: str) -> None:
    told = halt("set", "--account", account, "--symbol", "AAPL", "--reduce-only",
                "--cancel-orders", "--reason", "odd")  # fmt: skip

    assert (told["scope"], told["mode"], told["cancel_orders"]) == ("symbol", "reduce_only", True)
    assert (told["account_id"], told["reason"], told["in_flight"]) == (account, "odd", [])
    assert f"reduce_only of AAPL in {account} by halt:" in run("halt", "list")
    assert "lifted by halt:" in run("halt", "lift", told["id"], "--reason", "explained")
    assert told["id"] not in run("halt", "list")
    assert kinds(account) == ["account.halted", "account.halt_lifted"]
    assert entries(account)[0]["actor"]["kind"] == "staff"


def test_everything_is_halted_where_that_is_said(account: str) -> None:
    told = halt("set", "--everything", "--reason", "odd")
    try:
        assert place(account).denied is not None
    finally:
        halt("lift", told["id"], "--reason", "explained")
    assert place(account).denied is None


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("set", "--reason", "odd"), "--everything"),
        (("set", "--everything", "--account", "{account}", "--reason", "odd"), "--everything"),
        (("set", "--account", "{account}", "--symbol", "aapl", "--reason", "odd"), "no symbol"),
        (("set", "--account", "nobody", "--reason", "odd"), "no account"),
        (("set", "--account", "{account}", "--reason", " "), "say why"),
        (("lift", "x", "--reason", "odd"), "no id"),
        (("lift", "019aa0c2-6f1e-7c3a-9b1e-2f5d8c1a7e40", "--reason", "odd"), "no halt"),
    ],
)
def test_what_cannot_be_done_ends_with_a_sentence(
    account: str, words: tuple[str, ...], why: str
) -> None:
    with pytest.raises(CommandError, match=why):
        run("halt", *(word.format(account=account) for word in words))

    assert kinds(account) == []
    assert not Halt.objects.filter(account_id=account).exists()


def test_limits_are_set_one_by_one_and_taken_away(account: str) -> None:
    first = run("limits", "set", account, "--max-notional", "50000", "--symbols-denied",
                "gme,AMC", "--orders-per-day", "7", "--reason", "agreed")  # fmt: skip
    told = json.loads(
        run("limits", "set", account, "--max-notional", "off", "--reason", "agreed", "--json")
    )

    assert "max_notional 50000" in first
    assert told[account]["max_notional"] is None
    assert told[account]["symbols_denied"] == ["AMC", "GME"]
    assert limits.effective(account).orders_per_day == 7
    assert "orders_per_day 7" in run("limits", "show", account)
    assert f"{account}: " in run("limits", "show")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("set", "{account}", "--reason", "agreed"), "at least one"),
        (("set", "{account}", "--max-quantity", "ten", "--reason", "agreed"), "cannot be"),
        (("set", "{account}", "--max-quantity", "NaN", "--reason", "agreed"), "decimal"),
        (("set", "{account}", "--orders-per-day", "-1", "--reason", "agreed"), "whole number"),
        (("set", "nobody", "--orders-per-day", "1", "--reason", "agreed"), "no account"),
        (("show", "nobody"), "no account"),
    ],
)
def test_limits_that_cannot_be_set_end_with_a_sentence(
    account: str, words: tuple[str, ...], why: str
) -> None:
    with pytest.raises(CommandError, match=why):
        run("limits", *(word.format(account=account) for word in words))

    assert limits.effective(account).orders_per_day is None
