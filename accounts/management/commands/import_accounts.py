"""Import the account file: all of it, or nothing."""

import getpass
import json
import os
from argparse import ArgumentParser
from io import StringIO
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from accounts.journal import Actor
from accounts.roster.changes import Diff
from accounts.roster.document import BadRoster
from accounts.roster.files import accounts_in
from accounts.roster.importing import Import, Imported, ImportRunning
from accounts.roster.reading import RosterAccount
from accounts.vault import BadKeyRing
from opitios.core.config import get_config

# The table names this many accounts of a group; a thousand lines say less than a number.
SHOWN = 30


class Command(BaseCommand):
    """`import_accounts FILE [--dry-run] [--json]`; exit code 1 where the file was refused."""

    help = "Import accounts from a YAML file: everything in it, or nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("file", type=Path)
        parser.add_argument("--dry-run", action="store_true", help="show what would change")
        parser.add_argument("--json", action="store_true", help="answer with one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        """Read, compare, apply, show."""
        path: Path = options["file"]
        try:
            accounts = accounts_in(path, config=get_config(), environ=os.environ)
            done = self._run(accounts, path, dry_run=options["dry_run"])
        except BadRoster as refusal:
            self._refuse(refusal, path, as_json=options["json"])
        except OSError as error:
            raise CommandError(f"{path}: {error.strerror}") from error
        except (BadKeyRing, ImportRunning) as error:
            raise CommandError(str(error)) from error
        except DatabaseError as error:
            raise CommandError(f"nothing was changed, the database refused: {error}") from error
        else:
            self._show(done, as_json=options["json"], dry_run=options["dry_run"])

    def _run(self, accounts: list[RosterAccount], path: Path, *, dry_run: bool) -> Imported:
        asked = Import(actor=operator(), source=str(path)[-255:], dry_run=dry_run)
        with Progress(console=Console(stderr=True), disable=not self.stderr.isatty()) as bar:
            task = bar.add_task("sealing keys", total=len(accounts))
            done = asked.run(accounts, lambda sealed: bar.advance(task, sealed))
            bar.update(task, completed=len(accounts))
        return done

    def _refuse(self, refusal: BadRoster, path: Path, *, as_json: bool) -> None:
        if as_json:
            errors = [complaint.as_json() for complaint in refusal.complaints]
            self.stdout.write(json.dumps({"errors": errors}))
        else:
            for complaint in refusal.complaints:
                self.stderr.write(complaint.sentence(str(path)))
        raise SystemExit(1)

    def _show(self, done: Imported, *, as_json: bool, dry_run: bool) -> None:
        if as_json:
            about = {"version": done.version, "dry_run": dry_run}
            self.stdout.write(json.dumps(about | done.diff.summary()))
            return
        self.stdout.write(drawn(table_of(done.diff), color=self.stdout.isatty()), ending="")
        self.stdout.write(verdict_of(done, dry_run=dry_run))


def operator() -> Actor:
    """Name the person at the command line, by login, or by number where it has no name."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = f"uid-{os.getuid()}"
    return Actor("staff", f"import_accounts:{name}")


def table_of(found: Diff) -> Table:
    """Lay a difference out as a table, long groups cut."""
    table = Table("account", "change", "fields")
    added = [(account.account_id, account.environment) for account in found.added]
    changed = [(c.account.account_id, ", ".join(c.fields)) for c in found.changed]
    disabled = [(account_id, "") for account_id in found.disabled]
    for word, group in (("added", added), ("changed", changed), ("disabled", disabled)):
        for account_id, about in group[:SHOWN]:
            table.add_row(account_id, word, about)
        if len(group) > SHOWN:
            table.add_row(f"… {len(group) - SHOWN} more", word, "")
    return table


def verdict_of(done: Imported, *, dry_run: bool) -> str:
    """Say in one line what was done."""
    found = done.diff
    counts = (
        f"{len(found.added)} added, {len(found.changed)} changed, "
        f"{len(found.disabled)} disabled, {len(found.unchanged)} unchanged"
    )
    if dry_run:
        return f"{counts}; nothing was written (--dry-run)"
    return counts if done.version is None else f"{counts}; roster version {done.version}"


def drawn(table: Table, *, color: bool) -> str:
    """Render a table to text; an empty one to nothing."""
    if not table.row_count:
        return ""
    page = StringIO()
    Console(file=page, force_terminal=color, width=100).print(table)
    return page.getvalue()
