"""What an account's owner watches: its key, its balances, and its `trade_updates` stream.

What is seen lands in the account's state row, which every other process reads (design.md §5).
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from django.db import DatabaseError, DataError, transaction

from accounts import journal
from accounts.models import AccountState
from accounts.pool import PooledAccount
from opitios.broker.alpaca.wire import TradeUpdate, Unreadable, decode_trade_update
from opitios.broker.errors import AccessDenied, BrokerError, NotSent
from opitios.core import clock, database, failpoints, jsontext
from trading import reports

logger = structlog.get_logger("app")


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check saw of one account: the broker's answer, and when it came."""

    account_id: str
    checked_at: str
    check_ms: float
    broker_account: Any
    budget: Any


def check_account(
    account: PooledAccount, owner: str | None = None, notes: "CheckNotes | None" = None
) -> str:
    """Read the account at the broker and store what was seen; returns the account's state.

    `owner` is the desk that holds the account's lease; without the lease it changes nothing.
    `notes`: where a good answer waits to be stored with others.
    """
    try:
        answer = account.trading.account()
    except AccessDenied:
        mark_suspect(account.account_id, "the broker answered 401 to the account check", owner)
        return AccountState.State.SUSPECT
    except NotSent as error:
        if not error.is_held_back:
            _log_failure(account, error)
        return AccountState.State.WARMING
    except BrokerError as error:
        _log_failure(account, error)
        return AccountState.State.WARMING
    checked = Checked(
        account_id=account.account_id,
        checked_at=clock.rfc3339(clock.now()),
        check_ms=round(answer.ms, 3),
        broker_account=answer.body,
        budget=answer.rate,
    )
    if notes is None:
        database.release()
        _store([checked], owner)
    else:
        notes.add(checked)
    return AccountState.State.READY


_CHECKED = """
UPDATE accounts_accountstate s SET checked_at = t.checked_at, check_ms = t.check_ms,
    broker_account = t.broker_account, budget = nullif(t.budget, 'null'),
    state = CASE WHEN t.is_new THEN 'ready' ELSE s.state END,
    state_reason = CASE WHEN t.is_new THEN NULL ELSE s.state_reason END,
    state_since = CASE WHEN t.is_new THEN clock_timestamp() ELSE s.state_since END,
    told_at = CASE WHEN t.is_new THEN clock_timestamp() ELSE s.told_at END
FROM (SELECT told.*, was.state IN ('warming', 'suspect') AS is_new
      FROM jsonb_to_recordset(%(told)s::jsonb) AS told(account_id text, checked_at timestamptz,
          check_ms float8, broker_account jsonb, budget jsonb)
      JOIN accounts_accountstate was USING (account_id)
      ORDER BY account_id FOR UPDATE OF was) t
WHERE s.account_id = t.account_id AND (%(owner)s::text IS NULL OR EXISTS (
    SELECT 1 FROM accounts_lease l WHERE l.account_id = t.account_id AND l.owner = %(owner)s
    AND l.expires_at > clock_timestamp()))
RETURNING s.account_id, s.state
"""


def _store(checked: Sequence[Checked], owner: str | None) -> None:
    """Store good answers, all in one statement: who was warming or suspect is ready.

    Out of quarantine leads a step of its own, with its entry.
    """
    told = {"told": jsontext.canonical(checked), "owner": owner}
    stored = database.rows(_CHECKED, told)
    for row in stored:
        if row["state"] == _QUARANTINED:
            set_state(row["account_id"], AccountState.State.READY, None, owner)


class CheckNotes:
    """Good answers on their way into the rows: many checks, one statement.

    A thousand accounts are checked in half a minute; two commits for each would be all that an idle
    desk does.
    """

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._seen: dict[str, Checked] = {}

    def add(self, checked: Checked) -> None:
        """Note an answer. Waits for nothing; called from any thread."""
        self._seen[checked.account_id] = checked

    def write(self) -> None:
        """Store what was noted since the last time. One thread only.

        An answer that Postgres cannot keep is left out and logged; while Postgres is away all wait.
        Raises django.db.DatabaseError.
        """
        seen = [self._seen.popitem()[1] for _ in range(len(self._seen))]
        try:
            if seen:
                self._write(seen)
        except DatabaseError:
            for each in seen:
                self._seen.setdefault(each.account_id, each)
            raise

    def _write(self, seen: Sequence[Checked]) -> None:
        try:
            _store(seen, self._owner)
        except DataError:
            if len(seen) == 1:
                logger.exception("a check cannot be stored", account_id=seen[0].account_id)
                return
            for each in seen:
                self._write([each])


