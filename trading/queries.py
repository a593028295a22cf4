"""Reading orders, fills and their history. Nothing here writes."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from accounts.models import JournalEntry
from opitios.core import clock, database
from trading import lifecycle, shapes

# Columns Django hands over as JSON text.
_JSON = ("legs", "tags", "principal", "refusal")

_ORDER = "SELECT * FROM trading_order WHERE"


def _order(row: dict[str, Any] | None) -> dict[str, Any] | None:
    if row is not None:
        for key in _JSON:
            if isinstance(row[key], str):
                row[key] = orjson.loads(row[key])
    return row


def order_row(order_id: UUID) -> dict[str, Any] | None:
    """Read one order's columns by our id."""
    return _order(database.row(f"{_ORDER} id = %s", (order_id,)))


def orders_where(condition: str, params: Sequence[Any]) -> list[dict[str, Any]]:
    """Read orders by an SQL condition written in this room, never by a client."""
    found = database.rows(f"{_ORDER} {condition}", params)
    return [row for row in map(_order, found) if row is not None]


_OLDEST_QUEUED = """
SELECT o.* FROM (
    SELECT DISTINCT account_id FROM trading_order WHERE status = 'queued'
    AND account_id = ANY(%s) AND account_id <> ALL(%s)) a
CROSS JOIN LATERAL (
    SELECT * FROM trading_order t WHERE t.account_id = a.account_id AND t.status = 'queued'
    AND t.id <> ALL(%s) ORDER BY t.created_at, t.id LIMIT %s) o
"""


def oldest_queued(
    account_ids: list[str], but: list[str], known: list[UUID], each: int
) -> list[dict[str, Any]]:
    """Read the oldest orders that wait to be sent but `known` ones, so many of each account.

    but: accounts that are left out.
    """
    found = database.rows(_OLDEST_QUEUED, (account_ids, but, known, each))
    return [row for row in map(_order, found) if row is not None]


def with_orders_at_broker(account_ids: list[str]) -> set[str]:
    """Read which of these accounts have orders that live at the broker as far as we know."""
    found = database.rows(
        "SELECT DISTINCT account_id FROM trading_order"
        " WHERE NOT final AND broker_order_id IS NOT NULL AND account_id = ANY(%s)",
        (account_ids,),
    )
    return {row["account_id"] for row in found}


_COUNT_OPEN = """
SELECT account_id, count(*) AS open, count(*) FILTER (WHERE status = 'unknown') AS unknown
FROM trading_order WHERE NOT final AND account_id = ANY(%s) GROUP BY account_id
"""


def count_open(account_ids: list[str]) -> dict[str, dict[str, int]]:
    """Count the open orders of those accounts that have some, and the unknown among them."""
    found = database.rows(_COUNT_OPEN, (account_ids,))
    return {row.pop("account_id"): row for row in found}


def find_order(account_id: str, order_id: str) -> dict[str, Any] | None:
    """Find an order of an account by our id or the broker's."""
    try:
        ours = UUID(order_id)
    except ValueError:
        ours = None
    if ours is not None and str(ours) != order_id:
        return None
    condition = "account_id = %s AND (id = %s OR broker_order_id = %s)"
    found = orders_where(condition, (account_id, ours, order_id))
    return found[0] if found else None


def find_by_client_order_id(account_id: str, client_order_id: str) -> dict[str, Any] | None:
    """Find an order of an account by its client_order_id."""
    condition = "account_id = %s AND client_order_id = %s"
    found = orders_where(condition, (account_id, client_order_id))
    return found[0] if found else None


def is_stored(
    account_id: str, *, subject: str, key: str | None, client_order_id: str | None
) -> bool:
    """Whether an order of this key, or of this client_order_id, is there already."""
    found = database.row(
        "SELECT 1 FROM trading_order WHERE account_id = %s AND (client_order_id = %s"
        " OR (subject = %s AND idempotency_key = %s)) LIMIT 1",
        (account_id, client_order_id, subject, key),
    )
    return found is not None


class BadToken(ValueError):
    """A page_token that this API never gave."""


@dataclass(frozen=True, slots=True)
class Listing:
    """Which orders of an account: `after` and `until` are exclusive; symbols empty means all."""

    account_id: str
    status: str = "open"
    direction: str = "desc"
    limit: int = 50
    after: datetime | None = None
    until: datetime | None = None
    symbols: Sequence[str] = field(default_factory=tuple)
    side: str | None = None
    page_token: str | None = None


def list_orders(listing: Listing) -> tuple[list[dict[str, Any]], str | None]:
    """Read a page of orders and the token of the next one. Raises BadToken."""
    conditions, params = ["account_id = %s"], [listing.account_id]
    for condition, value in _filters(listing):
        conditions.append(condition)
        params.extend(value)
    order = "DESC" if listing.direction == "desc" else "ASC"
    tail = f"ORDER BY created_at {order}, id {order} LIMIT %s"
    found = orders_where(f"{' AND '.join(conditions)} {tail}", [*params, listing.limit + 1])
    page = found[: listing.limit]
    return page, _page_token(page[-1]) if len(found) > listing.limit else None


