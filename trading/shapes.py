"""How orders and fills are written in the API, the stream and the journal (api.md §3). Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from http import HTTPStatus
from typing import Any
from uuid import UUID

from opitios.core import clock
from opitios.core.errors import BrokerRefusal, Problem, Reason
from trading.lifecycle import plain

# The order of api.md §3, key for key.
ORDER_KEYS = (
    "id", "client_order_id", "broker_order_id", "account_id", "environment", "status", "final",
    "reason", "seq", "symbol", "asset_class", "order_class", "type", "order_type", "side", "qty",
    "notional", "limit_price", "stop_price", "trail_price", "trail_percent", "time_in_force",
    "extended_hours", "position_intent", "filled_qty", "filled_avg_price", "legs", "replaces",
    "replaced_by", "batch_id", "tags", "created_at", "not_after", "submitted_at", "updated_at",
    "filled_at", "expired_at", "canceled_at", "failed_at",
)  # fmt: skip

# What the accepting entry's `after` leaves to the entry itself, or repeats.
_FROM_ENTRY = frozenset({"seq", "updated_at", "order_type"})
STORED_KEYS = tuple(key for key in ORDER_KEYS if key not in _FROM_ENTRY)

HINT = (
    "Without an Idempotency-Key or a client_order_id, sending this request again places a second "
    "order."
)


def written(value: Any) -> Any:
    """Write one column's value: decimals and ids as strings, instants as RFC 3339."""
    match value:
        case Decimal():
            return plain(value)
        case datetime():
            return clock.rfc3339(value)
        case UUID():
            return str(value)
        case _:
            return value


def order_json(row: Mapping[str, Any]) -> dict[str, Any]:
    """Write an order from its row's columns."""
    return {key: written(value) for key, value in _in_order(row).items()}


def _in_order(order: Mapping[str, Any]) -> dict[str, Any]:
    shown = {**order, "order_type": order["type"]}
    return {key: shown[key] for key in ORDER_KEYS}


def accepted_json(entry: Mapping[str, Any], *, seq: int, recorded_at: datetime) -> dict[str, Any]:
    """Write the 202's body from the accepting journal entry alone.

    The same entry gives the same bytes for ever, so a replay needs no stored answer (api.md §1).
    """
    # An entry's values are JSON already.
    order = _in_order({**entry["after"], "seq": seq, "updated_at": clock.rfc3339(recorded_at)})
    if entry["request"]["idempotency_key"] is None:
        order["hint"] = HINT
    return order


def denial(entry: Mapping[str, Any]) -> Problem:
    """Make the 422's problem of an order that was never taken, from its only entry."""
    reason = next(each for each in Reason if each.slug == entry["after"]["reason"])
    about = {"account_id": entry["after"]["account_id"], "order_id": entry["order_id"]}
    return Problem(reason, entry["note"], **about)


def fold(entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Write the order as it stood after its last given entry (oldest first, from the first on)."""
    first, *later = entries
    state: dict[str, Any] = dict(first["after"])
    for entry in later:
        state |= {key: value for key, value in entry["after"].items() if key in STORED_KEYS}
    last = entries[-1]
    return order_json({**state, "seq": last["seq"], "updated_at": last["recorded_at"]})


def rejection(row: Mapping[str, Any]) -> Problem:
    """Make the problem of a rejected order, in the broker's words.

    An order refused after its acceptance (alpaca-wire.md §6, 13) has only its event, no answer.
    """
    stored: Mapping[str, Any] = row["refusal"] or {}
    message = str(stored.get("message", "rejected by the broker"))
    broker = BrokerRefusal(
        http_status=stored.get("http_status") or HTTPStatus.UNPROCESSABLE_ENTITY,
        code=stored.get("code"),
        message=message,
        request_id=stored.get("request_id"),
        extra={key: value for key, value in stored.items() if key not in _OF_REFUSAL},
    )
    return Problem(
        Reason.REJECTED,
        message,
        broker=broker,
        account_id=row["account_id"],
        order_id=str(row["id"]),
    )


def problem_json(row: Mapping[str, Any]) -> dict[str, Any] | None:
    """Write why an order ended without being sent or was refused; None for any other."""
    if row["status"] == "rejected":
        return rejection(row).body(None)
    if row["reason"] is None:
        return None
    reason = next((each for each in Reason if each.slug == row["reason"]), None)
    if reason is None:
        return None
    about = {"account_id": row["account_id"], "order_id": str(row["id"])}
    return Problem(reason, **about).body(None)


_OF_REFUSAL = frozenset({"http_status", "code", "message", "request_id"})


def fill_json(row: Mapping[str, Any]) -> dict[str, Any]:
    """Write a fill from its row's columns."""
    keys = (
        "account_id", "order_id", "execution_id", "at", "symbol", "side", "qty", "price",
        "position_qty", "source",
    )  # fmt: skip
    return {key: written(row[key]) for key in keys}


def order_message(
    *,
    account_id: str,
    seq: int,
    kind: str,
    at: str,
    execution: Mapping[str, Any] | None,
    order: Mapping[str, Any],
) -> dict[str, Any]:
    """Write the stream's message for one entry (api.md §6), all but `sent_at`.

    `order` is the order after this entry, never the present row, so live equals replayed.
    """
    return {
        "T": "order",
        "account_id": account_id,
        "seq": seq,
        "event": kind.removeprefix("order."),
        "at": at,
        "execution": _stream_execution(execution),
        "order": order,
    }


def _stream_execution(execution: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if execution is None:
        return None
    return {key: execution[key] for key in ("execution_id", "qty", "price", "position_qty")}


def replayed_message(entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Write the stream's message for the last of an order's entries, from the journal alone."""
    last = entries[-1]
    return order_message(
        account_id=last["account_id"],
        seq=last["seq"],
        kind=last["kind"],
        at=last["occurred_at"],
        execution=last["after"].get("execution"),
        order=fold(entries),
    )
