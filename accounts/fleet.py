"""The accounts as staff see them: the roster, and what desks and processes last wrote of it.

Without an owner nobody calls or listens for an account, whatever was last written.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Case, Count, F, OuterRef, Q, QuerySet, Subquery, Value, When
from django.db.models.functions import Coalesce

from accounts.models import Account, AccountState, Credential, Halt, ProcessRow
from accounts.presence import FORGOTTEN_AFTER, GONE_AFTER
from opitios.core import clock

# So many accounts are named beside the picture; the accounts page lists all.
NAMED = 50

# Not a state its desk gives it: the operator lets it send nothing new (custody.py).
SUSPENDED = "suspended"
# Nor this: a halt stands over the whole account (trading/halts.py).
HALTED = "halted"

# From what needs nobody to what needs somebody now; the picture counts in this order.
STATES = ("ready", "warming", SUSPENDED, HALTED, "suspect", "quarantined", "disabled")
STREAMS = ("listening", "connecting", "throttled", "lost", "unauthorized", "closed")
BREAKERS = ("closed", "half-open", "open")


def seen(now: datetime) -> QuerySet[Account]:
    """Read accounts with `shown_state`, `shown_stream`, `shown_breaker`, `owner`, and their key.

    `owner` is the lease's holder with its fence, `shown_breaker` too is None where nobody owns the
    account. `halted_why` is the strictest halt's reason; `hint` and `key_came_at` are the newest
    key's.
    """
    owned = Q(lease__expires_at__gt=now)
    newest = Credential.objects.filter(account=OuterRef("pk")).order_by("-version")
    over = Q(account_id=None) | Q(account_id=OuterRef("account_id"))
    halts = Halt.objects.filter(over, lifted_at=None, symbol=None).order_by("mode", "set_at")
    return Account.objects.select_related("state", "lease").annotate(
        halted_why=Subquery(halts.values("reason")[:1]),
        shown_state=Case(
            When(enabled=False, then=Value(AccountState.State.DISABLED)),
            When(suspended_at__isnull=False, then=Value(SUSPENDED)),
            When(halted_why__isnull=False, then=Value(HALTED)),
            default=Coalesce("state__state", Value(AccountState.State.WARMING)),
        ),
        shown_stream=Case(
            When(owned, then=Coalesce("state__stream_state", Value(AccountState.Stream.CLOSED))),
            default=Value(AccountState.Stream.CLOSED),
        ),
        shown_breaker=Case(When(owned, then=F("state__breaker"))),
        owner=Case(When(owned, then=F("lease__owner"))),
        hint=Subquery(newest.values("hint")[:1]),
        key_came_at=Subquery(newest.values("created_at")[:1]),
    )


def counts(now: datetime) -> tuple[Counter[str], Counter[str]]:
    """Count all accounts by state and by their stream's state."""
    found = seen(now).order_by().values_list("shown_state", "shown_stream")  # type: ignore[misc] # annotated
    states, streams = Counter[str](), Counter[str]()
    for state, stream, count in found.annotate(count=Count("pk")):
        states[state] += count
        streams[stream] += count
    return states, streams


def desk_of(owner: str | None) -> str | None:
    """Name the desk of a lease's holder: `desk-1/4711` is desk-1's."""
    return None if owner is None else owner.partition("/")[0]


def left_of(budget: Mapping[str, Any] | None, now: datetime) -> tuple[int, int] | None:
    """Calls left of the broker's minute and its limit, as its headers told; None: told nothing.

    A minute that is over is a whole one again.
    """
    if not budget:
        return None
    limit = int(budget["limit"])
    over = float(budget["resets_at"]) <= now.timestamp()
    return (limit if over else int(budget["remaining"])), limit


def is_alive(row: ProcessRow, now: datetime) -> bool:
    """Whether a process wrote its row lately (api.md §7)."""
    return row.seen_at > now - GONE_AFTER


@dataclass(frozen=True, slots=True)
class Cell:
    """One account of the picture. `left`: percent of its minute's calls; ages are in seconds."""

    account_id: str
    state: str
    stream: str
    breaker: str | None
    desk: str | None
    left: int | None
    checked: int | None
    why: str | None


def picture(now: datetime) -> dict[str, Any]:
    """Draw the whole fleet: counts, one short row an account, desks, processes, what is worst."""
    cells = _cells(now)
    rows = list(
        ProcessRow.objects.filter(seen_at__gt=now - FORGOTTEN_AFTER).order_by("role", "name")
    )
    return {
        "as_of": clock.rfc3339(now),
        "states": _counted(STATES, (cell.state for cell in cells)),
        "streams": _counted(STREAMS, (cell.stream for cell in cells)),
        "desks": _desks(cells, rows, now),
        "processes": [_process(row, now) for row in rows],
        "breakers": _breakers(cells, rows, now),
        "oldest_check": _oldest(cells),
        "attention": _attention(cells),
        "accounts": [
            (cell.account_id, cell.state, cell.stream, cell.breaker, cell.desk, cell.left,
             cell.checked)
            for cell in cells
        ],
    }  # fmt: skip


