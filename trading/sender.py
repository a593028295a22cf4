"""One order to the broker and back: claim, send, classify, write the outcome.

What an ending means is decided in trading.outcomes; here it is written, and acted on.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol

import structlog

from accounts import journal
from accounts.models import Halt
from accounts.pool import PooledAccount
from accounts.reads import refusal_of
from opitios.broker.budget import Lane
from opitios.broker.errors import (
    AccessDenied,
    BrokerError,
    NotSent,
    Refused,
    Throttled,
)
from opitios.broker.port import Answer
from opitios.core import clock, database, failpoints
from trading import executions, halts, lifecycle
from trading.executions import Cause, Claimed, Row, facts_of
from trading.lifecycle import Report
from trading.outcomes import REJECTED, Next, Verdict, classify
from trading.writes import Ended

logger = structlog.get_logger("app")

# Nothing left this process: the network is tried again after so many seconds; the breaker and the
# deadline bound how often.
NOT_SENT_REST = 0.25

_SENT_FIELDS = (
    "symbol", "qty", "notional", "side", "type", "time_in_force", "limit_price", "stop_price",
    "trail_price", "trail_percent", "client_order_id", "position_intent",
)  # fmt: skip


# Kind and patch of an outcome, decided on the row as it is then.
Outcome = Callable[[Row], tuple[str, Mapping[str, Any]]]


class Rests(Protocol):
    """Where a sender says that an account must rest, or that its key was refused."""

    def rest(self, account_id: str, seconds: float) -> None:
        """Send nothing of this account for so long."""
        ...

    def suspect(self, account_id: str, why: str) -> None:
        """The broker refused this account's key."""
        ...


