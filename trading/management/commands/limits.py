"""Set the risk limits of an account, or of all; show them."""

import json
from argparse import ArgumentParser
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.management.base import BaseCommand

from accounts import custody
from accounts.commandline import operator, told_plainly
from accounts.models import DEFAULT_LIMITS, Limits
from trading import limits

OFF = "off"


class Command(BaseCommand):
    """`limits set|show`; exit code 1 where nothing was changed."""

    help = "What an account may order at most. Every limit is off until it is set."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the two verbs."""
        verbs = parser.add_subparsers(dest="verb", required=True)
        put = verbs.add_parser("set", help="set or take away some limits; the others stay")
        put.add_argument("account", help=f"its account_id, or {DEFAULT_LIMITS} for every account")
        for name in limits.COLUMNS:
            flag = f"--{name.replace('_', '-')}"
            put.add_argument(flag, dest=name, metavar=_METAVARS.get(name, "N"), help=_HELP[name])
        put.add_argument("--reason", required=True, help="why")
        show = verbs.add_parser("show", help="what is set; with an account, what holds for it")
        show.add_argument("account", nargs="?", help="its account_id")
        for verb in verbs.choices.values():
            verb.add_argument("--json", action="store_true", help="answer with one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        """Act, and say what holds now."""
        acts = {"set": _set, "show": _show}
        with told_plainly():
            told = acts[options["verb"]](options)
        if options["json"]:
            self.stdout.write(json.dumps(told))
            return
        for account_id, held in told.items():
            self.stdout.write(f"{account_id}: {limits.line(held)}")


_METAVARS = {"symbols_allowed": "A,B", "symbols_denied": "A,B"}
_HELP = {
    "max_quantity": "shares of one order at most; `off` takes a limit away",
    "max_notional": "USD of one order at most",
    "orders_per_minute": "orders accepted within a minute at most",
    "orders_per_day": "orders accepted on a New York day at most",
    "symbols_allowed": "only these symbols",
    "symbols_denied": "not these symbols",
    "duplicate_seconds": "not the same order again within so many seconds",
}

Told = dict[str, dict[str, Any]]


def _set(options: Mapping[str, Any]) -> Told:
    given = {name: options[name] for name in limits.COLUMNS if options[name] is not None}
    if not given:
        raise custody.Refused("name at least one limit")
    changed = {name: None if text == OFF else _read(name, text) for name, text in given.items()}
    account_id = options["account"]
    _, after = limits.change(
        account_id, changed, actor=operator("limits"), reason=options["reason"]
    )
    return {account_id: after}


def _read(name: str, text: str) -> Any:
    try:
        if name.startswith("symbols_"):
            return [symbol for symbol in text.upper().split(",") if symbol]
        return Decimal(text) if name.startswith("max_") else int(text)
    except (ValueError, InvalidOperation) as error:
        raise custody.Refused(f"{name} cannot be {text!r}") from error


def _show(options: Mapping[str, Any]) -> Told:
    account_id = options["account"]
    if account_id is None:
        return {row.account_id: limits.as_json(row) for row in Limits.objects.all()}
    custody.account_of(account_id)
    return {account_id: limits.as_json(limits.effective(account_id))}