def _log_failure(account: PooledAccount, error: BrokerError) -> None:
    # The key is not in doubt: the last good picture stays, with its age.
    logger.warning("account check failed", account_id=account.account_id, why=error.outcome)


def mark_suspect(account_id: str, why: str, owner: str | None = None) -> None:
    """The broker refused this account's key; one in quarantine stays there."""
    set_state(account_id, AccountState.State.SUSPECT, why, owner, unless=_QUARANTINED)


_QUARANTINED = AccountState.State.QUARANTINED

_MOVE = """
UPDATE accounts_accountstate s SET state = %(state)s, state_reason = %(why)s,
    state_since = clock_timestamp(), told_at = clock_timestamp()
FROM (SELECT account_id, state FROM accounts_accountstate
      WHERE account_id = %(account)s FOR UPDATE) before
WHERE s.account_id = before.account_id AND NOT before.state = ANY(%(keep)s)
    AND (%(owner)s::text IS NULL OR EXISTS (SELECT 1 FROM accounts_lease l
        WHERE l.account_id = %(account)s AND l.owner = %(owner)s
        AND l.expires_at > clock_timestamp()))
RETURNING before.state AS before
"""


def set_state(
    account_id: str, state: str, why: str | None, owner: str | None, *, unless: str | None = None
) -> bool:
    """Move an account's state; True if it moved. `unless`: a state it does not leave.

    1. Change the row, if the desk still owns the account.
    2. Into quarantine and out of it: an entry in the account's journal (api.md §8).
    """
    keep = [state, AccountState.State.DISABLED] + ([unless] if unless else [])
    about = {"account": account_id, "state": state, "why": why, "owner": owner, "keep": keep}
    with transaction.atomic():
        moved = database.row(_MOVE, about)
        if moved is not None and _QUARANTINED in {state, moved["before"]}:
            kind = "account.quarantined" if state == _QUARANTINED else "account.released"
            entry = journal.body(
                actor=journal.system("desk"),
                note=why,
                before={"state": moved["before"]},
                after={"state": state},
            )
            journal.append(account_id, kind, entry)
    return moved is not None


def checked_lately(account_ids: list[str], seconds: float) -> set[str]:
    """Which of these accounts are ready, and were checked within so many seconds."""
    found = database.rows(
        "SELECT account_id FROM accounts_accountstate"
        " WHERE account_id = ANY(%s) AND state = 'ready'"
        " AND checked_at > clock_timestamp() - %s * interval '1 second'",
        (account_ids, seconds),
    )
    return {row["account_id"] for row in found}


def doubted(account_ids: list[str]) -> dict[str, str]:
    """Which of these accounts were suspect or in quarantine when their desk last wrote."""
    found = database.rows(
        "SELECT account_id, state FROM accounts_accountstate"
        " WHERE state IN ('suspect', 'quarantined') AND account_id = ANY(%s)",
        (account_ids,),
    )
    return {row["account_id"]: row["state"] for row in found}


_STREAMS = """
UPDATE accounts_accountstate s SET stream_state = t.value
FROM jsonb_each_text(%s::jsonb) AS t(key, value)
WHERE s.account_id = t.key AND EXISTS (SELECT 1 FROM accounts_lease l
    WHERE l.account_id = t.key AND l.owner = %s AND l.expires_at > clock_timestamp())
RETURNING s.account_id
"""


class StreamNotes:
    """States of streams on their way into the rows: what the sockets' loop told, in one statement.

    A thousand sockets open within seconds; a commit for each would keep the desk busy for longer.
    """

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._told: dict[str, str] = {}

    def tell(self, account_id: str, state: str) -> None:
        """Note an account's present state. Waits for nothing; called from any thread."""
        self._told[account_id] = state

    def write(self, owned: AbstractSet[str]) -> None:
        """Store what was told of these accounts since the last time. One thread only.

        What could not be stored, because Postgres is away or the lease has run out just now, is
        kept for the next time. Raises django.db.DatabaseError.
        """
        # One by one: meanwhile the loop of the sockets goes on telling.
        told = dict(self._told.popitem() for _ in range(len(self._told)))
        left = {key: state for key, state in told.items() if key in owned}
        try:
            if left:
                about = (jsontext.canonical(left), self._owner)
                for row in database.rows(_STREAMS, about):
                    del left[row["account_id"]]
        finally:
            for account_id, state in left.items():
                self._told.setdefault(account_id, state)


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
