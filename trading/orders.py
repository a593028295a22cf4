"""Acceptance: the only door by which an order comes in (law 1).

One transaction, one round trip: the SQL function `order_accept` looks for an earlier order of the
same key, appends the journal entry and stores the row. What is stored here is durable and waits for
the account's desk; nothing in this file talks to the broker.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from django.db import InterfaceError, InternalError, OperationalError, connection

from accounts import journal
from accounts.journal import Actor
from marketdata.reference import reference_price
from opitios.core import clock, database, failpoints, ids, jsontext
from opitios.core.bus import Topic, get_bus
from opitios.core.combine import Combined
from opitios.core.errors import Problem, Reason
from trading import executions, lifecycle, queries, risk, shapes, writes
from trading.admission import get_admission
from trading.commands import OWN_PREFIX, PRICES, OrderCommand, passed_deadline
from trading.executions import Cause
from trading.lifecycle import text_of
from trading.limits import Held, get_limits
from trading.models import Order
from trading.risk import NO_LIMITS, Denial, RiskLimits

# Seconds: with Postgres gone the caller hears so within one.
ANSWER_WITHIN = 0.4
# While one transaction with orders flushes, the next is prepared.
AT_ONCE = 2
# Limits that change again and again while an order is judged: the caller may come again.
JUDGED_AT_MOST = 4


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asks, and how: what the journal keeps of the request.

    principal: sub, act, jti, permissions, ip. body_sha256 is of the bytes as received.
    orders_per_day: what the token allows its subject, in all accounts together; None: no limit.
    """

    subject: str
    principal: Mapping[str, Any]
    request_id: str
    received_at: datetime
    idempotency_key: str | None = None
    body_sha256: str | None = None
    method: str = "POST"
    path: str = ""
    orders_per_day: int | None = None

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
    """A stored order: the 202's body, and whether an earlier request stored it.

    denied: why risk or a halt refused it; the body is this problem's, the 422's.
    """

    order_id: UUID
    body: dict[str, Any]
    replayed: bool
    denied: Problem | None = None


def place_order(
    command: OrderCommand, *, account_id: str, environment: str, asked: Asked
) -> Accepted:
    """Store one order, or find the one the same key stored before.

    1. Refuse what could not be sent in time, unless the key has its order already.
    2. Judge it by the account's limits as this process knows them (trading/risk.py).
    3. `order_accept`: store entry and row, or return the entry of the earlier order. It looks for
       halts and counts; where it finds that the limits are others by now, judge anew.
    4. What may not come is stored as `denied`, and never sent.
    5. After the commit, wake the account's desk: a hint, the desk also polls.
    Raises Problem: 409 client-order-id-used, 422 idempotency-mismatch, 422 invalid-order where its
    deadline has passed, 429 would-lapse, 503 broker-unavailable and account-quarantined, 503 where
    the database cannot say.
    """
    _require_admission(command, account_id, asked)
    placing = _Placing(command, ids.new_id(), account_id, environment, asked)
    landed = _judged(placing)
    if landed["order_id"] != placing.order_id:
        _require_same(landed, placing.key, placing.fingerprint)
    accepted = _accepted(landed, replayed=landed["order_id"] != placing.order_id)
    if not accepted.replayed:
        _tell(placing, landed, accepted)
    return accepted


@dataclass(frozen=True, slots=True)
class _Placing:
    """One command on its way into the database."""

    command: OrderCommand
    order_id: UUID
    account_id: str
    environment: str
    asked: Asked

    @property
    def key(self) -> str | None:
        return self.asked.idempotency_key or self.command.client_order_id

    @property
    def fingerprint(self) -> str:
        asked = self.asked
        return self.command.fingerprint(method=asked.method, path=asked.path, subject=asked.subject)


def _judged(placing: _Placing) -> dict[str, Any]:
    """Judge and store: what landed, an earlier order's entry or this one's, queued or denied."""
    kept = get_limits()
    held = kept.of(placing.account_id)
    for _ in range(JUDGED_AT_MOST):
        denial = _breach(placing.command, held.limits)
        landed = _accept(placing, denial, held)
        if landed["denial"] is None:
            return landed
        found = orjson.loads(landed["denial"])
        if found["reason"] != "limits":
            return _accept(placing, risk.denial_of(found), None)
        held = kept.read(placing.account_id)
    raise Problem(Reason.UNAVAILABLE, "The account's limits are changing at this moment.")


def _breach(command: OrderCommand, limits: RiskLimits) -> Denial | None:
    if limits is NO_LIMITS:
        return None
    denial = risk.breach(limits, command, None)
    if denial is None or denial.reason is not Reason.NO_REFERENCE_PRICE:
        return denial
    database.release()
    return risk.breach(limits, command, reference_price(command.symbol))


def _accepted(landed: Mapping[str, Any], *, replayed: bool) -> Accepted:
    """Make the answer from the accepting entry alone."""
    entry = landed["entry"]
    if entry["after"]["status"] == lifecycle.DENIED:
        denied = shapes.denial(entry)
        # With the first request's id: a replay is equal byte for byte.
        body = denied.body(entry["request"]["request_id"])
        return Accepted(landed["order_id"], body, replayed=replayed, denied=denied)
    body = shapes.accepted_json(entry, seq=landed["seq"], recorded_at=landed["recorded_at"])
    return Accepted(landed["order_id"], body, replayed=replayed)


def _require_admission(command: OrderCommand, account_id: str, asked: Asked) -> None:
    received = asked.received_at
    refusal = passed_deadline(command, received) or get_admission().refusal(
        account_id, command.deadline(received), received
    )
    if refusal is None:
        return
    key = asked.idempotency_key or command.client_order_id
    named = {"key": key, "client_order_id": command.client_order_id}
    # A replay gets the answer it got before: its order is stored, whatever the broker does now.
    if not queries.is_stored(account_id, subject=asked.subject, **named):
        raise refusal


