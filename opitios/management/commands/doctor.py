"""Say what is wrong with this clone's gateway, and what to do."""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.table import Table

from opitios.core.embedded.runfolder import RunFolderError
from opitios.management.diagnosis.examination import examine
from opitios.management.diagnosis.finding import Finding, Level, Patient

ROOT = Path(__file__).resolve().parents[3]

STYLES = {Level.OK: "green", Level.NOTE: "yellow", Level.WRONG: "red"}


class Command(BaseCommand):
    """`doctor [--json]`; exit code 1 where something is wrong."""

    help = "Say what is wrong, and what to do."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--json", action="store_true", help="answer with one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        """Examine, show, and exit with 1 where something is wrong."""
        try:
            findings = list(examine(Patient.of(ROOT)))
        except RunFolderError as error:
            raise CommandError(str(error)) from error
        ok = all(finding.level is not Level.WRONG for finding in findings)
        if options["json"]:
            about = {"ok": ok, "findings": [finding.as_json() for finding in findings]}
            self.stdout.write(json.dumps(about))
        else:
            Console(highlight=False).print(drawn(findings))
        if not ok:
            raise SystemExit(1)


def drawn(findings: list[Finding]) -> Table:
    """The findings as a table."""
    table = Table("check", "", "found", "what to do", show_edge=False)
    for finding in findings:
        level = f"[{STYLES[finding.level]}]{finding.level}[/]"
        table.add_row(finding.check, level, finding.found, finding.remedy)
    return table
