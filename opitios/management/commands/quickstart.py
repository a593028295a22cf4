"""Start, stop and delete a demonstration gateway on this machine (design.md §9)."""

import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand
from rich.console import Console

from opitios.core.embedded.homes import HomeError
from opitios.core.embedded.roles import ServerError
from opitios.core.embedded.runfolder import RunFolderError
from opitios.management.asked import Asked, BadSettingError
from opitios.management.operation import FAILED_CODE, Operation

ROOT = Path(__file__).resolve().parents[3]

# Everything a run writes is its user's alone; what a server's user needs is opened by name.
PRIVATE = 0o077


class Command(BaseCommand):
    """`quickstart [run|up|down|clean]`; settings come from the environment."""

    help = "Run Opitios with a sandbox: here (run), in the background (up); stop it (down)."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments; `supervise` is what `up` starts in the background."""
        words = ("run", "up", "down", "clean", "supervise")
        parser.add_argument("action", nargs="?", default="run", choices=words)

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it, and exit with its code."""
        os.umask(PRIVATE)
        console = Console(highlight=False)
        try:
            code = act(options["action"], Operation(ROOT, console))
        except (BadSettingError, RunFolderError, HomeError, ServerError) as error:
            console.print(f"[red]✗[/] {error}", markup=True)
            code = FAILED_CODE
        raise SystemExit(code)


def act(action: str, operation: Operation) -> int:
    """Do what was asked. Raises the errors of settings, folders and servers."""
    if action == "down":
        return operation.down()
    asked = Asked.read(os.environ)
    if action == "clean":
        return operation.clean(asked.database_url if asked.database_owner_url is None else None)
    if action == "up":
        return operation.up(asked)
    return operation.run(asked, foreground=action == "run")