def _tell(placing: _Placing, landed: Mapping[str, Any], accepted: Accepted) -> None:
    """Tell subscribers of a new order, and its desk where there is one to send."""
    entry, seq = landed["entry"], landed["seq"]
    order = accepted.body
    if accepted.denied is not None:
        order = shapes.accepted_json(entry, seq=seq, recorded_at=landed["recorded_at"])
    status, account_id = entry["after"]["status"], placing.account_id
    message = shapes.order_message(
        account_id=account_id,
        seq=seq,
        kind=f"order.{status}",
        at=entry["occurred_at"],
        execution=None,
        order={key: order[key] for key in shapes.ORDER_KEYS},
    )
    hints: list[tuple[Topic, Mapping[str, Any]]] = [(Topic.ORDERS, message)]
    if status == lifecycle.QUEUED:
        get_admission().count(account_id, landed["recorded_at"])
        wake = {"account_id": account_id, "order_id": str(placing.order_id)}
        hints.insert(0, (Topic.WAKE, wake))
    get_bus().tell(*hints)


def _entry(placing: _Placing, denial: Denial | None) -> dict[str, Any]:
    command, asked, order_id = placing.command, placing.asked, placing.order_id
    received = clock.rfc3339(asked.received_at)
    client_order_id = command.client_order_id or f"{OWN_PREFIX}{order_id.hex}"
    after = {
        **dict.fromkeys(shapes.STORED_KEYS),
        "id": str(order_id),
        "client_order_id": client_order_id,
        "account_id": placing.account_id,
        "environment": placing.environment,
        "status": lifecycle.QUEUED if denial is None else lifecycle.DENIED,
        "final": denial is not None,
        "reason": None if denial is None else denial.reason.slug,
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
        request={**asked.as_json(), "idempotency_key": placing.key},
        occurred_at=received,
        reason=after["reason"],
        note=None if denial is None else denial.detail,
        order_id=str(order_id),
        client_order_id=client_order_id,
        symbol=command.symbol,
        tags=after["tags"],
        after=after,
    )


def _private(placing: _Placing) -> dict[str, Any]:
    asked = placing.asked
    return {
        "source": Order.Source.API,
        "subject": asked.subject,
        "principal": dict(asked.principal),
        "idempotency_key": placing.key,
        "fingerprint": placing.fingerprint,
        "checked_ms": clock.milliseconds(asked.received_at, clock.now()),
        "attempts": 0,
        "ambiguous": False,
        "fills_short": False,
    }


def _accept(placing: _Placing, denial: Denial | None, held: Held | None) -> dict[str, Any]:
    """Call `order_accept`; where the connection broke under it, ask again on another one.

    A repeat finds the order if an earlier call committed (C03), so it cannot store twice. `held`:
    the limits it was judged by, which must be those of now; None where that is not asked any more.
    What landed has `entry`, the accepting one.
    """
    entry = _entry(placing, denial)
    params = (
        placing.account_id,
        placing.asked.subject,
        placing.key,
        entry["client_order_id"],
        placing.order_id,
        f"order.{entry['after']['status']}",
        jsontext.canonical(entry),
        jsontext.canonical(_private(placing)),
        # What is denied already is not asked for halts, nor counted.
        placing.command.symbol if denial is None else None,
        None if held is None else held.stamp,
        None if denial or held is None else _counted(placing, held.limits),
    )
    landed = _accept_again(params)
    told = orjson.loads(landed["body"]) if landed["body"] else entry
    return {**landed, "entry": told}


def _counted(placing: _Placing, limits: RiskLimits) -> str | None:
    """What of an order is compared with earlier ones, and the limits on that; None: nothing."""
    command, per_day = placing.command, placing.asked.orders_per_day
    if per_day is None and not limits.counts:
        return None
    sizes = {name: text_of(getattr(command, name)) for name in ("qty", "notional", *PRICES)}
    return jsontext.canonical(
        {
            **sizes,
            "side": command.side,
            "duplicate_seconds": limits.duplicate_seconds,
            "per_minute": limits.orders_per_minute,
            "per_day": limits.orders_per_day,
            "subject_per_day": per_day,
        }
    )


def _accept_again(params: tuple[Any, ...]) -> dict[str, Any]:
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
    # What is counted locks more than its account's head: no neighbour waits for that.
    alone = params[-1] is not None or connection.in_atomic_block
    landed = _accept_alone(params) if alone else _combined(params)
    failpoints.reach("accept-after")
    return landed


def _accept_alone(params: tuple[Any, ...]) -> dict[str, Any]:
    landed = database.row(
        "SELECT * FROM order_accept(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)", params
    )
    if landed is None:
        raise RuntimeError("order_accept returned nothing")
    return landed


_NAMES = (
    "account", "subject", "key", "client_order_id", "id", "kind", "body", "private", "symbol",
    "stamp",
)  # fmt: skip


def _accept_each(several: Sequence[tuple[Any, ...]]) -> list[dict[str, Any]]:
    if len(several) == 1:
        return [_accept_alone(several[0])]
    told = [dict(zip(_NAMES, params, strict=False)) for params in several]
    return database.rows(
        "SELECT * FROM order_accept_each(%s) ORDER BY n", (jsontext.dumps(told).decode(),)
    )


_combined = Combined(_accept_each, most=writes.MOST, at_once=AT_ONCE, divides=writes.did_nothing)


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
        get_bus().tell((Topic.WAKE, hint))
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
    return executions.ask_cancel(row)