def _cells(now: datetime) -> list[Cell]:
    columns = (
        "account_id", "shown_state", "shown_stream", "shown_breaker", "owner", "state__budget",
        "state__checked_at", "state__state_reason", "suspended_reason", "halted_why",
    )  # fmt: skip
    found = seen(now).order_by("account_id").values_list(*columns)
    return [_cell(row, now) for row in found]


def _cell(row: tuple[Any, ...], now: datetime) -> Cell:
    account_id, state, stream, breaker, owner, budget, checked_at, doubt, suspended, halted = row
    told = left_of(budget, now)
    return Cell(
        account_id=account_id,
        state=state,
        stream=stream,
        breaker=breaker,
        desk=desk_of(owner),
        left=None if told is None else round(100 * told[0] / max(1, told[1])),
        checked=None if checked_at is None else _seconds(checked_at, now),
        why=suspended or halted or doubt,
    )


def _seconds(since: datetime, now: datetime) -> int:
    return max(0, round((now - since).total_seconds()))


def _counted(words: Iterable[str], found: Iterable[str]) -> list[tuple[str, int]]:
    """Count each word, those of zero too; a word nobody named comes last."""
    counted = Counter(found)
    named = [(word, counted.pop(word, 0)) for word in words]
    return named + sorted(counted.items())


def _desks(cells: list[Cell], rows: list[ProcessRow], now: datetime) -> list[dict[str, Any]]:
    """Every desk that is alive or owns something, with what it owns; last, what nobody owns."""
    owned = Counter(cell.desk for cell in cells if cell.state != AccountState.State.DISABLED)
    alive = {row.name: row for row in rows if row.role == "desk" and is_alive(row, now)}
    names = sorted({*alive, *(name for name in owned if name is not None)})
    told = [{"name": name, "accounts": owned[name], **_sending(alive.get(name))} for name in names]
    nobodys = {"name": None, "accounts": owned[None], **_sending(None)}
    return [*told, nobodys] if owned[None] else told


def _sending(row: ProcessRow | None) -> dict[str, Any]:
    snapshot = {} if row is None else row.snapshot
    return {
        "alive": row is not None,
        "waiting": (snapshot.get("queue") or {}).get("depth"),
        "senders": snapshot.get("senders"),
    }


def _process(row: ProcessRow, now: datetime) -> dict[str, Any]:
    return {
        "name": row.name,
        "role": row.role,
        "pid": row.pid,
        "alive": is_alive(row, now),
        "beat": _seconds(row.seen_at, now),
        "up": _seconds(row.started_at, now),
        "version": row.snapshot.get("version"),
        "warm": row.snapshot.get("warm"),
        "sockets": row.snapshot.get("sockets"),
    }


def _breakers(cells: list[Cell], rows: list[ProcessRow], now: datetime) -> list[dict[str, Any]]:
    """What is not closed: hosts as each process sees them, then accounts; open ones first."""
    hosts = [
        {"of": told["host"], "account": False, "breaker": told["breaker"], "seen_by": row.name}
        for row in rows
        if is_alive(row, now)
        for told in row.snapshot.get("upstreams", [])
    ]
    accounts = [
        {"of": cell.account_id, "account": True, "breaker": cell.breaker, "seen_by": cell.desk}
        for cell in cells
        if cell.breaker is not None
    ]
    worst = [one for one in hosts + accounts if one["breaker"] != AccountState.Breaker.CLOSED]
    worst.sort(key=lambda one: (-BREAKERS.index(one["breaker"]), one["account"], one["of"]))
    return worst[:NAMED]


def _oldest(cells: list[Cell]) -> dict[str, Any] | None:
    """The enabled account whose last check is longest ago; None before the first check."""
    checked = [
        cell
        for cell in cells
        if cell.checked is not None and cell.state != AccountState.State.DISABLED
    ]
    oldest = max(checked, key=lambda cell: cell.checked or 0, default=None)
    return None if oldest is None else {"account": oldest.account_id, "seconds": oldest.checked}


def _attention(cells: list[Cell]) -> list[dict[str, Any]]:
    """The accounts that somebody should look at, the worst first."""
    calm = {AccountState.State.READY, AccountState.State.DISABLED}
    found = [cell for cell in cells if cell.state not in calm]
    found.sort(key=lambda cell: (-STATES.index(cell.state), cell.account_id))
    return [
        {"account": cell.account_id, "state": cell.state, "why": cell.why, "desk": cell.desk}
        for cell in found[:NAMED]
    ]
