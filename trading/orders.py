"""Acceptance: the only door by which an order comes in (law 1).

One transaction, one round trip: the SQL function `order_accept` looks for an earlier order of the
same key, appends the journal entry and stores the row. What is stored here is durable and waits for
the account's desk; nothing in this file talks to the broker.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from django.db import InterfaceError, InternalError, OperationalError

from accounts import journal
from accounts.journal import Actor
from opitios.core import clock, database, failpoints, ids, jsontext
from opitios.core.bus import Topic, get_bus
from opitios.core.errors import Problem, Reason
from trading import executions, lifecycle, queries, shapes
from trading.admission import get_admission
from trading.commands import OWN_PREFIX, PRICES, OrderCommand, passed_deadline
from trading.executions import Cause
from trading.models import Order

# Seconds: with Postgres gone the caller hears so within one.
ANSWER_WITHIN = 0.4


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asks, and how: what the journal keeps of the request.

    principal: sub, act, jti, permissions, ip. body_sha256 is of the bytes as received.
    """

    subject: str
    principal: Mapping[str, Any]
    request_id: str
    received_at: datetime
    idempotency_key: str | None = None
    body_sha256: str | None = None
    method: str = "POST"
    path: str = ""

    @property
    def actor(self) -> Actor:
        """The journal's actor."""
        return Actor("principal", self.subject, self.principal)

    def as_json(self) -> dict[str, Any]:
        """The journal entry's `request`."""
        return {
            "request_id": self.request_id,
            "idempotency_key": self.idempotency_key,
            "body_sha256": self.body_sha256,
        }


@dataclass(frozen=True, slots=True)
class Accepted:
    """A stored order: the 202's body, and whether an earlier request stored it."""

    order_id: UUID
    body: dict[str, Any]
    replayed: bool


def place_order(
    command: OrderCommand, *, account_id: str, environment: str, asked: Asked
) -> Accepted:
    """Store one order, or find the one the same key stored before.

    1. Refuse what could not be sent in time, unless the key has its order already.
    2. Write the entry that describes the order.
    3. `order_accept`: store entry and row, or return the entry of the earlier order.
    4. After the commit, wake the account's desk: a hint, the desk also polls.
    Raises Problem: 409 client-order-id-used, 422 idempotency-mismatch, 422 invalid-order where its
    deadline has passed, 429 would-lapse, 503 broker-unavailable and account-quarantined, 503 where
    the database cannot say.
    """
    order_id = ids.new_id()
    key = asked.idempotency_key or command.client_order_id
    _require_admission(command, account_id, asked, key)
    fingerprint = command.fingerprint(method=asked.method, path=asked.path, subject=asked.subject)
    entry = _entry(command, order_id, account_id, environment, asked, key)
    private = _private(asked, key, fingerprint)
    landed = _accept(order_id, account_id, asked.subject, key, entry, private)
    if landed["order_id"] != order_id:
        _require_same(landed, key, fingerprint)
    told = orjson.loads(landed["body"]) if landed["body"] else entry
    body = shapes.accepted_json(told, seq=landed["seq"], recorded_at=landed["recorded_at"])
    accepted = Accepted(landed["order_id"], body, replayed=landed["order_id"] != order_id)
    if not accepted.replayed:
        get_admission().count(account_id, landed["recorded_at"])
        _wake(account_id, order_id, entry, body)
    return accepted


def _require_admission(
    command: OrderCommand, account_id: str, asked: Asked, key: str | None
) -> None:
    received = asked.received_at
    refusal = passed_deadline(command, received) or get_admission().refusal(
        account_id, command.deadline(received), received
    )
    if refusal is None:
        return
    named = {"key": key, "client_order_id": command.client_order_id}
    # A replay gets the answer it got before: its order is stored, whatever the broker does now.
    if not queries.is_stored(account_id, subject=asked.subject, **named):
        raise refusal


def _wake(
    account_id: str, order_id: UUID, entry: Mapping[str, Any], body: Mapping[str, Any]
) -> None:
    message = shapes.order_message(
        account_id=account_id,
        seq=body["seq"],
        kind="order.queued",
        at=entry["occurred_at"],
        execution=None,
        order={key: body[key] for key in shapes.ORDER_KEYS},
    )
    get_bus().publish(
        (Topic.WAKE, {"account_id": account_id, "order_id": str(order_id)}),
        (Topic.ORDERS, message),
    )


def _entry(
    command: OrderCommand,
    order_id: UUID,
    account_id: str,
    environment: str,
    asked: Asked,
    key: str | None,
) -> dict[str, Any]:
    received = clock.rfc3339(asked.received_at)
    client_order_id = command.client_order_id or f"{OWN_PREFIX}{order_id.hex}"
    after = {
        **dict.fromkeys(shapes.STORED_KEYS),
        "id": str(order_id),
        "client_order_id": client_order_id,
        "account_id": account_id,
        "environment": environment,
        "status": lifecycle.QUEUED,
        "final": False,
        "symbol": command.symbol,
        "asset_class": "us_equity",
        "order_class": "simple",
        "type": command.type,
        "side": command.side,
        "qty": shapes.written(command.qty),
        "notional": shapes.written(command.notional),
        **{name: shapes.written(getattr(command, name)) for name in PRICES},
        "time_in_force": command.time_in_force,
        "extended_hours": command.extended_hours,
        "filled_qty": "0",
        # In the order in which the stored entry gives them back: a replay is equal byte for byte.
        "tags": dict(sorted((command.tags or {}).items())),
        "created_at": received,
        "not_after": clock.rfc3339(command.deadline(asked.received_at)),
    }
    return journal.body(
        actor=asked.actor,
        request={**asked.as_json(), "idempotency_key": key},
        occurred_at=received,
        order_id=str(order_id),
        client_order_id=client_order_id,
        symbol=command.symbol,
        tags=after["tags"],
        after=after,
    )


