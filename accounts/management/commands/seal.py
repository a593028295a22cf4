"""Seal the keys of an account file in place."""

import json
import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.roster.document import BadRoster
from accounts.roster.sealing import seal_file
from accounts.vault import BadKeyRing


class Command(BaseCommand):
    """`seal FILE [--all] [--dry-run] [--json]`; exit code 1 where the file was refused."""

    help = (
        "Seal the plain keys of an account file in place, and those under an older master key."
        " Comments and layout stay."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("file", type=Path)
        parser.add_argument("--all", action="store_true", help="seal what env: and file: name, too")
        parser.add_argument("--dry-run", action="store_true", help="count, and write nothing")
        parser.add_argument("--json", action="store_true", help="answer with one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        """Seal, and say how many. Raises CommandError, and SystemExit with the code."""
        path: Path = options["file"]
        try:
            values = seal_file(
                path, environ=os.environ, everything=options["all"], dry_run=options["dry_run"]
            )
        except BadRoster as refusal:
            for complaint in refusal.complaints:
                self.stderr.write(complaint.sentence(str(path)))
            raise SystemExit(1) from refusal
        except OSError as error:
            raise CommandError(f"{error.filename}: {error.strerror}") from error
        except BadKeyRing as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self.stdout.write(json.dumps({"sealed": values, "dry_run": options["dry_run"]}))
        else:
            what = "would be sealed" if options["dry_run"] else "sealed"
            self.stdout.write(f"{values} values {what} in {path}")
