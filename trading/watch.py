"""What an account's owner watches: its key, its balances, and its `trade_updates` stream.

What is seen lands in the account's state row, which every other process reads (design.md §5).
"""

import dataclasses
from decimal import Decimal, InvalidOperation
from typing import Any

import structlog

from accounts import journal
from accounts.models import AccountState
from accounts.pool import PooledAccount
from opitios.broker.alpaca.wire import TradeUpdate, Unreadable, decode_trade_update
from opitios.broker.errors import AccessDenied, BrokerError
from opitios.core import clock
from trading import executions, queries
from trading.executions import Cause
from trading.lifecycle import Execution, Report

logger = structlog.get_logger("app")

FILL_EVENTS = frozenset({"fill", "partial_fill"})


def check_account(account: PooledAccount) -> str:
    """Read the account at the broker and store what was seen; returns the account's state."""
    try:
        answer = account.trading.account()
    except AccessDenied:
        mark_suspect(account.account_id, "the broker answered 401 to the account check")
        return AccountState.State.SUSPECT
    except BrokerError as error:
        # The key is not in doubt: the last good picture stays, with its age.
        logger.warning("account check failed", account_id=account.account_id, why=error.outcome)
        return AccountState.State.WARMING
    _store(
        account.account_id,
        AccountState.State.READY,
        None,
        checked_at=clock.now(),
        check_ms=round(answer.ms, 3),
        broker_account=answer.body,
        budget=None if answer.rate is None else dataclasses.asdict(answer.rate),
    )
    return AccountState.State.READY


def mark_suspect(account_id: str, why: str) -> None:
    """The broker refused this account's key once."""
    _store(account_id, AccountState.State.SUSPECT, why)


def _store(account_id: str, state: str, reason: str | None, **seen: Any) -> None:
    rows = AccountState.objects.filter(account_id=account_id)
    rows.exclude(state=state).update(state=state, state_reason=reason, state_since=clock.now())
    if seen:
        rows.update(**seen)


def note_stream(account_id: str, state: str) -> None:
    """Store the state of an account's stream."""
    AccountState.objects.filter(account_id=account_id).update(stream_state=state)


def note_reconciled(account_id: str) -> None:
    """Store that the broker's books were compared with ours just now."""
    AccountState.objects.filter(account_id=account_id).update(reconciled_at=clock.now())


def handle_message(account_id: str, raw: bytes) -> None:
    """Take one raw message of an account's stream: write an order's update, log what is odd."""
    message = decode_trade_update(raw)
    if isinstance(message, TradeUpdate):
        handle_update(account_id, message)
    elif isinstance(message, Unreadable):
        logger.error(
            "unreadable stream message",
            account_id=account_id,
            why=message.reason,
            raw_sha256=message.raw_sha256,
        )


def handle_update(account_id: str, update: TradeUpdate) -> None:
    """Write what the stream said of one of our orders; orders placed elsewhere are not ours."""
    row = queries.find_by_client_order_id(account_id, str(update.order.get("client_order_id")))
    if row is None:
        logger.info("an order that is not ours", account_id=account_id, event_word=update.event)
        return
    cause = Cause(
        journal.system("desk", row["principal"]),
        occurred_at=update.at,
        broker={
            "http_status": None,
            "request_id": None,
            "event_id": update.event_id,
            "raw_sha256": update.raw_sha256,
        },
    )
    told = Report(order=update.order, event=update.event, execution=execution_of(update))
    executions.report(row["id"], told, cause)


def execution_of(update: TradeUpdate) -> Execution | None:
    """Take the execution out of a fill's message; None for other events or unreadable numbers."""
    facts = (update.execution_id, update.qty, update.price)
    if update.event not in FILL_EVENTS or None in facts:
        return None
    try:
        return Execution(
            execution_id=str(update.execution_id),
            qty=Decimal(str(update.qty)),
            price=Decimal(str(update.price)),
            at=update.at or clock.rfc3339(clock.now()),
            position_qty=None if update.position_qty is None else Decimal(update.position_qty),
            source="stream",
        )
    except InvalidOperation:
        logger.exception("a fill without readable numbers", raw_sha256=update.raw_sha256)
        return None
