"""The only door to an order after its acceptance: claims, outcomes, reports, requests to cancel.

Every write is one SQL function and one transaction: the row changes if it is still as it was when
the change was decided, its journal entry is appended, a fill is added. After the commit the change
is told to subscribers. The callers are the desk, the reconciler and, for cancels, orders.py.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import structlog

from accounts import journal
from accounts.journal import Actor
from accounts.models import Halt
from opitios.broker.errors import BrokerError
from opitios.broker.port import Answer
from opitios.core import clock, database, failpoints, ids, jsontext
from opitios.core.bus import Topic, get_bus
from opitios.core.errors import Reason
from trading import lifecycle, queries, shapes
from trading.lifecycle import Change, Execution, Known, Report
from trading.remembered import remember
from trading.writes import Ended, Write, write

logger = structlog.get_logger("app")

# A change decided on a row that moved meanwhile is decided anew, so often at most.
TRIES = 8

Row = dict[str, Any]


class Halted(Exception):
    """A halt stands over the order: it may not be claimed. `mode` is the strictest one's."""

    def __init__(self, mode: str) -> None:
        super().__init__(mode)
        self.mode = mode


class Contended(Exception):
    """A row moved under every try. The next report or sweep finds it again."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a change is written: who, when it happened (RFC 3339 text), and what the broker said.

    broker: http_status, request_id, event_id, raw_sha256, as far as they are known.
    """

    actor: Actor
    occurred_at: str | None = None
    broker: Mapping[str, Any] | None = None
    request: Mapping[str, Any] | None = None
    note: str | None = None


def facts_of(said: Answer | BrokerError) -> dict[str, Any]:
    """Take from an answer or a failure what the journal keeps of it (api.md §8, `broker`)."""
    return {
        "http_status": said.http_status,
        "request_id": said.request_id,
        "event_id": None,
        "raw_sha256": said.raw_sha256,
    }


@dataclass(frozen=True, slots=True)
class Claimed:
    """An order this desk may send now: its row as claimed, and the attempt's number."""

    row: Row
    attempt: int


def claim(
    row: Row, *, owner: str, process: str, reduces_until: datetime | None = None
) -> Claimed | None:
    """Claim a queued order for sending; None where it may not be sent any more (law 4).

    Not in time, cancelled, changed since it was read, or its account leased by another desk.
    reduces_until: it was found to reduce a position, which holds until then (database's time).
    Raises Halted.
    """
    entry = _entry(
        row,
        Cause(journal.system("desk", row["principal"])),
        {"status": lifecycle.SUBMITTING, "attempts": row["attempts"] + 1},
    )
    failpoints.reach("claim-before")
    body = jsontext.canonical(entry)
    claiming = Write(
        row["id"], row["seq"], owner=owner, process=process, body=body, reduces_until=reduces_until
    )
    landed = write(claiming)
    if landed.outcome in Halt.Mode.values:
        raise Halted(landed.outcome)
    if landed.attempt is None:
        return None
    failpoints.reach("claim-after")
    new = {
        **row,
        "status": lifecycle.SUBMITTING,
        "attempts": landed.attempt,
        "seq": landed.seq,
        "updated_at": landed.recorded_at,
    }
    _tell(new, "order.submitting", entry, None)
    return Claimed(new, landed.attempt)


def change(
    row: Row,
    kind: str,
    patch: Mapping[str, Any],
    cause: Cause,
    *,
    execution: Execution | None = None,
    ended: Ended | None = None,
) -> Row | None:
    """Write one change decided on `row`; the row as it is now, or None where it had moved.

    A fill known already changes nothing and gives the row back as it was. `ended`: the attempt that
    brought the change, completed with it.
    """
    entry = _entry(row, cause, patch, execution)
    landed = write(
        Write(
            row["id"],
            row["seq"],
            kind=kind,
            body=jsontext.canonical(entry),
            patch=_columns(patch),
            fill=None if execution is None else execution.as_json(),
            ended=ended,
        )
    )
    if landed.outcome == "stale":
        return None
    if landed.outcome == "duplicate":
        return row
    new = {**row, **patch, "seq": landed.seq, "updated_at": landed.recorded_at}
    _tell(new, kind, entry, execution)
    return new


