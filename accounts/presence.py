"""Who is alive: each process writes its row for the pool view every five seconds (api.md §7)."""

import os
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from opitios import __version__
from opitios.core import database, jsontext, metrics
from opitios.core.config import get_config

# One that missed three rows is gone. All times are the database's: hosts' clocks differ.
GONE_AFTER = timedelta(seconds=15)
# Staff see for so long that a process went; then its row is deleted, a web worker's for instance.
FORGOTTEN_AFTER = timedelta(hours=1)
# Under this key of its snapshot stands what a process counted (opitios/core/metrics.py).
METRICS = "metrics"

# Rows that another process is deleting are left to it.
_WRITE = """
WITH forgotten AS (DELETE FROM accounts_processrow WHERE name IN (
    SELECT name FROM accounts_processrow
    WHERE seen_at < clock_timestamp() - %(forgotten_after)s AND name <> %(name)s
    FOR UPDATE SKIP LOCKED))
INSERT INTO accounts_processrow (name, role, pid, started_at, seen_at, snapshot)
VALUES (%(name)s, %(role)s, %(pid)s, %(started_at)s, clock_timestamp(), %(snapshot)s::jsonb)
ON CONFLICT (name) DO UPDATE SET role = excluded.role, pid = excluded.pid,
    started_at = excluded.started_at, seen_at = excluded.seen_at, snapshot = excluded.snapshot
"""

_ALIVE = """
SELECT count(*) AS alive FROM accounts_processrow
WHERE role = ANY(%s) AND seen_at > clock_timestamp() - %s
"""


def write_row(
    started_at: datetime,
    snapshot: Mapping[str, Any],
    *,
    name: str | None = None,
    role: str | None = None,
) -> None:
    """Say that this process lives, and how it is. Raises django.db.DatabaseError.

    name, role: where they are not the configured ones. Rows of processes long gone are deleted.
    """
    config = get_config()
    about = {
        "name": name or config.process,
        "role": role or config.role,
        "pid": os.getpid(),
        "started_at": started_at,
        "snapshot": jsontext.canonical(
            {"version": __version__, METRICS: metrics.snapshot(), **snapshot}
        ),
        "forgotten_after": FORGOTTEN_AFTER,
    }
    database.rows(_WRITE, about)


def count_alive(roles: Sequence[str]) -> int:
    """Count the processes of these roles that wrote their row lately."""
    found = database.row(_ALIVE, (list(roles), GONE_AFTER))
    return found["alive"] if found else 0
