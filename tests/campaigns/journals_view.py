"""Does each order's journal alone tell the whole of it, step by step? (laws 1 and 4, G8, I4, I5).

The fold here is the oracle's own: it takes every column an entry names, not only those the API
shows, and compares each entry's `before` with what the entries before it made of the order.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from tests.campaigns.story import Row, Story
from trading import lifecycle, shapes

# Told in an entry's `after`, and no column.
NO_COLUMNS = frozenset({"execution"})
# From which states the gateway itself may move an order to one of its own.
BEFORE = {
    lifecycle.QUEUED: {lifecycle.SUBMITTING, lifecycle.UNKNOWN},
    lifecycle.SUBMITTING: {lifecycle.QUEUED},
    lifecycle.UNKNOWN: {lifecycle.SUBMITTING},
    lifecycle.LAPSED: {lifecycle.QUEUED, lifecycle.SUBMITTING, lifecycle.UNKNOWN},
    lifecycle.DENIED: {lifecycle.QUEUED},
}


def disagreements(story: Story) -> Iterator[str]:
    """Compare every order's entries with its row, its attempts and its fills."""
    books = story.books
    known = {str(row["id"]) for row in books.orders}
    for order_id in books.entries.keys() - known:
        yield f"the journal tells of an order that is not in our books: {order_id}"
    for row in books.orders:
        order_id = str(row["id"])
        yield from _of_order(
            row,
            books.entries.get(order_id, []),
            attempts=[a for a in books.attempts.get(order_id, []) if a["kind"] == "submit"],
            fills=books.fills.get(order_id, []),
        )


def _of_order(
    row: Row, entries: list[Row], *, attempts: list[Row], fills: list[Row]
) -> Iterator[str]:
    coid = row["client_order_id"]
    if not entries or entries[-1]["seq"] != row["seq"]:
        yield f"{coid}: the row and its last entry differ (law 1)"
        return
    state: dict[str, Any] = {}
    for entry in entries:
        yield from (f"{coid}, entry {entry['seq']}: {what}" for what in _step(state, entry))
        state |= _columns(entry["said"]["after"])
    for name, told in state.items():
        if not _same(row[name], told):
            yield f"{coid}: the journal says {name} {told}, the row {row[name]} (law 1)"
    yield from _of_claims(row, entries, attempts)
    yield from _of_executions(coid, entries, fills)


def _step(state: dict[str, Any], entry: Row) -> Iterator[str]:
    said = entry["said"]
    for name, before in (said["before"] or {}).items():
        if name in state and state[name] != before:
            yield f"{name} was {before} before it, told was {state[name]}: a change had no entry"
    was, now = state.get("status"), said["after"].get("status", state.get("status"))
    if was is not None and was != now and not _may_follow(was, now):
        yield f"{now} after {was} (I4)"
    filled = said["after"].get("filled_qty")
    if filled is not None and Decimal(filled) < Decimal(state.get("filled_qty", 0)):
        yield f"filled_qty goes back to {filled} (I4)"


def _may_follow(was: str, now: str) -> bool:
    if was in lifecycle.FINAL:
        # What was given up here and lives there is the one way out of a final state.
        return was == lifecycle.LAPSED and now not in lifecycle.OURS
    return was in BEFORE[now] if now in BEFORE else True


def _columns(after: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in after.items() if name not in NO_COLUMNS}


def _of_claims(row: Row, entries: list[Row], attempts: list[Row]) -> Iterator[str]:
    claims = sum(entry["kind"] == "order.submitting" for entry in entries)
    if not claims == row["attempts"] == len(attempts):
        yield (
            f"{row['client_order_id']}: {claims} claims in the journal, {row['attempts']} in the"
            f" row, {len(attempts)} attempts (law 4)"
        )


def _of_executions(coid: str, entries: list[Row], fills: list[Row]) -> Iterator[str]:
    told = [entry["said"]["after"].get("execution") for entry in entries]
    journalled = sorted(each["execution_id"] for each in told if each is not None)
    if journalled != sorted(fill["execution_id"] for fill in fills):
        yield f"{coid}: its fills and the executions in the journal differ (law 1)"


def _same(ours: object, told: object) -> bool:
    return lifecycle.same(ours, told) or bool(shapes.written(ours) == told)