def change_by(
    order_id: UUID,
    decide: Callable[[Row], tuple[str, Mapping[str, Any]] | None],
    cause: Cause,
    *,
    ended: Ended | None = None,
) -> Row:
    """Read, decide, write, and decide anew while the row moves.

    `decide` gives (kind, patch), or None where nothing is to change. `ended` is written in any
    case. Raises Contended, LookupError.
    """
    for _ in range(TRIES):
        row = _require(order_id)
        decided = decide(row)
        if decided is None:
            attempt_ended(row["id"], ended)
            return row
        new = change(row, *decided, cause, ended=ended)
        if new is not None:
            return new
    raise Contended(str(order_id))


def end_unsent(row: Row) -> tuple[str, dict[str, Any]]:
    """Say how a queued order ends that is not to be sent any more: kind and patch."""
    # An earlier attempt may still surface at the broker: only "not found there" can be said.
    if row["ambiguous"]:
        patch = {"status": lifecycle.LAPSED, "reason": Reason.NOT_AT_BROKER.slug}
    else:
        patch = {
            "status": lifecycle.CANCELED,
            "reason": Reason.CANCELED_BEFORE_SEND.slug,
            "canceled_at": clock.rfc3339(clock.now()),
        }
    return f"order.{patch['status']}", {**patch, "final": True}


def deny_unsent(row: Row, reason: Reason) -> tuple[str, dict[str, Any]] | None:
    """Say how a queued order ends that may not be sent any more, for this reason; None: another.

    One that may be at the broker lapses, and is looked for (design.md §4).
    """
    if row["status"] != lifecycle.QUEUED:
        return None
    if row["ambiguous"]:
        return end_unsent(row)
    patch = {"status": lifecycle.DENIED, "final": True, "reason": reason.slug}
    return "order.denied", patch


def ask_cancel(row: Row) -> tuple[str, dict[str, Any]]:
    """Say what changes when an open order is to be cancelled by its desk: kind and patch."""
    patch: dict[str, Any] = {"cancel_requested_at": clock.now()}
    if row["status"] not in lifecycle.OURS:
        patch["status"] = "pending_cancel"
    return "order.cancel_requested", patch


def report(
    order_id: UUID,
    told: Report,
    cause: Cause,
    *,
    seen: Row | None = None,
    ended: Ended | None = None,
) -> Row:
    """Write what the broker said of an order (lifecycle.decide).

    `seen` is the row as the caller knows it; where it moved, or where nothing would change, the row
    is read. `ended`: the attempt this answers. Raises Contended, LookupError.
    """
    for _ in range(TRIES):
        row = _require(order_id) if seen is None else seen
        decided = lifecycle.decide(known(row), told)
        if decided.is_empty and seen is None:
            attempt_ended(order_id, ended)
            return row
        new = None if decided.is_empty else _write_report(row, decided, cause, ended)
        if new is not None:
            return new
        seen = None
    raise Contended(str(order_id))


def _write_report(row: Row, decided: Change, cause: Cause, ended: Ended | None) -> Row | None:
    patch = _typed(decided)
    if decided.alarm == lifecycle.LATE_ARRIVAL and not patch.get("final", True):
        # It was given up here: its desk cancels it at once (design.md §4, `lapsed`).
        patch["cancel_requested_at"] = clock.now()
    new = change(row, decided.kind, patch, cause, execution=decided.execution, ended=ended)
    if new is not None and decided.alarm is not None:
        logger.error(
            "an order needs a look",
            alarm=decided.alarm,
            account_id=row["account_id"],
            order_id=str(row["id"]),
            status=new["status"],
        )
    return new