def _private(asked: Asked, key: str | None, fingerprint: str) -> dict[str, Any]:
    return {
        "source": Order.Source.API,
        "subject": asked.subject,
        "principal": dict(asked.principal),
        "idempotency_key": key,
        "fingerprint": fingerprint,
        "checked_ms": clock.milliseconds(asked.received_at, clock.now()),
        "attempts": 0,
        "ambiguous": False,
        "fills_short": False,
    }


def _accept(
    order_id: UUID,
    account_id: str,
    subject: str,
    key: str | None,
    entry: Mapping[str, Any],
    private: Mapping[str, Any],
) -> dict[str, Any]:
    """Call `order_accept`; where the connection broke under it, ask again on another one.

    A repeat finds the order if an earlier call committed (C03), so it cannot store twice.
    """
    params = (
        account_id,
        subject,
        key,
        entry["client_order_id"],
        order_id,
        jsontext.canonical(entry),
        jsontext.canonical(private),
    )
    until = clock.monotonic() + ANSWER_WITHIN
    broke = False
    while True:
        try:
            return _accept_once(params)
        except database.NotReached as error:
            raise _no_database(outcome_unknown=broke) from error
        except (OperationalError, InterfaceError, InternalError) as error:
            # InternalError: the server takes no writes (C23).
            broke = database.is_broken(error)
            database.release()
            if not broke or clock.monotonic() > until:
                raise _no_database(outcome_unknown=broke) from error


def _no_database(*, outcome_unknown: bool) -> Problem:
    if outcome_unknown:
        return Problem(
            Reason.OUTCOME_UNKNOWN, "The database broke off while the order was being stored."
        )
    return Problem(Reason.UNAVAILABLE, "The database does not answer; nothing was stored.")


def _accept_once(params: tuple[Any, ...]) -> dict[str, Any]:
    failpoints.reach("accept-before")
    landed = database.row(
        "SELECT * FROM order_accept(%s, %s, %s, %s, %s, 'order.queued', %s, %s)", params
    )
    if landed is None:
        raise RuntimeError("order_accept returned nothing")
    failpoints.reach("accept-after")
    return landed


def _require_same(landed: Mapping[str, Any], key: str | None, fingerprint: str) -> None:
    order_id = str(landed["order_id"])
    if landed["found_by"] == "client_order_id":
        raise Problem(
            Reason.CLIENT_ORDER_ID_USED,
            "This client_order_id was used in this account by another request.",
        )
    if landed["fingerprint"] != fingerprint:
        raise Problem(
            Reason.IDEMPOTENCY_MISMATCH,
            f"The key {key} was used for another command.",
            order_id=order_id,
        )


@dataclass(frozen=True, slots=True)
class Canceled:
    """A cancel taken: the order as it is now, and whether it certainly never was at the broker."""

    row: dict[str, Any]
    never_sent: bool


def cancel_order(row: Mapping[str, Any], asked: Asked) -> Canceled:
    """Cancel an order that was never sent, or ask the account's desk to cancel it at the broker.

    Asked while it is being sent or looked up, the cancel is kept and done after resolution.
    Raises Problem 409 order-final, 503 account-quarantined and, where the order never held still,
    unavailable.
    """
    cause = Cause(asked.actor, request=asked.as_json())
    try:
        new = executions.change_by(row["id"], _decide_cancel, cause)
    except executions.Contended as error:
        raise Problem(
            Reason.UNAVAILABLE,
            "The order is changing at this moment; nothing was asked.",
            account_id=row["account_id"],
            order_id=str(row["id"]),
        ) from error
    never_sent = new["reason"] == Reason.CANCELED_BEFORE_SEND.slug
    if not new["final"]:
        hint = {"account_id": new["account_id"], "order_id": str(new["id"])}
        get_bus().publish((Topic.WAKE, hint))
    return Canceled(new, never_sent)


# What was never sent goes first: while it waits it can still be kept from the broker.
_TO_CANCEL = "account_id = %s AND NOT final ORDER BY status <> 'queued', created_at, id"


def cancel_all(
    account_id: str, asked: Asked
) -> Iterator[tuple[Mapping[str, Any], Canceled | Problem]]:
    """Cancel every order of an account that is not final, each by itself; what came of each.

    An order is refused alone: one that got final meanwhile keeps no other from being cancelled.
    """
    for row in queries.orders_where(_TO_CANCEL, (account_id,)):
        try:
            yield row, cancel_order(row, asked)
        except Problem as problem:
            yield row, problem


def _decide_cancel(row: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    if row["final"]:
        raise Problem(
            Reason.ORDER_FINAL,
            f"The order is {row['status']} and changes no more.",
            account_id=row["account_id"],
            order_id=str(row["id"]),
        )
    if row["status"] == lifecycle.QUEUED:
        return executions.end_unsent(row)
    if row["cancel_requested_at"] is not None:
        return None
    if (refusal := get_admission().key_refusal(row["account_id"])) is not None:
        raise refusal
    patch: dict[str, Any] = {"cancel_requested_at": clock.now()}
    if row["status"] not in lifecycle.OURS:
        patch["status"] = "pending_cancel"
    return "order.cancel_requested", patch
