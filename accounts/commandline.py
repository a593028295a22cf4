"""What the commands about accounts and their keys share."""

import getpass
import json
import os
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from accounts.custody import Refused
from accounts.journal import Actor
from accounts.vault import BadKeyRing


def operator(command: str, name: str | None = None) -> Actor:
    """Name the person at the command line: as told, by login, or by number without a name."""
    return Actor("staff", f"{command}:{name or _login()}")


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"


@contextmanager
def told_plainly() -> Iterator[None]:
    """Let a refusal, or a database that fails, end a command with a sentence and exit code 1."""
    try:
        yield
    except (Refused, BadKeyRing) as refusal:
        raise CommandError(str(refusal)) from refusal
    except DatabaseError as error:
        raise CommandError(f"the database failed; look before you try again: {error}") from error


class CustodyCommand(BaseCommand):
    """`NAME ACCOUNT --reason TEXT [--json]`; exit code 1 where nothing was changed."""

    # What the entry says where nobody gave a reason; None: one must be given.
    reason: ClassVar[str | None] = None

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("account", help="its account_id")
        parser.add_argument(
            "--reason",
            required=self.reason is None,
            default=self.reason,
            help="why: it is in the journal, where the account's trader reads it",
        )
        parser.add_argument("--json", action="store_true", help="answer with one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        """Act, and say what was done."""
        with told_plainly():
            about, said = self.act(options)
        self.stdout.write(json.dumps(about) if options["json"] else said)

    def act(self, options: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
        """Do it: the answer as an object, and as a sentence. Raises Refused."""
        raise NotImplementedError
