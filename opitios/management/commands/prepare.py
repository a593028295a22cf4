"""What a run needs before its processes start: tables, accounts, a staff login, tokens.

In one process, for the imports of each would take longer than what it does.
"""

import json
import sys
from argparse import ArgumentParser
from io import StringIO
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand

from opitios.management.stack import STAFF_USER, TOKENS


class Command(BaseCommand):
    """`prepare [FILE]`: makes what is not there yet, and prints the tokens of a run as JSON."""

    help = "Migrate, import the account file, make the staff login; print fresh tokens."
    # They look at tables, which come first.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("file", nargs="?", help="the account file; left out: tokens alone")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it. Raises what the commands it calls raise; their words go to stderr."""
        if options["file"]:
            self._make_books(options["file"])
        self.stdout.write(json.dumps({name: _minted(words) for name, words in TOKENS.items()}))

    def _make_books(self, file: str) -> None:
        call_command("migrate", interactive=False, skip_checks=False, stdout=sys.stderr)
        self.check()
        call_command("import_accounts", file, stdout=sys.stderr)
        call_command("ensure_staff", STAFF_USER, stdout=sys.stderr)


def _minted(words: tuple[str, ...]) -> str:
    token = StringIO()
    call_command("mint_token", *words, "--ttl", "24h", stdout=token)
    return token.getvalue().strip()
