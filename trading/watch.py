"""What an account's owner watches: its key, its balances, and its `trade_updates` stream.

What is seen lands in the account's state row, which every other process reads (design.md §5).
"""

import dataclasses
from datetime import datetime
from typing import Any

import orjson
import structlog

from accounts.models import AccountState
from accounts.pool import PooledAccount
from opitios.broker.alpaca.wire import TradeUpdate, Unreadable, decode_trade_update
from opitios.broker.errors import AccessDenied, BrokerError
from opitios.core import clock, failpoints, jsontext
from trading import reports

logger = structlog.get_logger("app")


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
        # Numbers with a fraction become texts, which the column can keep.
        broker_account=orjson.loads(jsontext.dumps(answer.body)),
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


def reconciled_at(account_id: str) -> datetime | None:
    """When the broker's books were last compared with ours; None: never."""
    found = AccountState.objects.filter(account_id=account_id).values_list("reconciled_at")
    return found[0][0] if found else None


def handle_message(account: PooledAccount, raw: bytes) -> None:
    """Take one raw message of an account's stream: write an order's update, log what is odd."""
    message = decode_trade_update(raw)
    if isinstance(message, TradeUpdate):
        failpoints.reach("update-before-save")
        reports.take_update(account, message)
        failpoints.reach("update-after-save")
    elif isinstance(message, Unreadable):
        logger.error(
            "unreadable stream message",
            account_id=account.account_id,
            why=message.reason,
            raw_sha256=message.raw_sha256,
        )
