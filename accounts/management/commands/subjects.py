"""What this gateway knows of the tokens' subjects: networks, limits, a note, the last visit."""

import json
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Mapping
from typing import Any

from django.core.management.base import BaseCommand
from rich.table import Table

from accounts import denials
from accounts.commandline import operator, told_plainly
from accounts.custody import Refused
from accounts.models import Subject
from accounts.roster import showing


class Command(BaseCommand):
    """`subjects list | show SUB | set SUB --reason TEXT [--allow-ip NET …] [--limit NAME=N …]`."""

    help = "Show and change what is known of tokens' subjects."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        actions = parser.add_subparsers(dest="action", required=True)
        actions.add_parser("list", help="every subject that came, or of which something is set")
        show = actions.add_parser("show", help="one of them")
        show.add_argument("sub")
        change = actions.add_parser("set", help="change one; what is not given stays")
        self._add_changes(change)
        for action in actions.choices.values():
            action.add_argument("--json", action="store_true", help="answer with one JSON object")

    @staticmethod
    def _add_changes(change: ArgumentParser) -> None:
        change.add_argument("sub")
        networks = change.add_mutually_exclusive_group()
        networks.add_argument(
            "--allow-ip", action="append", metavar="NETWORK", help="from here alone; repeat it"
        )
        networks.add_argument("--from-anywhere", action="store_true", help="no networks")
        limits = change.add_mutually_exclusive_group()
        limits.add_argument(
            "--limit", action="append", type=limit, metavar="NAME=N", help="all of its limits"
        )
        limits.add_argument("--no-limits", action="store_true", help="only its tokens' own limits")
        change.add_argument("--note", help="one line; empty for none")
        change.add_argument("--reason", required=True, help="why: it is in the system journal")
        change.add_argument("--actor", help="who; unset: the login at this command line")

    def handle(self, *args: Any, **options: Any) -> None:
        """Act, and show what is."""
        with told_plainly():
            if options["action"] == "list":
                found = [denials.subject_json(row) for row in Subject.objects.all()]
                self._show(found, as_json=options["json"], name="subjects")
                return
            one = self._one(options)
        self._show([one], as_json=options["json"])

    def _one(self, options: Mapping[str, Any]) -> dict[str, Any]:
        if options["action"] == "set":
            actor = operator("subjects", options["actor"])
            return denials.set_subject(
                options["sub"], _changes(options), actor=actor, reason=options["reason"]
            )
        row = Subject.objects.filter(pk=options["sub"]).first()
        if row is None:
            raise Refused(f"nothing is known of a subject {options['sub']!r}")
        return denials.subject_json(row)

    def _show(self, rows: list[dict[str, Any]], *, as_json: bool, name: str = "") -> None:
        if as_json:
            self.stdout.write(json.dumps({name: rows} if name else rows[0]))
            return
        table = Table("subject", "networks", "limits", "note", "last seen")
        for row in rows:
            limits = " ".join(f"{name}={n}" for name, n in (row["rate_limits"] or {}).items())
            table.add_row(
                row["sub"],
                " ".join(row["allowed_ips"]) or "any",
                limits or "none",
                row["note"],
                row["last_seen_at"] or "never",
            )
        self.stdout.write(showing.drawn(table, color=self.stdout.isatty()), ending="")


def _changes(options: Mapping[str, Any]) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if options["allow_ip"] or options["from_anywhere"]:
        changes["allowed_ips"] = options["allow_ip"] or []
    if options["limit"] or options["no_limits"]:
        changes["rate_limits"] = dict(options["limit"]) if options["limit"] else None
    if options["note"] is not None:
        changes["note"] = options["note"]
    if not changes:
        raise Refused(
            "say what to change: --allow-ip, --from-anywhere, --limit, --no-limits, --note"
        )
    return changes


def limit(text: str) -> tuple[str, str]:
    """Read "orders_per_day=100". Raises ArgumentTypeError."""
    name, found, count = text.partition("=")
    if not found:
        raise ArgumentTypeError(f"{text!r} is no limit such as orders_per_day=100")
    return name, count
