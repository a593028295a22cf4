"""What is done again and again until it holds: late orders lapse, unknown ones are looked up, open
ones are compared with the broker's.

Each function is one step and says what it found; the desk's loop calls them.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import structlog

from accounts import journal
from accounts.pool import PooledAccount
from opitios.broker.errors import BrokerError, NotFound
from opitios.broker.port import Answer
from opitios.core import clock
from opitios.core.config import Timers
from opitios.core.errors import Reason
from trading import executions, lifecycle, queries
from trading.executions import Cause, Row, facts_of
from trading.lifecycle import Report

logger = structlog.get_logger("app")

# reliability.md §2.1 (e): the pause before each look-up of one order, in seconds.
LOOK_UP_PAUSES = (0.5, 1, 2, 4, 8, 15, 30)
# An order counts as absent after so many look-ups that found nothing (design.md §4).
ABSENT_AFTER_LOOKUPS = 3
# Alpaca's largest page of orders.
PAGE = 500


def lapse_late(account_ids: list[str]) -> int:
    """End queued orders whose deadline passed: a stale order is never sent late (G3)."""
    late = queries.orders_where(
        "status = 'queued' AND account_id = ANY(%s) AND not_after <= clock_timestamp()",
        (account_ids,),
    )
    for row in late:
        cause = Cause(journal.system("desk", row["principal"]))
        executions.change_by(row["id"], _decide_lapse, cause)
    return len(late)


def _decide_lapse(row: Row) -> tuple[str, Mapping[str, Any]] | None:
    if row["status"] != lifecycle.QUEUED:
        return None
    reason = Reason.NOT_AT_BROKER if row["ambiguous"] else Reason.DEADLINE_BEFORE_SEND
    return "order.lapsed", _lapsed(reason)


def _lapsed(reason: Reason) -> dict[str, Any]:
    return {"status": lifecycle.LAPSED, "final": True, "reason": reason.slug}


def doubt_orphans(rows: list[Row]) -> int:
    """Orders claimed by a desk that is gone may have been sent: they become unknown (C04–C07)."""
    for row in rows:
        cause = Cause(
            journal.system("desk", row["principal"]), note="its desk ended while sending it"
        )
        executions.change_by(row["id"], _decide_doubt, cause)
    return len(rows)


def _decide_doubt(row: Row) -> tuple[str, Mapping[str, Any]] | None:
    if row["status"] != lifecycle.SUBMITTING:
        return None
    return "order.unknown", {"status": lifecycle.UNKNOWN, "ambiguous": True}


@dataclass(slots=True)
class _Search:
    """How the search for one unknown order goes. Times are monotonic seconds."""

    began_at: float
    next_at: float
    tries: int = 0
    not_found: int = 0


@dataclass(slots=True)
class LookUps:
    """The searches for unknown orders; forgotten with the process, which only makes them longer."""

    timers: Timers
    searches: dict[UUID, _Search] = field(default_factory=dict)

    def keep(self, unknown: set[UUID]) -> None:
        """Forget searches for orders that are unknown no more."""
        self.searches = {key: value for key, value in self.searches.items() if key in unknown}

    def is_due(self, row: Row, now: float) -> bool:
        """Whether the order is to be looked up now; if so, the next time is set."""
        first = _Search(began_at=now, next_at=now + LOOK_UP_PAUSES[0])
        search = self.searches.setdefault(row["id"], first)
        if now < search.next_at:
            return False
        pause = LOOK_UP_PAUSES[min(search.tries + 1, len(LOOK_UP_PAUSES) - 1)]
        search.next_at = now + min(pause, self.timers.absent_after)
        return True

    def look_up(self, row: Row, account: PooledAccount) -> None:
        """Ask the broker for the order by its client_order_id, once.

        Found: its word is taken over. Absent three times over 30 s and absent from the full list:
        queued again before the deadline, lapsed after it.
        """
        search = self.searches.get(row["id"])
        if search is None:
            return
        search.tries += 1
        try:
            answer = account.trading.order_by_client_id(row["client_order_id"])
        except NotFound:
            search.not_found += 1
            self._judge_absent(row, account, search)
        except BrokerError:
            # Nothing was learnt; the next look-up is due after its pause.
            return
        else:
            take_over(row, answer, "look-up")
            self.searches.pop(row["id"], None)

    def _judge_absent(self, row: Row, account: PooledAccount, search: _Search) -> None:
        quiet = clock.monotonic() - search.began_at
        if search.not_found < ABSENT_AFTER_LOOKUPS or quiet < self.timers.absent_after:
            return
        listed = listed_order(row, account)
        if listed is not None:
            take_over(row, listed, "list")
        else:
            cause = Cause(journal.system("desk", row["principal"]), note="looked up, not found")
            executions.change_by(row["id"], _decide_absent, cause)
        self.searches.pop(row["id"], None)


def _decide_absent(row: Row) -> tuple[str, Mapping[str, Any]] | None:
    if row["status"] != lifecycle.UNKNOWN:
        return None
    if clock.now() < row["not_after"] and row["cancel_requested_at"] is None:
        return "order.queued", {"status": lifecycle.QUEUED}
    return "order.lapsed", _lapsed(Reason.NOT_AT_BROKER)


def listed_order(row: Row, account: PooledAccount) -> Answer | None:
    """Search the broker's full list since the order's creation, page by page; None if absent."""
    after = clock.rfc3339(row["created_at"])
    while True:
        page = account.trading.orders(status="all", limit=PAGE, direction="asc", after=after)
        for order in page.body:
            if order.get("client_order_id") == row["client_order_id"]:
                return dataclasses.replace(page, body=order)
        if len(page.body) < PAGE:
            return None
        after = page.body[-1]["submitted_at"]


def take_over(row: Row, answer: Answer, note: str) -> Row:
    """Write what the broker holds of an order, as it answered a read of ours."""
    cause = Cause(
        journal.system("desk", row["principal"]),
        occurred_at=answer.body.get("updated_at"),
        broker=facts_of(answer),
        note=note,
    )
    return executions.report(row["id"], Report(order=answer.body), cause)


def reconcile(account: PooledAccount) -> int:
    """Read each order of the account that lives at the broker and take over what changed.

    The stream replays nothing, so this runs after each (re)connect and every 15 s while orders are
    open (design.md §4). Raises BrokerError where the broker does not answer.
    """
    open_rows = queries.orders_where(
        "account_id = %s AND NOT final AND broker_order_id IS NOT NULL",
        (account.account_id,),
    )
    for row in open_rows:
        try:
            answer = account.trading.order(row["broker_order_id"])
        except NotFound:
            logger.exception("an order is missing at the broker", order_id=str(row["id"]))
            continue
        take_over(row, answer, "reconciliation")
    return len(open_rows)
