"""What the broker says of an account's orders, written into our books.

It comes as stream updates and as answers to our reads. An order that was placed elsewhere, or that
a restored database has lost, is mirrored: shown and followed like any other, never corrected by a
trade (C34).
"""

import dataclasses
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

import structlog

from accounts import journal
from accounts.pool import PooledAccount
from opitios.broker.alpaca.wire import TradeUpdate
from opitios.broker.port import Answer
from opitios.core import clock, failpoints
from trading import executions, lifecycle, queries, shapes
from trading.executions import Cause, Row, facts_of
from trading.lifecycle import Execution, Report
from trading.remembered import recall

logger = structlog.get_logger("app")

FILL_EVENTS = frozenset({"fill", "partial_fill"})
# The broker takes a fill back, or changes it: a new row that says so (design.md §4).
CORRECTING_EVENTS = {"trade_bust": "bust", "trade_correct": "correct"}

# What an external order's row takes over from the broker's, word for word.
_TEXTS = (
    "symbol", "asset_class", "order_class", "type", "side", "time_in_force", "position_intent",
)  # fmt: skip
_NUMBERS = (
    "qty", "notional", "limit_price", "stop_price", "trail_price", "trail_percent",
    "filled_avg_price",
)  # fmt: skip


def take_update(account: PooledAccount, update: TradeUpdate) -> Row:
    """Write one stream update. Raises executions.Contended."""
    told = Report(order=update.order, event=update.event, execution=execution_of(update))
    facts = {
        "http_status": None,
        "request_id": None,
        "event_id": update.event_id,
        "raw_sha256": update.raw_sha256,
    }
    return _take(account, told, Cause(journal.system("desk"), update.at, facts))


def take_answer(account: PooledAccount, answer: Answer, note: str, *, role: str = "desk") -> Row:
    """Write what one order is, as a read of ours was answered. Raises executions.Contended.

    role: what the journal calls the process that read it.
    """
    failpoints.reach("read-before-save")
    at = answer.body.get("updated_at")
    cause = Cause(journal.system(role), at, facts_of(answer), note=note)
    return _take(account, Report(order=answer.body), cause)


def _take(account: PooledAccount, told: Report, cause: Cause) -> Row:
    account_id, coid = account.account_id, str(told.order["client_order_id"])
    row = recall(account_id, coid) or queries.find_by_client_order_id(account_id, coid)
    if row is None:
        row = _mirror(account, told, cause)
    actor = dataclasses.replace(cause.actor, on_behalf_of=row["principal"])
    return executions.report(row["id"], told, dataclasses.replace(cause, actor=actor), seen=row)


def _mirror(account: PooledAccount, told: Report, cause: Cause) -> Row:
    order = told.order
    logger.info("an order placed elsewhere", account_id=account.account_id, broker_id=order["id"])
    status = str(order["status"])
    after = {
        **dict.fromkeys(shapes.STORED_KEYS),
        **{name: order.get(name) or "" for name in _TEXTS},
        **{name: order.get(name) for name in (*_NUMBERS, *lifecycle.BROKER_TIMES)},
        "client_order_id": str(order["client_order_id"]),
        "broker_order_id": str(order["id"]),
        "account_id": account.account_id,
        "environment": account.environment,
        "status": status,
        "final": lifecycle.is_final(status),
        "order_class": order.get("order_class") or "simple",
        "position_intent": order.get("position_intent"),
        "extended_hours": bool(order.get("extended_hours")),
        "filled_qty": shapes.written(Decimal(order.get("filled_qty") or 0)),
        "legs": order.get("legs"),
        "tags": {},
        "created_at": clock.rfc3339(_instant(order.get("created_at"))),
    }
    return executions.mirror(after, lifecycle.event_of(status), cause)


def _instant(text: str | None) -> datetime:
    """Read the broker's time for our own column: nine digits of a second are cut to six."""
    try:
        return datetime.fromisoformat(str(text)[:26].rstrip("Z")).replace(tzinfo=UTC)
    except ValueError:
        return clock.now()


def execution_of(update: TradeUpdate) -> Execution | None:
    """Take the execution out of a fill's message; None for other events or unreadable numbers."""
    source = CORRECTING_EVENTS.get(update.event)
    facts = (update.execution_id, update.qty, update.price)
    if (update.event not in FILL_EVENTS and source is None) or None in facts:
        return None
    try:
        qty = Decimal(str(update.qty))
        return Execution(
            execution_id=str(update.execution_id),
            # A bust takes its quantity back.
            qty=-abs(qty) if source == "bust" else qty,
            price=Decimal(str(update.price)),
            at=update.at or clock.rfc3339(clock.now()),
            position_qty=None if update.position_qty is None else Decimal(update.position_qty),
            source=source or "stream",
        )
    except InvalidOperation:
        logger.exception("a fill without readable numbers", raw_sha256=update.raw_sha256)
        return None
