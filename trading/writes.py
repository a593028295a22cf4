"""Writes of orders after their acceptance: those of many threads in one transaction.

A commit costs a flush to the disk and a round trip, whatever it holds (docs/adr/0011). A write that
finds its order changed writes nothing, and hinders no other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import DatabaseError, connection

from opitios.core import database, jsontext
from opitios.core.combine import Combined

# So many in one transaction: what the last of them waits for the first is a few milliseconds.
MOST = 32
# While one transaction flushes, the next is prepared.
AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class Ended:
    """How an attempt to submit ended: written along with the change it brought."""

    n: int
    outcome: str
    ms: float
    http_status: int | None
    request_id: str | None


@dataclass(frozen=True, slots=True)
class Write:
    """One claim (`owner` is set), one change (`kind`), or the end of an attempt alone.

    expected: the row's seq when it was decided. body: the journal entry. patch, fill: as columns.
    reduces_until: of a claim, until when it is known to reduce a position (trading/halts.py).
    """

    order_id: UUID
    expected: int | None = None
    owner: str | None = None
    process: str | None = None
    reduces_until: datetime | None = None
    kind: str | None = None
    body: str | None = None
    patch: Mapping[str, Any] | None = None
    fill: Mapping[str, Any] | None = None
    ended: Ended | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """What became of one: `changed`, `stale` (decide anew), `duplicate` (a fill known already).

    Of a claim also `halt` or `reduce_only`: the halt that stands over it.
    seq, recorded_at: of its entry; attempt: of a claim. None where nothing was appended.
    """

    outcome: str | None
    seq: int | None
    recorded_at: datetime | None
    attempt: int | None


def write(one: Write) -> Written:
    """Write one; it is committed on return, unless this thread has a transaction open.

    Raises DatabaseError as database.rows does.
    """
    if connection.in_atomic_block:
        return _write([one])[0]
    return _combined(one)


def _write(several: Sequence[Write]) -> list[Written]:
    told = jsontext.dumps(several).decode()
    found = database.rows(
        "SELECT outcome, seq, recorded_at, attempt FROM orders_write(%s) ORDER BY n", (told,)
    )
    return [Written(**row) for row in found]


def did_nothing(error: BaseException) -> bool:
    """Whether the server said no, so that nothing of it was written (see database.is_broken)."""
    if isinstance(error, database.NotReached) or not isinstance(error, DatabaseError):
        return False
    return not database.is_broken(error)


_combined = Combined(_write, most=MOST, at_once=AT_ONCE, divides=did_nothing)
