"""What somebody at a terminal sees of a campaign: bars that move, and a line for what matters."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

# Deaths are the campaign's daily bread: shown beside the bar, not one line each.
PASSING = ("ended", "was started again")


class Screen:
    """A bar for each thing that is counted; lines go above them."""

    def __init__(self, console: Console, **totals: int) -> None:
        """`totals`: what is counted, and up to how many."""
        columns = (
            TextColumn("{task.description:8}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[now]}"),
        )
        self._progress = Progress(*columns, console=console)
        self._tasks = {
            name: self._progress.add_task(name, total=total, now="")
            for name, total in totals.items()
        }

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def tell(self, name: str, what: str) -> None:
        """Show what is going on."""
        for task in self._tasks.values():
            self._progress.update(task, now=f"{name} {what}"[:60])
        if not what.startswith(PASSING):
            self._progress.console.print(f"[dim]{name}[/] {what}", highlight=False)

    def advance(self, *counts: int) -> None:
        """Show how far it is: a count for each bar, in their order."""
        for task, count in zip(self._tasks.values(), counts, strict=True):
            self._progress.update(task, completed=count)
