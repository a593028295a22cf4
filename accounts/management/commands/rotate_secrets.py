"""Seal every stored key pair anew: fresh data keys, under the newest master key."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from accounts import rotation
from accounts.commandline import operator, told_plainly
from accounts.rotation import Outlook, Rotated


class Command(BaseCommand):
    """`rotate_secrets [--reason TEXT] [--dry-run] [--json]`; exit code 1 where something is left.

    Begun again after it was killed, it goes on where it was.
    """

    help = "Seal every stored key pair anew: fresh data keys, under the newest master key."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument(
            "--reason", default="routine rotation", help="why: it is in the system journal"
        )
        parser.add_argument("--dry-run", action="store_true", help="look, and change nothing")
        parser.add_argument("--json", action="store_true", help="answer with one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        """Look or rotate, and say what was found or done."""
        with told_plainly():
            if options["dry_run"]:
                self._show_outlook(rotation.outlook(), as_json=options["json"])
                return
            done = self._rotate(options["reason"])
        self._show(done, as_json=options["json"])
        if done.broken:
            raise SystemExit(1)

    def _rotate(self, reason: str) -> Rotated:
        columns = ("sealing anew", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        quiet = not self.stderr.isatty()
        with Progress(*columns, console=Console(stderr=True), disable=quiet) as bar:
            task = bar.add_task("sealing anew", total=None)
            return rotation.rotate(
                actor=operator("rotate_secrets"),
                reason=reason,
                progress=lambda done, of: bar.update(task, completed=done, total=of),
            )

    def _show_outlook(self, found: Outlook, *, as_json: bool) -> None:
        if as_json:
            about = {
                "master_key_id": found.master_key_id,
                "key_pairs": found.by_master_key,
                "strangers": list(found.strangers),
                "cut_off": found.is_open,
            }
            self.stdout.write(json.dumps(about))
            return
        for name, count in sorted(found.by_master_key.items()):
            self.stdout.write(f"{count} key pairs are under master key {name}")
        self.stdout.write(f"all of them would be sealed anew under {found.master_key_id}")
        for name in found.strangers:
            self.stdout.write(f"{name} does not have that key: give it to every process first")
        if found.is_open:
            self.stdout.write("an earlier rotation was cut off: the next one goes on with it")

    def _show(self, done: Rotated, *, as_json: bool) -> None:
        if as_json:
            about = {
                "rotation": done.rotation,
                "master_key_id": done.master_key_id,
                "resumed": done.resumed,
                "sealed": done.sealed,
                "broken": sorted(done.broken.values()),
                "lost": sorted(done.lost.values()),
                "unused_master_keys": list(done.unused),
            }
            self.stdout.write(json.dumps(about))
            return
        began = ", going on with one that was cut off" if done.resumed else ""
        self.stdout.write(
            f"{done.sealed} key pairs are sealed anew under master key {done.master_key_id}{began}"
        )
        for name in done.unused:
            self.stdout.write(f"nothing stored is under master key {name} any more")
        for why in sorted(done.lost.values()):
            self.stdout.write(f"left alone, an older version: {why}")
        for why in sorted(done.broken.values()):
            self.stderr.write(f"left alone, and in use: {why}")
