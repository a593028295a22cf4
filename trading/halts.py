"""Halts: nothing new is sent, of everything, of an account, or of a symbol; cancels always pass.

A halt is a row that every claim reads (order_claim), so that after it is confirmed none commits.
Who halts an account appends to its journal, whose head a claim holds; who halts more than one takes
the lock that all claims share. Under `reduce_only` an order may go that makes a position smaller,
which its desk finds out before it claims it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import transaction

from accounts import custody, journal
from accounts.journal import Actor
from accounts.listing import held_list
from accounts.models import SYSTEM_JOURNAL, Halt
from accounts.pool import PooledAccount
from opitios.broker.errors import NotFound
from opitios.core import clock, database, ids
from opitios.core.bus import Topic, get_bus
from opitios.core.errors import Reason
from trading import executions
from trading.executions import Cause, Row
from trading.risk import Exposure, reduces

REASONS: Mapping[str, Reason] = {
    Halt.Mode.HALT: Reason.HALTED,
    Halt.Mode.REDUCE_ONLY: Reason.REDUCE_ONLY,
}

# A stock symbol or an OCC option symbol.
SYMBOL = re.compile(r"[A-Z0-9][A-Z0-9./]{0,20}")

# Orders that are being sent, named in the answer; a process has far fewer senders than these.
IN_FLIGHT_SHOWN = 500

# A claim in progress ends within a lock's wait; this one waits for it, within a statement's time.
_PATIENCE = "SET LOCAL lock_timeout = '1800ms'"
_LOCK = "SELECT pg_advisory_xact_lock(hashtext('opitios halts'))"


@dataclass(frozen=True, slots=True)
class Target:
    """What is halted: neither (everything), an account, a symbol of an account, or of all."""

    account_id: str | None = None
    symbol: str | None = None

    @property
    def scope(self) -> str:
        """The word for it."""
        if self.symbol is not None:
            return str(Halt.Scope.SYMBOL)
        return str(Halt.Scope.GLOBAL if self.account_id is None else Halt.Scope.ACCOUNT)


@dataclass(frozen=True, slots=True)
class HaltSet:
    """A halt that stands: its row, and whether it did not stand before."""

    row: Row
    is_new: bool


_SET = """
INSERT INTO accounts_halt AS h (id, scope, account_id, symbol, mode, cancel_before, reason,
    actor_kind, actor, set_at)
VALUES (%(id)s, %(scope)s, %(account_id)s, %(symbol)s, %(mode)s,
    CASE WHEN %(cancel)s THEN clock_timestamp() END, %(reason)s, %(kind)s, %(actor)s,
    clock_timestamp())
ON CONFLICT (scope, account_id, symbol, mode, actor_kind, actor) WHERE lifted_at IS NULL
DO UPDATE SET cancel_before = coalesce(excluded.cancel_before, h.cancel_before)
RETURNING *
"""


def set_halt(
    target: Target,
    *,
    mode: str,
    actor: Actor,
    reason: str,
    cancel_orders: bool = False,
    request: Mapping[str, Any] | None = None,
) -> HaltSet:
    """Halt something; on return no claim of what is under it commits any more.

    The same again, by the same actor, gives the halt that stands; with `cancel_orders` what was
    open until then is cancelled too. 1. Of more than one account: wait for every claim in progress.
    2. Write the row. 3. Append the entry, to the account's journal (which waits for its claims), or
    to the system's. 4. After the commit hint the desks: they deny what waits and ask for cancels.
    Raises custody.Refused, OperationalError where claims did not end in time.
    """
    said = custody.reason_of(reason)
    if target.symbol is not None and not SYMBOL.fullmatch(target.symbol):
        raise custody.Refused(f"{target.symbol!r} is no symbol such as AAPL")
    about = {
        "id": ids.new_id(), "scope": target.scope, "account_id": target.account_id,
        "symbol": target.symbol, "mode": str(Halt.Mode(mode)), "cancel": cancel_orders,
        "reason": said, "kind": actor.kind, "actor": actor.name,
    }  # fmt: skip
    with transaction.atomic():
        database.rows(_PATIENCE)
        if target.account_id is None:
            database.rows(_LOCK)
        row = _one(_SET, about)
        halted = HaltSet(row, is_new=row["id"] == about["id"])
        if halted.is_new or cancel_orders:
            _append(row, "set", actor, said, request)
        elif target.account_id is not None:
            # Nothing to say; who asks again is sure again that no claim is in progress.
            database.rows("SELECT journal_lock(%s)", (target.account_id,))
    get_bus().publish((Topic.HALT, {"halt_id": str(row["id"])}))
    return halted


_LIFT = """
UPDATE accounts_halt SET lifted_at = clock_timestamp(), lifted_by = %s, lifted_reason = %s
WHERE id = %s AND lifted_at IS NULL RETURNING *
"""


def lift(
    halt_id: UUID, *, actor: Actor, reason: str | None, request: Mapping[str, Any] | None = None
) -> Row:
    """Lift a halt; its row as it is then. One that was lifted before stays as it was.

    What was denied under it stays denied. Raises custody.Refused.
    """
    said = None if reason is None else custody.reason_of(reason)
    with transaction.atomic():
        row = database.row(_LIFT, (actor.name, said, halt_id))
        if row is not None:
            _append(row, "lifted", actor, said, request)
    found = row or find(halt_id)
    if found is None:
        raise custody.Refused(f"there is no halt {halt_id}")
    return found


# The entry's kind, by what was done and whether an account's trader may read it.
_KINDS = {
    ("set", True): "account.halted",
    ("lifted", True): "account.halt_lifted",
    ("set", False): "halt.set",
    ("lifted", False): "halt.lifted",
}


def _append(
    row: Row, done: str, actor: Actor, reason: str | None, request: Mapping[str, Any] | None
) -> None:
    account_id = row["account_id"]
    entry = journal.body(
        actor=actor, request=request, symbol=row["symbol"], reason=reason, after=halt_json(row)
    )
    journal.append(account_id or SYSTEM_JOURNAL, _KINDS[done, account_id is not None], entry)


def _one(sql: str, params: Mapping[str, Any]) -> Row:
    row = database.row(sql, params)
    if row is None:
        raise RuntimeError("a statement that returns a row returned none")
    return row


def find(halt_id: UUID) -> Row | None:
    """Read one halt."""
    return database.row("SELECT * FROM accounts_halt WHERE id = %s", (halt_id,))


_LIST = """
SELECT * FROM accounts_halt
WHERE (account_id IS NULL OR %(held)s::text[] IS NULL OR account_id = ANY(%(held)s))
    AND (%(standing)s::boolean IS NULL OR (lifted_at IS NULL) = %(standing)s)
    AND (%(before)s::uuid IS NULL OR id < %(before)s)