class Sender:
    """Sends claimed orders of this process's accounts."""

    def __init__(
        self, *, owner: str, process: str, rests: Rests, not_sent_rest: float = NOT_SENT_REST
    ) -> None:
        self._owner, self._process, self._rests = owner, process, rests
        self._not_sent_rest = not_sent_rest

    def send(self, row: Row, account: PooledAccount) -> bool:
        """Claim and send one queued order, and write how it ended; False: it may wait still.

        1. Claim; from its commit on bytes may leave (law 4). What a halt keeps back is denied.
        2. Call the broker, holding no database connection (law 5).
        3. Write the outcome (trading.outcomes): the broker's word, rejected, queued again, unknown.
        """
        claimed = self._claim(row, account)
        if not isinstance(claimed, Claimed):
            return claimed
        database.release()
        started = clock.monotonic()
        said: Answer | BrokerError
        try:
            said = account.trading.submit_order(_wire(claimed.row))
        except BrokerError as error:
            said = error
            said.ms = (clock.monotonic() - started) * 1000
        went = not isinstance(said, Throttled | NotSent)
        if isinstance(said, Throttled | NotSent):
            self._rest(account, said)
        self._ended(claimed, said)
        return went

    def _claim(self, row: Row, account: PooledAccount) -> Claimed | bool:
        """Claim it; else whether it is done with: a halt stood over it, and it was denied."""
        try:
            return self._claimed(row) or False
        except executions.Halted as halted:
            return self._under_halt(row, account, halted.mode)

    def _claimed(self, row: Row, reduces_until: datetime | None = None) -> Claimed | None:
        return executions.claim(
            row, owner=self._owner, process=self._process, reduces_until=reduces_until
        )

    def _under_halt(self, row: Row, account: PooledAccount, mode: str) -> Claimed | bool:
        """Deny it; under `reduce_only` claim it after all if it makes a position smaller."""
        try:
            until = halts.reducing_until(row, account) if mode == Halt.Mode.REDUCE_ONLY else None
            if until is not None:
                return self._claimed(row, until) or False
        except executions.Halted:
            # What was read is too old by now, or a stricter halt was set: it is judged anew.
            return False
        except BrokerError as error:
            self._position_unread(account, error)
            return False
        halts.deny(row, mode)
        return True

    def _position_unread(self, account: PooledAccount, error: BrokerError) -> None:
        # Whether it reduces is not known: it waits, until its deadline, and is judged anew.
        if isinstance(error, AccessDenied):
            self._rests.suspect(account.account_id, "the broker answered 401 to a position")
        waits = error.retry_after_seconds if isinstance(error, NotSent | Throttled) else None
        self._rests.rest(account.account_id, waits or self._not_sent_rest)

    def _rest(self, account: PooledAccount, error: Throttled | NotSent) -> None:
        # After a 429 the guard knows how long: the broker's word, or ours where it said nothing.
        seconds = account.guard.wait(Lane.SUBMIT)
        if isinstance(error, NotSent):
            seconds = error.retry_after_seconds or self._not_sent_rest
        self._rests.rest(account.account_id, seconds)

    def _ended(self, claimed: Claimed, said: Answer | BrokerError) -> None:
        verdict = classify(said, claimed.row["client_order_id"])
        facts = facts_of(said)
        ms, status, request_id = round(said.ms, 3), facts["http_status"], facts["request_id"]
        ended = Ended(claimed.attempt, verdict.outcome, ms, status, request_id)
        if isinstance(said, Answer) and verdict.next is Next.NOTHING:
            self._answered(claimed, said, ended)
        elif isinstance(said, Refused | AccessDenied) and verdict.status == REJECTED:
            self._rejected(claimed, said, verdict, ended)
        elif isinstance(said, Throttled | NotSent):
            self._decided(claimed, ended, _put_back, facts, said.message)
        else:
            self._unknown(claimed, facts, verdict, ended)

    def _answered(self, claimed: Claimed, answer: Answer, ended: Ended) -> None:
        failpoints.reach("answer-before-save")
        row, told = claimed.row, Report(order=answer.body)
        cause = _cause(row, facts_of(answer), answer.body.get("updated_at"))
        executions.report(row["id"], told, cause, seen=row, ended=ended)
        failpoints.reach("answer-after-save")

    def _rejected(
        self, claimed: Claimed, error: Refused | AccessDenied, verdict: Verdict, ended: Ended
    ) -> None:
        refusal = refusal_of(error)
        patch = {
            "status": verdict.status,
            "final": True,
            "reason": refusal.slug,
            "refusal": {**refusal.as_json(), "code": refusal.code, "message": refusal.message},
            "failed_at": clock.rfc3339(clock.now()),
        }
        self._decided(claimed, ended, lambda _row: ("order.rejected", patch), facts_of(error))
        if verdict.next is Next.SUSPECT:
            self._rests.suspect(claimed.row["account_id"], "the broker answered 401 to an order")

    def _unknown(
        self, claimed: Claimed, facts: Mapping[str, Any], verdict: Verdict, ended: Ended
    ) -> None:
        patch = {"status": verdict.status, "ambiguous": verdict.ambiguous}
        self._decided(claimed, ended, lambda _row: ("order.unknown", patch), facts, verdict.note)

    def _decided(
        self,
        claimed: Claimed,
        ended: Ended,
        outcome: Outcome,
        facts: Mapping[str, Any],
        note: str | None = None,
    ) -> None:
        """Write an outcome unless something overtook it; the attempt's end in any case.

        The broker's word wins over our silence; and where this desk stood still for so long that
        the order is being sent anew, the end of its own attempt says nothing about that one (C08).
        """

        def decide(row: Row) -> tuple[str, Mapping[str, Any]] | None:
            is_ours = row["attempts"] == claimed.attempt
            return outcome(row) if is_ours and row["status"] == lifecycle.SUBMITTING else None

        cause = _cause(claimed.row, facts, None, note)
        executions.change_by(claimed.row["id"], decide, cause, ended=ended)

    def cancel(self, row: Row, account: PooledAccount) -> bool:
        """Ask the broker to cancel; where it refuses, read what the order is. False: try later."""
        started = clock.monotonic()
        try:
            account.trading.cancel_order(row["broker_order_id"])
            failpoints.reach("cancel-after-call")
            outcome, done = "accepted", True
        except Refused:
            outcome, done = "refused", self._read_again(row, account)
        except BrokerError as error:
            if isinstance(error, NotSent) and error.is_held_back:
                return False
            outcome, done = error.outcome, False
            if isinstance(error, AccessDenied):
                self._rests.suspect(account.account_id, "the broker answered 401 to a cancel")
        executions.attempt_made(
            row["id"],
            "cancel",
            self._process,
            outcome=outcome,
            ms=round((clock.monotonic() - started) * 1000, 3),
        )
        return done

    def _read_again(self, row: Row, account: PooledAccount) -> bool:
        # "Already filled" is a race and no error; the order itself tells (alpaca-wire.md §6, 12).
        try:
            answer = account.trading.order(row["broker_order_id"])
        except BrokerError:
            # Nothing was learnt; the cancel is asked again and ends here again.
            return False
        status = str(answer.body["status"])
        event = None if lifecycle.is_final(status) else "order_cancel_rejected"
        told = Report(order=answer.body, event=event)
        executions.report(row["id"], told, _cause(row, facts_of(answer), None))
        return True


def _put_back(row: Row) -> tuple[str, Mapping[str, Any]]:
    # A cancel asked while it was under way is done now: it did not get there.
    if row["cancel_requested_at"] is not None:
        return executions.end_unsent(row)
    return "order.queued", {"status": lifecycle.QUEUED}


def _wire(row: Row) -> dict[str, Any]:
    order = {key: row[key] for key in _SENT_FIELDS if row[key] is not None}
    return {**order, "extended_hours": True} if row["extended_hours"] else order


def _cause(
    row: Row, facts: Mapping[str, Any], occurred_at: str | None, note: str | None = None
) -> Cause:
    actor = journal.system("desk", row["principal"])
    return Cause(actor, occurred_at=occurred_at, broker=facts, note=note)