def mirror(after: Mapping[str, Any], event: str, cause: Cause) -> Row:
    """Store an order that was placed elsewhere, as the broker tells it; the one there is, if any.

    `after` has every key of shapes.STORED_KEYS but `id`.
    """
    order_id = ids.new_id()
    entry = journal.body(
        actor=cause.actor,
        occurred_at=cause.occurred_at,
        order_id=str(order_id),
        client_order_id=after["client_order_id"],
        broker_order_id=after["broker_order_id"],
        symbol=after["symbol"],
        tags=after["tags"],
        # Kept for its shape: an order of ours has the request that placed it here.
        request={"request_id": None, "idempotency_key": None, "body_sha256": None},
        note=cause.note or "placed elsewhere",
        after={**after, "id": str(order_id)},
        broker=cause.broker,
    )
    private = {
        "source": "external",
        "subject": "",
        "fingerprint": "",
        "checked_ms": 0,
        "attempts": 0,
        "ambiguous": False,
        "fills_short": after["filled_qty"] != "0",
    }
    landed = database.row(
        "SELECT * FROM order_accept(%s, '', NULL, %s, %s, %s, %s, %s)",
        (
            after["account_id"],
            after["client_order_id"],
            order_id,
            lifecycle.kind_of(event),
            jsontext.canonical(entry),
            jsontext.canonical(private),
        ),
    )
    if landed is None:
        raise RuntimeError("order_accept returned nothing")
    row = _require(landed["order_id"])
    if landed["order_id"] == order_id:
        _tell(row, lifecycle.kind_of(event), entry, None)
    return row


def attempt_ended(order_id: UUID, ended: Ended | None) -> None:
    """Complete a submit's attempt that changed nothing, where there was one."""
    if ended is not None:
        write(Write(order_id, ended=ended))


def attempt_made(order_id: UUID, kind: str, process: str, *, outcome: str, ms: float) -> None:
    """Record a call about an order that is no submit (a cancel, a look-up), after it ended."""
    database.rows(
        "INSERT INTO trading_attempt (order_id, n, kind, process, sent_at, ms, outcome)"
        " SELECT %s, coalesce(max(n), 0) + 1, %s, %s, clock_timestamp(), %s, %s"
        " FROM trading_attempt WHERE order_id = %s AND kind = %s",
        (order_id, kind, process, ms, outcome, order_id, kind),
    )


def known(row: Row) -> Known:
    """Take from a row what a decision needs."""
    return Known(
        status=row["status"],
        final=row["final"],
        broker_order_id=row["broker_order_id"],
        filled_qty=row["filled_qty"],
        filled_avg_price=row["filled_avg_price"],
        broker_updated_at=row["broker_updated_at"],
        reason=row["reason"],
        times={name: row[name] for name in lifecycle.BROKER_TIMES},
        replaced_by=row["replaced_by"],
    )


def _require(order_id: UUID) -> Row:
    row = queries.order_row(order_id)
    if row is None:
        raise LookupError(f"no order {order_id}")
    return row


_DECIMALS = ("filled_qty", "filled_avg_price")


def _typed(decided: Change) -> dict[str, Any]:
    return {
        key: Decimal(value) if key in _DECIMALS and value is not None else value
        for key, value in decided.patch.items()
    }


def _columns(patch: Mapping[str, Any]) -> dict[str, Any]:
    return {key: shapes.written(value) for key, value in patch.items()}


def _entry(
    row: Row, cause: Cause, patch: Mapping[str, Any], execution: Execution | None = None
) -> dict[str, Any]:
    after = _columns(patch)
    before = {key: shapes.written(row[key]) for key in patch}
    if execution is not None:
        after["execution"] = execution.as_json()
    return journal.body(
        actor=cause.actor,
        occurred_at=cause.occurred_at,
        request=cause.request,
        order_id=str(row["id"]),
        client_order_id=row["client_order_id"],
        broker_order_id=patch.get("broker_order_id", row["broker_order_id"]),
        execution_id=None if execution is None else execution.execution_id,
        symbol=row["symbol"],
        tags=row["tags"],
        reason=patch.get("reason"),
        note=cause.note,
        before=before,
        after=after,
        broker=cause.broker,
    )


def _tell(row: Row, kind: str, entry: Mapping[str, Any], execution: Execution | None) -> None:
    remember(row)
    message = shapes.order_message(
        account_id=row["account_id"],
        seq=row["seq"],
        kind=kind,
        at=entry["occurred_at"],
        execution=None if execution is None else execution.as_json(),
        order=shapes.order_json(row),
    )
    get_bus().tell((Topic.ORDERS, message))