ORDER BY id DESC LIMIT %(limit)s
"""


def list_halts(
    held: frozenset[str] | None, *, standing: bool | None, limit: int, before: UUID | None = None
) -> list[Row]:
    """Read the halts that concern these accounts (None: all), the newest first.

    standing: only those that stand, or only those that were lifted; None: both.
    """
    asked = {"held": held_list(held), "standing": standing, "before": before, "limit": limit}
    return database.rows(_LIST, asked)


_IN_FLIGHT = """
SELECT account_id, id, client_order_id, symbol, side, qty, notional, updated_at FROM trading_order
WHERE status = 'submitting' AND (%(account_id)s::text IS NULL OR account_id = %(account_id)s)
    AND (%(symbol)s::text IS NULL OR symbol = %(symbol)s)
ORDER BY updated_at LIMIT %(limit)s
"""


def in_flight(halt: Row) -> list[dict[str, Any]]:
    """Read what was claimed before the halt and has no answer yet: it may reach the broker."""
    asked = {"account_id": halt["account_id"], "symbol": halt["symbol"], "limit": IN_FLIGHT_SHOWN}
    return [
        {
            "account_id": row["account_id"],
            "order_id": str(row["id"]),
            "client_order_id": row["client_order_id"],
            "symbol": row["symbol"],
            "side": row["side"],
            "claimed_at": clock.rfc3339(row["updated_at"]),
        }
        for row in database.rows(_IN_FLIGHT, asked)
    ]


def halt_json(row: Mapping[str, Any]) -> dict[str, Any]:
    """Write a halt as the API, the command and the journal show it."""
    return {
        "id": str(row["id"]),
        "scope": row["scope"],
        "account_id": row["account_id"],
        "symbol": row["symbol"],
        "mode": row["mode"],
        "cancel_orders": row["cancel_before"] is not None,
        "reason": row["reason"],
        "set_by": row["actor"],
        "set_at": clock.rfc3339(row["set_at"]),
        "lifted_by": row["lifted_by"],
        "lifted_at": None if row["lifted_at"] is None else clock.rfc3339(row["lifted_at"]),
        "lifted_reason": row["lifted_reason"],
    }


# What a desk does about them


def deny(row: Row, mode: str, *, role: str = "desk") -> Row:
    """End a queued order that a halt of this mode keeps back; as it is then, if it moved."""
    cause = Cause(journal.system(role, row["principal"]), note=f"under a halt: {mode}")
    reason = REASONS[mode]
    return executions.change_by(row["id"], lambda now: executions.deny_unsent(now, reason), cause)


# So old may the position be by which an order is found to reduce it (design.md §4).
_EXPOSED = """
SELECT clock_timestamp() + interval '2 seconds' AS until,
    coalesce(sum(o.qty - o.filled_qty), 0) AS closing,
    count(o.id) FILTER (WHERE o.qty IS NULL) AS untold
FROM (SELECT 1) one LEFT JOIN trading_order o ON o.account_id = %(account_id)s AND NOT o.final
    AND o.status <> 'queued' AND o.symbol = %(symbol)s AND o.side = %(side)s AND o.id <> %(id)s
"""


def reducing_until(row: Row, account: PooledAccount) -> datetime | None:
    """Find out whether an order reduces a position: until when that holds; None: it does not.

    1. What is open at the broker on its side: what fills of it later makes the position smaller by
    as much, so that read first it is never too little. 2. The position, from the broker.
    Raises BrokerError.
    """
    found = _one(_EXPOSED, {name: row[name] for name in ("account_id", "symbol", "side", "id")})
    database.release()
    try:
        told = account.trading.position(row["symbol"]).body
    except NotFound:
        return None
    closing = None if found["untold"] else found["closing"]
    exposure = Exposure(_signed(told), closing)
    until: datetime = found["until"]
    return until if reduces(row["side"], row["qty"], exposure) else None


def _signed(position: Mapping[str, Any]) -> Decimal:
    quantity = abs(Decimal(position["qty"]))
    return -quantity if position.get("side") == "short" else quantity
