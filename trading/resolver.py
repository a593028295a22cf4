"""Orders whose outcome is not known: looked up by their id until the broker says what they are.

Worker and desk share one schedule (trading_search): a look-up that is due belongs to whoever takes
it first, and its pause and its count outlive both. A desk takes only what is overdue, for then no
worker does it (C21). An order proven absent goes back to `queued` while it may be sent, and lapses
else; a lapsed one is watched for a day more (reliability.md §2.1, e and h).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog

from accounts import journal
from accounts.pool import PooledAccount
from opitios.broker.errors import BrokerError, NotFound
from opitios.broker.port import Answer
from opitios.core import clock, database
from opitios.core.config import Timers
from opitios.core.errors import Reason
from trading import executions, lifecycle, queries, reconciler, reports
from trading.executions import Cause, Row

logger = structlog.get_logger("app")

# Seconds before the second look-up of an order and each one after it; the last repeats. The first
# is due half a second after the order became unknown (search_follow).
LOOK_UP_PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
# The same for an order that lapsed and may still appear, after a first minute.
WATCH_PAUSES = (120.0, 300.0, 600.0, 1800.0, 3600.0)
# reliability.md §2.1 (e): of the account's 200 calls a minute, by all processes together.
LOOK_UPS_A_MINUTE = 20
# An order counts as absent after so many look-ups that found nothing (design.md §4).
ABSENT_AFTER_LOOK_UPS = 3
# An order that keeps vanishing is not sent for ever.
MOST_RE_SENDS = 3
# Look-ups begun in one round, and of one account: the others wait for the next round.
DUE_AT_ONCE = 200
DUE_OF_AN_ACCOUNT = 10

_DUE = """
SELECT order_id, account_id FROM (
    SELECT s.*, row_number() OVER (PARTITION BY s.account_id ORDER BY s.looked_up, s.next_at) AS n
    FROM trading_search s WHERE s.next_at <= clock_timestamp() - %s * interval '1 second'
    AND (%s::text[] IS NULL OR s.account_id = ANY(%s))
    AND NOT EXISTS (SELECT 1 FROM accounts_accountstate a WHERE a.account_id = s.account_id
                    AND a.state IN ('suspect', 'quarantined'))
) due WHERE n <= %s ORDER BY n, next_at LIMIT %s
"""

_TAKE = "SELECT * FROM search_take(%s, %s, %s::float8[], %s::float8[], %s)"

_COUNT_ABSENCE = """
UPDATE trading_search SET not_found = not_found + 1 WHERE order_id = %s AND began_at = %s
RETURNING not_found, extract(epoch FROM clock_timestamp() - began_at)::float8 AS quiet_seconds
"""


@dataclass(frozen=True, slots=True)
class Due:
    """An order to be looked up now."""

    order_id: UUID
    account_id: str


@dataclass(frozen=True, slots=True)
class _Taken:
    """A look-up that is ours to do: the order as it is, and which search of it this is."""

    row: Row
    began_at: datetime
    resent: int


class Resolver:
    """Does look-ups. `role` is what the journal calls this process, `process` its own name.

    overdue_seconds: how late a look-up must be before this process does it.
    """

    def __init__(
        self, timers: Timers, *, role: str, process: str, overdue_seconds: float = 0.0
    ) -> None:
        self._timers = timers
        self._role, self._process = role, process
        self._overdue = overdue_seconds
        self._pauses = [min(pause, timers.absent_after) for pause in LOOK_UP_PAUSES]

    def due(self, account_ids: list[str] | None = None) -> list[Due]:
        """Read which orders are to be looked up now (None: of all accounts), new ones first.

        An account whose key is in doubt is asked nothing meanwhile (design.md §5).
        """
        params = (self._overdue, account_ids, account_ids, DUE_OF_AN_ACCOUNT, DUE_AT_ONCE)
        return [Due(**row) for row in database.rows(_DUE, params)]

    def resolve(self, order_id: UUID, account: PooledAccount) -> bool:
        """Look one order up, if that is still due; False where it is not, or nothing was learnt.

        1. Take the look-up: the next one is planned, and nobody else does this one.
        2. Ask the broker, holding no database connection (law 5).
        3. Found: its word is taken over. Not found: absence is counted, and judged.
        Raises executions.Contended; the next look-up repeats what was not written.
        """
        taken = self._take(order_id)
        if taken is None:
            return False
        database.release()
        if self._overdue:
            logger.warning("a look-up that no worker did", account_id=account.account_id)
        try:
            return self._look_up(taken, account)
        except BrokerError as error:
            # Nothing was learnt: absence is only what the broker itself says.
            logger.info("a look-up was not answered", order_id=str(order_id), why=error.outcome)
            return False

    def _take(self, order_id: UUID) -> _Taken | None:
        params = (order_id, self._overdue, self._pauses, list(WATCH_PAUSES), LOOK_UPS_A_MINUTE)
        found = database.row(_TAKE, params)
        row = queries.order_row(order_id) if found and found["began_at"] else None
        if found is None or row is None:
            return None
        return _Taken(row, found["began_at"], found["resent"])

    def _look_up(self, taken: _Taken, account: PooledAccount) -> bool:
        row, started = taken.row, clock.monotonic()
        try:
            answer = account.trading.order_by_client_id(row["client_order_id"])
        except NotFound as error:
            self._note(row, error.outcome, started)
            return self._not_found(taken, account)
        if answer.body.get("client_order_id") != row["client_order_id"]:
            logger.error("a look-up answered another order", order_id=str(row["id"]))
            return False
        self._note(row, "found", started)
        reports.take_answer(account, answer, "look-up", role=self._role)
        return True

    def _note(self, row: Row, outcome: str, started: float) -> None:
        ms = round((clock.monotonic() - started) * 1000, 3)
        executions.attempt_made(row["id"], "look-up", self._process, outcome=outcome, ms=ms)

    def _not_found(self, taken: _Taken, account: PooledAccount) -> bool:
        counted = database.row(_COUNT_ABSENCE, (taken.row["id"], taken.began_at))
        # Another search has begun meanwhile: this answer says nothing about it.
        if counted is None or taken.row["status"] != lifecycle.UNKNOWN:
            return False
        enough = counted["not_found"] >= ABSENT_AFTER_LOOK_UPS
        if not enough or counted["quiet_seconds"] < self._timers.absent_after:
            return False
        database.release()
        listed = _listed(taken.row, account)
        if listed is not None:
            reports.take_answer(account, listed, "list", role=self._role)
        else:
            self._absent(taken)
        return True

    def _absent(self, taken: _Taken) -> None:
        def decide(now: Row) -> tuple[str, Mapping[str, Any]] | None:
            # Sent once more meanwhile: what is proven concerns the sends before it.
            if now["status"] != lifecycle.UNKNOWN or now["attempts"] != taken.row["attempts"]:
                return None
            return decide_absent(now, resent=taken.resent, now=clock.now())

        cause = self._cause(taken.row, "looked up, not found")
        executions.change_by(taken.row["id"], decide, cause)

    def call_for_attention(self, account_ids: list[str] | None = None) -> int:
        """Mark the orders that are unknown for too long: still looked up, but a person is told."""
        waiting = queries.orders_where(
            "status = 'unknown' AND reason IS NULL AND (%s::text[] IS NULL OR account_id = ANY(%s))"
            " AND id IN (SELECT order_id FROM trading_search WHERE next_at IS NOT NULL"
            " AND began_at < clock_timestamp() - %s * interval '1 second') LIMIT %s",
            (account_ids, account_ids, self._timers.attention_after, DUE_AT_ONCE),
        )
        for row in waiting:
            logger.error(
                "an order needs a look",
                alarm=Reason.NEEDS_ATTENTION.slug,
                account_id=row["account_id"],
                order_id=str(row["id"]),
                status=row["status"],
            )
            cause = self._cause(row, "no certain answer for too long")
            executions.change_by(row["id"], _decide_attention, cause)
        return len(waiting)

    def _cause(self, row: Row, note: str) -> Cause:
        return Cause(journal.system(self._role, row["principal"]), note=note)


def decide_absent(row: Row, *, resent: int, now: datetime) -> tuple[str, Mapping[str, Any]]:
    """Say what becomes of an order proven absent: kind and patch.

    It is sent again, under the same id, while its deadline lies ahead, nobody asked for a cancel,
    and it was not sent again too often.
    """
    may_go = now < row["not_after"] and row["cancel_requested_at"] is None
    if may_go and resent < MOST_RE_SENDS:
        return "order.queued", {"status": lifecycle.QUEUED, **_without_reason(row)}
    return "order.lapsed", {
        "status": lifecycle.LAPSED,
        "final": True,
        "reason": Reason.NOT_AT_BROKER.slug,
    }


def _without_reason(row: Row) -> dict[str, Any]:
    return {} if row["reason"] is None else {"reason": None}


def _decide_attention(row: Row) -> tuple[str, Mapping[str, Any]] | None:
    if row["status"] != lifecycle.UNKNOWN or row["reason"] is not None:
        return None
    return "order.unknown", {"reason": Reason.NEEDS_ATTENTION.slug}


def _listed(row: Row, account: PooledAccount) -> Answer | None:
    """Search the broker's full list since the order's creation; None if it is not in it."""
    # The broker's clock may be behind ours.
    after = clock.rfc3339(row["created_at"] - reconciler.OVERLAP)
    for answer in reconciler.list_orders(account, status="all", after=after):
        if answer.body.get("client_order_id") == row["client_order_id"]:
            return answer
    return None
