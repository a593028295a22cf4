"""Refuse a token, or every token of a subject, everywhere within seconds; or let it in again."""

import json
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.table import Table

from accounts import denials
from accounts.commandline import operator, told_plainly
from accounts.roster import showing
from opitios.core import clock


class Command(BaseCommand):
    """`deny_token --jti ID | --sub NAME --reason TEXT [--until T] [--lift]`, or `--list`."""

    help = "Refuse a token (--jti) or every token of a subject (--sub), lift that, or list it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--jti", help="the token with this id")
        what.add_argument("--sub", help="every token of this subject, those to come too")
        what.add_argument("--list", action="store_true", help="show what is denied now")
        parser.add_argument("--lift", action="store_true", help="let it in again")
        parser.add_argument(
            "--until",
            type=instant,
            help="RFC 3339; unset: a jti as long as any token lives, a sub until it is lifted",
        )
        parser.add_argument("--reason", help="why: it is in the system journal")
        parser.add_argument("--actor", help="who; unset: the login at this command line")
        parser.add_argument("--json", action="store_true", help="answer with one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        """Act, and say what was done."""
        with told_plainly():
            if options["list"]:
                self._show(as_json=options["json"])
                return
            done, said = self._act(options)
        self.stdout.write(json.dumps(done) if options["json"] else said)

    def _act(self, options: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
        if options["reason"] is None:
            raise CommandError("say why: --reason TEXT")
        kind = "sub" if options["jti"] is None else "jti"
        value = options[kind]
        about = {"actor": operator("deny_token", options["actor"]), "reason": options["reason"]}
        if options["lift"]:
            lifted = denials.lift(kind, value, **about)
            return {**lifted, "denied": False}, f"{kind} {value} is let in again"
        done = denials.deny(kind, value, until=options["until"], **about)
        end = "it is lifted" if done["until"] is None else done["until"]
        return {**done, "denied": True}, f"{kind} {value} is refused everywhere, until {end}"

    def _show(self, *, as_json: bool) -> None:
        rows = [
            {
                "kind": row.kind,
                "value": row.value,
                "until": None if row.until is None else clock.rfc3339(row.until),
                "denied_at": clock.rfc3339(row.denied_at),
                "actor": row.actor,
                "reason": row.reason,
            }
            for row in denials.denied(clock.now())
        ]
        if as_json:
            self.stdout.write(json.dumps({"denied": rows}))
            return
        table = Table("kind", "value", "until", "denied", "by", "why")
        for row in rows:
            table.add_row(*(str(cell or "lifted") for cell in row.values()))
        self.stdout.write(showing.drawn(table, color=self.stdout.isatty()), ending="")


def instant(text: str) -> datetime:
    """Read an RFC 3339 instant. Raises ArgumentTypeError."""
    try:
        read = datetime.fromisoformat(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is no instant such as 2030-01-31T16:00:00Z") from error
    if read.tzinfo is None:
        raise ArgumentTypeError(f"{text!r} has no time zone: end it with Z")
    return read
