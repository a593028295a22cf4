"""An import told to a person: a table, long groups cut, and one line that says what was done."""

from collections.abc import Iterable
from io import StringIO

from rich.console import Console
from rich.table import Table

from accounts.models import RosterVersion
from accounts.roster.changes import Diff
from accounts.roster.importing import Imported
from opitios.core import clock

# The table names this many accounts of a group; a thousand lines say less than a number.
SHOWN = 30


# An account, what became of it, and the fields that changed (of a new one: its environment).
Line = tuple[str, str, str]


def lines_of(found: Diff) -> list[Line]:
    """List what a difference changes, long groups cut."""
    added = [(account.account_id, "added", account.environment) for account in found.added]
    changed = [(c.account.account_id, "changed", ", ".join(c.fields)) for c in found.changed]
    disabled = [(account_id, "disabled", "") for account_id in found.disabled]
    return [*_cut(added), *_cut(changed), *_cut(disabled)]


def _cut(group: list[Line]) -> list[Line]:
    rest = len(group) - SHOWN
    return group if rest <= 0 else [*group[:SHOWN], (f"… {rest} more", group[0][1], "")]


def table_of(found: Diff) -> Table:
    """Lay a difference out as a table, long groups cut, the unchanged ones only counted."""
    table = Table("account", "change", "fields")
    for line in lines_of(found):
        table.add_row(*line)
    if found.unchanged and table.row_count:
        table.add_row(f"… {len(found.unchanged)} more", "unchanged", "")
    return table


def table_of_versions(versions: Iterable[RosterVersion]) -> Table:
    """Lay versions out as a table: number, time, who, from what, how many changed."""
    table = Table("version", "at", "by", "from", "added", "changed", "disabled")
    for row in versions:
        counts = [str(len(row.summary[word])) for word in ("added", "changed", "disabled")]
        at = clock.rfc3339(row.imported_at)[:19] + "Z"
        table.add_row(str(row.version), at, row.actor, row.source, *counts)
    return table


def counts_of(found: Diff) -> str:
    """Say how many accounts each group has."""
    return (
        f"{len(found.added)} added, {len(found.changed)} changed, "
        f"{len(found.disabled)} disabled, {len(found.unchanged)} unchanged"
    )


def verdict_of(done: Imported, *, dry_run: bool) -> str:
    """Say in one line what was done."""
    counts = counts_of(done.diff)
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