def _filters(listing: Listing) -> list[tuple[str, list[Any]]]:
    filters: list[tuple[str, list[Any]]] = []
    if listing.status != "all":
        filters.append(("final = %s", [listing.status == "closed"]))
    if listing.after is not None:
        filters.append(("created_at > %s", [listing.after]))
    if listing.until is not None:
        filters.append(("created_at < %s", [listing.until]))
    if listing.symbols:
        filters.append(("symbol = ANY(%s)", [list(listing.symbols)]))
    if listing.side is not None:
        filters.append(("side = %s", [listing.side]))
    if listing.page_token is not None:
        than = "<" if listing.direction == "desc" else ">"
        filters.append((f"(created_at, id) {than} (%s, %s)", _read_token(listing.page_token)))
    return filters


def _page_token(row: dict[str, Any]) -> str:
    text = f"{clock.rfc3339(row['created_at'])}|{row['id']}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read_token(token: str) -> list[Any]:
    try:
        text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
        at, order_id = text.split("|")
        return [datetime.strptime(at, "%Y-%m-%dT%H:%M:%S.%f%z"), UUID(order_id)]
    except (ValueError, binascii.Error) as error:
        raise BadToken("This page_token was not given by this API.") from error


def list_fills(
    account_id: str, *, after_id: int | None, limit: int
) -> tuple[list[dict[str, Any]], int | None]:
    """Read a page of an account's fills, newest first, and where the next page begins."""
    found = database.rows(
        "SELECT * FROM trading_fill WHERE account_id = %s AND (%s::bigint IS NULL OR id < %s)"
        " AND superseded_by IS NULL ORDER BY id DESC LIMIT %s",
        (account_id, after_id, after_id, limit + 1),
    )
    page = found[:limit]
    return [shapes.fill_json(row) for row in page], page[-1]["id"] if len(found) > limit else None


def order_entries(order_id: UUID, *, until_seq: int | None = None) -> list[JournalEntry]:
    """Read an order's journal entries, oldest first."""
    found = JournalEntry.objects.filter(order_id=order_id).order_by("seq")
    return list(found if until_seq is None else found.filter(seq__lte=until_seq))


def order_detail(row: dict[str, Any]) -> dict[str, Any]:
    """Write an order with its timeline, attempts and executions (api.md §3)."""
    attempts = database.rows(
        "SELECT * FROM trading_attempt WHERE order_id = %s ORDER BY id", (row["id"],)
    )
    fills = database.rows(
        "SELECT * FROM trading_fill WHERE order_id = %s AND superseded_by IS NULL ORDER BY id",
        (row["id"],),
    )
    return {
        **shapes.order_json(row),
        "problem": shapes.problem_json(row),
        "timeline": timeline(row, attempts, fills),
        "attempts": [_attempt_json(attempt) for attempt in attempts],
        "executions": [_execution_json(fill) for fill in fills],
    }


def _attempt_json(attempt: dict[str, Any]) -> dict[str, Any]:
    keys = (
        "n", "kind", "process", "sent_at", "ms", "outcome", "http_status", "broker_request_id",
    )  # fmt: skip
    return {key: shapes.written(attempt[key]) for key in keys}


def _execution_json(fill: dict[str, Any]) -> dict[str, Any]:
    return {
        key: shapes.written(fill[key]) for key in ("execution_id", "at", "qty", "price", "source")
    }


def timeline(
    row: dict[str, Any], attempts: list[dict[str, Any]], fills: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Write the stages an order has passed, each in milliseconds since it was received.

    One vocabulary for API, metrics and admin: received checked stored sent acknowledged first_fill
    final.
    """
    received = row["created_at"]

    def since(instant: datetime) -> float:
        return clock.milliseconds(received, instant)

    entries = order_entries(row["id"])
    submits = [attempt for attempt in attempts if attempt["kind"] == "submit"]
    words = [e for e in entries if e.kind.removeprefix("order.") not in lifecycle.OUR_EVENTS]
    stages: list[dict[str, Any]] = [
        {"stage": "received", "at": clock.rfc3339(received), "ms": 0.0},
        {"stage": "checked", "ms": row["checked_ms"]},
    ]
    if entries:
        stages.append({"stage": "stored", "ms": since(entries[0].recorded_at)})
    stages += [
        {"stage": "sent", "ms": since(sent["sent_at"]), "attempt": sent["n"]} for sent in submits
    ]
    if words and row["broker_order_id"] is not None:
        stages.append({"stage": "acknowledged", "ms": since(words[0].recorded_at)})
    if fills:
        stages.append({"stage": "first_fill", "ms": since(fills[0]["recorded_at"])})
    if row["final"] and entries:
        stages.append({"stage": "final", "ms": since(entries[-1].recorded_at)})
    return stages


def verdict_of(order_id: UUID) -> dict[str, Any] | None:
    """Read an order if its verdict is in (`Prefer: wait`), else None."""
    row = order_row(order_id)
    return row if row is not None and lifecycle.is_verdict(row["status"]) else None
