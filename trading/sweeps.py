"""What is done again and again until it holds: late orders lapse, forsaken ones are doubted.

Each function is one step and says what it found; the loops of desk and worker call them.
"""

from collections.abc import Mapping
from typing import Any

from accounts import journal
from accounts.models import Halt
from opitios.core.errors import Reason
from trading import executions, halts, lifecycle, queries
from trading.executions import Cause, Row

# Orders ended or doubted in one round for accounts that no desk holds.
FORSAKEN_AT_ONCE = 200

_NO_DESK = (
    "NOT EXISTS (SELECT 1 FROM accounts_lease l WHERE l.account_id = trading_order.account_id"
    " AND l.expires_at > clock_timestamp())"
)


def lapse_late(account_ids: list[str]) -> int:
    """End queued orders whose deadline passed: a stale order is never sent late (G3)."""
    return _lapse("account_id = ANY(%s)", (account_ids,), "desk")


def lapse_forsaken() -> int:
    """The same for accounts that no desk holds: their clients, too, are told in time."""
    return _lapse(f"{_NO_DESK} LIMIT {FORSAKEN_AT_ONCE}", (), "worker")


def _lapse(condition: str, params: tuple[Any, ...], role: str) -> int:
    late = queries.orders_where(
        f"status = 'queued' AND not_after <= clock_timestamp() AND {condition}", params
    )
    for row in late:
        cause = Cause(journal.system(role, row["principal"]))
        executions.change_by(row["id"], _decide_lapse, cause)
    return len(late)


def _decide_lapse(row: Row) -> tuple[str, Mapping[str, Any]] | None:
    if row["status"] != lifecycle.QUEUED:
        return None
    reason = Reason.NOT_AT_BROKER if row["ambiguous"] else Reason.DEADLINE_BEFORE_SEND
    return "order.lapsed", {"status": lifecycle.LAPSED, "final": True, "reason": reason.slug}


# Few accounts are suspended, or left the roster a moment ago: begin with them.
_SUSPENDED = (
    "status = 'queued' AND account_id IN (SELECT account_id FROM accounts_account"
    " WHERE (suspended_at IS NOT NULL OR closing)"
)


def deny_suspended(account_ids: list[str]) -> int:
    """End what waits in suspended accounts: nothing of it is sent when they are resumed."""
    return _deny(f"{_SUSPENDED} AND account_id = ANY(%s))", (account_ids,), "desk")


def deny_suspended_forsaken() -> int:
    """The same for accounts that no desk holds."""
    return _deny(f"{_SUSPENDED}) AND {_NO_DESK} LIMIT {FORSAKEN_AT_ONCE}", (), "worker")


def _deny(condition: str, params: tuple[Any, ...], role: str) -> int:
    waiting = queries.orders_where(condition, params)
    for row in waiting:
        cause = Cause(journal.system(role, row["principal"]), note="its account is suspended")
        executions.change_by(row["id"], _decide_denial, cause)
    return len(waiting)


def _decide_denial(row: Row) -> tuple[str, Mapping[str, Any]] | None:
    return executions.deny_unsent(row, Reason.SUSPENDED_BEFORE_SEND)


# Of one round: the senders deny as many at the same time, and the loop that sweeps has other work.
HALTED_AT_ONCE = 100

# Without a halt nothing is looked at.
_HALTED = (
    "EXISTS (SELECT 1 FROM accounts_halt WHERE lifted_at IS NULL) AND status = 'queued'"
    " AND EXISTS (SELECT 1 FROM accounts_halt h WHERE h.lifted_at IS NULL AND h.mode = 'halt'"
    " AND (h.account_id IS NULL OR h.account_id = trading_order.account_id)"
    " AND (h.symbol IS NULL OR h.symbol = trading_order.symbol))"
)


def deny_halted(account_ids: list[str]) -> int:
    """End what waits under a halt: nothing of it is sent when it is lifted."""
    return _deny_halted(f"{_HALTED} AND account_id = ANY(%s)", (account_ids,), "desk")


def deny_halted_forsaken() -> int:
    """The same for accounts that no desk holds."""
    return _deny_halted(f"{_HALTED} AND {_NO_DESK}", (), "worker")


def _deny_halted(condition: str, params: tuple[Any, ...], role: str) -> int:
    waiting = queries.orders_where(
        f"{condition} ORDER BY created_at, id LIMIT {HALTED_AT_ONCE}", params
    )
    for row in waiting:
        halts.deny(row, Halt.Mode.HALT, role=role)
    return len(waiting)


_TO_CANCEL = (
    "EXISTS (SELECT 1 FROM accounts_halt WHERE lifted_at IS NULL AND cancel_before IS NOT NULL)"
    " AND NOT final AND status <> 'queued' AND cancel_requested_at IS NULL"
    " AND account_id = ANY(%s) AND EXISTS (SELECT 1 FROM accounts_halt h"
    " WHERE h.lifted_at IS NULL AND h.cancel_before >= trading_order.created_at"
    " AND (h.account_id IS NULL OR h.account_id = trading_order.account_id)"
    " AND (h.symbol IS NULL OR h.symbol = trading_order.symbol))"
    " ORDER BY created_at, id LIMIT %s"
)


def cancel_halted(account_ids: list[str]) -> int:
    """Ask for the cancels that a halt asks for: of what was open when it was set."""
    rows = queries.orders_where(_TO_CANCEL, (account_ids, HALTED_AT_ONCE))
    for row in rows:
        cause = Cause(journal.system("desk", row["principal"]), note="a halt cancels what is open")
        executions.change_by(row["id"], _decide_cancel, cause)
    return len(rows)


def _decide_cancel(row: Row) -> tuple[str, Mapping[str, Any]] | None:
    if row["final"] or row["cancel_requested_at"] is not None:
        return None
    if row["status"] == lifecycle.QUEUED:
        return None
    return executions.ask_cancel(row)


def doubt_orphans(rows: list[Row], *, role: str = "desk") -> int:
    """Orders claimed by a desk that is gone may have been sent: they become unknown (C04–C07)."""
    for row in rows:
        actor = journal.system(role, row["principal"])
        cause = Cause(actor, note="its desk ended while sending it")
        executions.change_by(row["id"], _decide_doubt, cause)
    return len(rows)


def doubt_forsaken(*, after_seconds: float) -> int:
    """The same for accounts that no desk has taken over for so long: no send lasts longer."""
    rows = queries.orders_where(
        "status = 'submitting' AND updated_at < clock_timestamp() - %s * interval '1 second'"
        f" AND {_NO_DESK} LIMIT {FORSAKEN_AT_ONCE}",
        (after_seconds,),
    )
    return doubt_orphans(rows, role="worker")


def _decide_doubt(row: Row) -> tuple[str, Mapping[str, Any]] | None:
    if row["status"] != lifecycle.SUBMITTING:
        return None
    return "order.unknown", {"status": lifecycle.UNKNOWN, "ambiguous": True}
