"""Import the account file: all of it, or nothing. Follow it, or bring an earlier version back."""

import json
import os
import signal
import threading
from argparse import ArgumentParser
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError
from rich.console import Console
from rich.progress import Progress

from accounts import custody
from accounts.commandline import operator
from accounts.models import RosterVersion
from accounts.roster import showing, versions
from accounts.roster.document import BadRoster
from accounts.roster.files import accounts_in
from accounts.roster.importing import Import, Imported, Source
from accounts.roster.sealing import plain_values, seal_file
from accounts.roster.watching import Watch
from accounts.vault import BadKeyRing
from opitios.core import database
from opitios.core.config import get_config

# How many versions are listed: who needs an older one knows its number.
LISTED = 20

# A person's mistake, not a failure of the file (exit codes: 1 refused, 2 misused).
MISUSED = 2


class Command(BaseCommand):
    """`import_accounts FILE`, `--watch`, `--rollback N`; exit code 1 where it was refused."""

    help = "Import accounts from a YAML file: everything in it, or nothing. See docs/roster.md."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        about = "the account file; left out: the one of OPITIOS_ACCOUNTS_FILE"
        parser.add_argument("file", nargs="?", type=Path, help=about)
        parser.add_argument("--dry-run", action="store_true", help="show what would change")
        parser.add_argument("--json", action="store_true", help="answer in JSON, a line an import")
        parser.add_argument("--reason", help="why, for the journal")
        parser.add_argument("--seal", action="store_true", help="seal plain keys in the file first")
        way = parser.add_mutually_exclusive_group()
        way.add_argument("--watch", action="store_true", help="import at each change, until Ctrl-C")
        way.add_argument("--rollback", type=int, metavar="N", help="bring version N back")
        way.add_argument("--versions", action="store_true", help="list the latest versions")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do what was asked. Raises CommandError, and SystemExit with the code."""
        self._json: bool = options["json"]
        self._dry_run: bool = options["dry_run"]
        if options["versions"]:
            self._list_versions()
            return
        who, why = operator("import_accounts"), reason_of(options["reason"])
        asked = Import(who, source="", reason=why, dry_run=self._dry_run)
        if options["rollback"] is not None:
            self._roll_back(options["rollback"], asked)
            return
        path = _path_of(options["file"])
        asked = replace(asked, source=str(path)[-255:])
        self._seal(path, wanted=options["seal"])
        if options["watch"]:
            self._follow(path, replace(asked, reason=asked.reason or "the file changed"))
        else:
            self._once(path, asked)

    # What is done

    def _once(self, path: Path, asked: Import) -> None:
        try:
            done = self._run(partial(self._read, path), asked)
        except BadRoster as refusal:
            self._refuse(refusal, path)
            raise SystemExit(1) from refusal
        except Trouble as trouble:
            raise CommandError(str(trouble)) from trouble
        self._show(done, str(path))

    def _follow(self, path: Path, asked: Import) -> None:
        """Import at the start and at each change; what goes wrong is told and changes nothing."""
        closing = threading.Event()
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, lambda *_: closing.set())
        watch, told = Watch(path), ""
        # Two looks make sure of a change: together they take half of what processes need.
        while not closing.wait(get_config().timers.roster_poll / 4):
            trouble = self._look(watch, asked)
            if trouble and trouble != told:
                self.stderr.write(trouble)
            told = trouble
            database.release()

    def _look(self, watch: Watch, asked: Import) -> str:
        """Import if there is something new; returns what is in the way, to be tried again."""
        if not watch.look():
            return ""
        try:
            done = self._run(partial(self._read, watch.path), asked)
            self._show(done, str(watch.path))
        except BadRoster as refusal:
            self._refuse(refusal, watch.path)
        except Trouble as trouble:
            watch.again()
            return str(trouble)
        return ""

    def _roll_back(self, version: int, asked: Import) -> None:
        def read() -> list[Any]:
            return versions.accounts_at(version, allow_live=get_config().allow_live)

        asked = replace(
            asked,
            source=f"version {version}",
            kind="roster.rolled_back",
            about={"rolled_back_to": version},
        )
        try:
            self._show(self._run(read, asked), asked.source)
        except (Trouble, versions.CannotRollBack) as error:
            raise CommandError(str(error)) from error
        if not self._json and not self._dry_run:
            self.stdout.write("The account file is as it was: correct it before its next import.")

    def _run(self, read: Source, asked: Import) -> Imported:
        """Run an import with its bar. Raises BadRoster, and Trouble for what may pass."""
        try:
            with Progress(console=Console(stderr=True), disable=not self.stderr.isatty()) as bar:
                task = bar.add_task("sealing keys", total=None)
                return asked.run(read, lambda sealed: bar.advance(task, sealed))
        except OSError as error:
            raise Trouble(f"{error.filename}: {error.strerror}") from error
        except (BadKeyRing, versions.ImportRunning) as error:
            raise Trouble(str(error)) from error
        except DatabaseError as error:
            raise Trouble(f"nothing was changed, the database refused: {error}") from error

    @staticmethod
    def _read(path: Path) -> list[Any]:
        return accounts_in(path, config=get_config(), environ=os.environ)

    def _seal(self, path: Path, *, wanted: bool) -> None:
        """Seal the file's plain keys where it is wanted, and offer it to a person."""
        try:
            if wanted or self._is_offer_taken(path):
                values = 0 if self._dry_run else seal_file(path, environ=os.environ)
                self._say(f"{values} values sealed in {path}")
        except BadRoster as refusal:
            self._refuse(refusal, path)
            raise SystemExit(1) from refusal
        except (OSError, BadKeyRing) as error:
            raise CommandError(f"{path}: {error}") from error

    def _is_offer_taken(self, path: Path) -> bool:
        if self._json or self._dry_run or not (os.isatty(0) and self.stdout.isatty()):
            return False
        return offers(path, input)

    # What is shown

    def _say(self, line: str) -> None:
        if not self._json:
            self.stdout.write(line)

    def _list_versions(self) -> None:
        latest = list(RosterVersion.objects.all()[:LISTED])
        if self._json:
            self.stdout.write(json.dumps([{"version": r.version, **r.summary} for r in latest]))
        else:
            table = showing.table_of_versions(latest)
            self.stdout.write(showing.drawn(table, color=self.stdout.isatty()), ending="")

    def _refuse(self, refusal: BadRoster, path: Path) -> None:
        if self._json:
            errors = [complaint.as_json() for complaint in refusal.complaints]
            self.stdout.write(json.dumps({"errors": errors}))
            return
        for complaint in refusal.complaints:
            self.stderr.write(complaint.sentence(str(path)))

    def _show(self, done: Imported, source: str) -> None:
        if self._json:
            warnings = [complaint.as_json() for complaint in done.diff.warnings()]
            about = {"version": done.version, "dry_run": self._dry_run, "warnings": warnings}
            self.stdout.write(json.dumps(about | done.diff.summary()))
            return
        table = showing.table_of(done.diff)
        self.stdout.write(showing.drawn(table, color=self.stdout.isatty()), ending="")
        self.stdout.write(showing.verdict_of(done, dry_run=self._dry_run))
        for complaint in done.diff.warnings():
            self.stderr.write(f"warning: {complaint.sentence(source)}")


class Trouble(Exception):
    """It could not be done now; nothing was changed, and the same may work later."""


def offers(path: Path, ask: Callable[[str], str]) -> bool:
    """Offer to seal a file's plain keys, if it has some. Raises BadRoster, OSError."""
    count = plain_values(path)
    return count > 0 and ask(f"{count} keys stand in clear. Seal them? [y/N] ").lower() == "y"


def reason_of(given: str | None) -> str | None:
    """Check the reason that was given. Raises CommandError."""
    try:
        return None if given is None else custody.reason_of(given)
    except custody.Refused as error:
        raise CommandError(f"--reason: {error}", returncode=MISUSED) from error


def _path_of(given: Path | None) -> Path:
    path = given or get_config().accounts_file
    if path is None:
        message = "name the account file, or set OPITIOS_ACCOUNTS_FILE"
        raise CommandError(message, returncode=MISUSED)
    return path
