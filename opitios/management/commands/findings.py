"""What the start-up checks say of these settings, files and this database."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from rich.console import Console
from rich.table import Table

from opitios.core import startup
from opitios.core.config import get_config


class Command(BaseCommand):
    """`findings [--json]`; exit code 1 where a process would refuse to start."""

    help = "Say what would end a start, and what to do (docs/checks.md)."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--json", action="store_true", help="answer with one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        """Check, show, and exit with 1 where a start would be refused."""
        asked = [*startup.settings_findings(), *startup.check_database(None, ["default"])]
        found = startup.judged(asked, get_config())
        ok = not any(each.is_serious() for each in found)
        told = [
            {"id": each.id, "serious": each.is_serious(), "found": each.msg, "remedy": each.hint}
            for each in found
        ]
        if options["json"]:
            self.stdout.write(json.dumps({"ok": ok, "findings": told}))
        else:
            table = Table("check", "", "found", "what to do", show_edge=False)
            for each in told:
                level = "[red]error[/]" if each["serious"] else "[yellow]warning[/]"
                table.add_row(str(each["id"]), level, str(each["found"]), str(each["remedy"]))
            Console(highlight=False).print(table if told else "nothing found")
        if not ok:
            raise SystemExit(1)
