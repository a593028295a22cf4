"""What is done again and again until it holds: late orders lapse, unknown ones are looked up.

Each function is one step and says what it found; the desk's loop calls them.
"""

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
from trading import executions, lifecycle, queries, reconciler, reports
from trading.executions import Cause, Row

logger = structlog.get_logger("app")

# reliability.md §2.1 (e): the pause before each look-up of one order, in seconds.
LOOK_UP_PAUSES = (0.5, 1, 2, 4, 8, 15, 30)
# An order counts as absent after so many look-ups that found nothing (design.md §4).
ABSENT_AFTER_LOOKUPS = 3


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
            self._adopt(row, account, answer)

    def _adopt(self, row: Row, account: PooledAccount, answer: Answer) -> None:
        if answer.body.get("client_order_id") != row["client_order_id"]:
            logger.error("a look-up answered another order", order_id=str(row["id"]))
            return
        reports.take_answer(account, answer, "look-up")
        self.searches.pop(row["id"], None)

    def _judge_absent(self, row: Row, account: PooledAccount, search: _Search) -> None:
        quiet = clock.monotonic() - search.began_at
        if search.not_found < ABSENT_AFTER_LOOKUPS or quiet < self.timers.absent_after:
            return
        listed = listed_order(row, account)
        if listed is not None:
            reports.take_answer(account, listed, "list")
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
    """Search the broker's full list since the order's creation; None if it is not in it."""
    # The broker's clock may be behind ours.
    after = clock.rfc3339(row["created_at"] - reconciler.OVERLAP)
    for answer in reconciler.list_orders(account, status="all", after=after):
        if answer.body.get("client_order_id") == row["client_order_id"]:
            return answer
    return None
