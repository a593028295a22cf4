"""One order to the broker and back: claim, send, classify, write the outcome.

The policy is in the types of opitios.broker.errors: each is named by the permitted next step.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import structlog

from accounts import journal
from accounts.pool import PooledAccount
from opitios.broker.errors import (
    AccessDenied,
    BrokerError,
    NotSent,
    OutcomeUnknown,
    Refused,
    Throttled,
)
from opitios.broker.port import Answer
from opitios.core import clock, database, failpoints
from opitios.core.errors import BrokerRefusal
from trading import executions, lifecycle
from trading.executions import Cause, Claimed, Row, facts_of
from trading.lifecycle import Report

logger = structlog.get_logger("app")

# Seconds an account rests where the broker did not say how long (alpaca-wire.md §4).
THROTTLED_REST = 5.0
# Nothing left this process: the network is tried again soon, the deadline bounds how often.
NOT_SENT_REST = 0.5

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

    def __init__(self, *, owner: str, process: str, rests: Rests) -> None:
        self._owner, self._process, self._rests = owner, process, rests

    def send(self, row: Row, account: PooledAccount) -> None:
        """Claim and send one queued order, and write how it ended.

        1. Claim; from its commit on bytes may leave (law 4).
        2. Call the broker, holding no database connection (law 5).
        3. Write the outcome: the broker's word, rejected, queued again, or unknown.
        """
        claimed = executions.claim(row, owner=self._owner, process=self._process)
        if claimed is None:
            return
        database.release()
        started = clock.monotonic()
        try:
            answer = account.trading.submit_order(_wire(claimed.row))
        except BrokerError as error:
            self._failed(claimed, error, (clock.monotonic() - started) * 1000)
            return
        self._answered(claimed, answer)

    def _answered(self, claimed: Claimed, answer: Answer) -> None:
        failpoints.reach("answer-before-save")
        row, facts = claimed.row, facts_of(answer)
        if not is_ours(answer.body, row):
            self._unknown(claimed, facts, "the answer describes another order")
            self._attempt_ended(claimed, "wrong-id", answer.ms, facts)
            return
        told = Report(order=answer.body)
        executions.report(row["id"], told, _cause(row, facts, answer.body.get("updated_at")))
        failpoints.reach("answer-after-save")
        self._attempt_ended(claimed, "accepted", answer.ms, facts)

    def _failed(self, claimed: Claimed, error: BrokerError, ms: float) -> None:
        facts = facts_of(error)
        match error:
            case Refused() if error.is_duplicate_client_order_id:
                # It is at the broker already: the look-up adopts it (alpaca-wire.md §6, 2).
                self._unknown(claimed, facts, "the broker knows this client_order_id already")
                outcome = "duplicate"
            case Refused() | AccessDenied():
                self._rejected(claimed, error, facts)
                outcome = "rejected"
            case Throttled() | NotSent():
                self._queued_again(claimed, error, facts)
                outcome = error.outcome
            case OutcomeUnknown():
                self._unknown(claimed, facts, error.reason)
                outcome = error.reason
            case _:
                raise error
        self._attempt_ended(claimed, outcome, ms, facts)

    def _rejected(
        self, claimed: Claimed, error: Refused | AccessDenied, facts: Mapping[str, Any]
    ) -> None:
        refusal = refusal_of(error)
        patch = {
            "status": "rejected",
            "final": True,
            "reason": refusal.slug,
            "refusal": {**refusal.as_json(), "code": refusal.code, "message": refusal.message},
            "failed_at": clock.rfc3339(clock.now()),
        }
        self._write(claimed, "order.rejected", patch, facts)
        if isinstance(error, AccessDenied):
            self._rests.suspect(claimed.row["account_id"], "the broker answered 401 to an order")

    def _queued_again(
        self, claimed: Claimed, error: Throttled | NotSent, facts: Mapping[str, Any]
    ) -> None:
        rest = NOT_SENT_REST
        if isinstance(error, Throttled):
            rest = error.retry_after_seconds or THROTTLED_REST
        self._rests.rest(claimed.row["account_id"], rest)
        self._decided(claimed, _put_back, facts, error.message)

    def _unknown(self, claimed: Claimed, facts: Mapping[str, Any], why: str) -> None:
        patch = {"status": lifecycle.UNKNOWN, "ambiguous": True}
        self._write(claimed, "order.unknown", patch, facts, why)

    def _write(
        self,
        claimed: Claimed,
        kind: str,
        patch: Mapping[str, Any],
        facts: Mapping[str, Any],
        note: str | None = None,
    ) -> None:
        self._decided(claimed, lambda _row: (kind, patch), facts, note)

    def _decided(
        self, claimed: Claimed, outcome: Outcome, facts: Mapping[str, Any], note: str | None
    ) -> None:
        """Write an outcome unless a report overtook it: the broker's word wins over our silence."""

        def decide(row: Row) -> tuple[str, Mapping[str, Any]] | None:
            return outcome(row) if row["status"] == lifecycle.SUBMITTING else None

        cause = _cause(claimed.row, facts, None, note)
        executions.change_by(claimed.row["id"], decide, cause)

    def _attempt_ended(
        self, claimed: Claimed, outcome: str, ms: float, facts: Mapping[str, Any]
    ) -> None:
        executions.attempt_ended(
            claimed.row["id"], claimed.attempt, outcome=outcome, ms=round(ms, 3), answer=facts
        )

    def cancel(self, row: Row, account: PooledAccount) -> bool:
        """Ask the broker to cancel; where it refuses, read what the order is. False: try later."""
        started = clock.monotonic()
        try:
            account.trading.cancel_order(row["broker_order_id"])
            failpoints.reach("cancel-after-call")
            outcome, done = "accepted", True
        except Refused:
            self._read_again(row, account)
            outcome, done = "refused", True
        except BrokerError as error:
            outcome, done = error.outcome, False
        executions.attempt_made(
            row["id"],
            "cancel",
            self._process,
            outcome=outcome,
            ms=round((clock.monotonic() - started) * 1000, 3),
        )
        return done

    def _read_again(self, row: Row, account: PooledAccount) -> None:
        # "Already filled" is a race and no error; the order itself tells (alpaca-wire.md §6, 12).
        answer = account.trading.order(row["broker_order_id"])
        status = str(answer.body["status"])
        event = None if lifecycle.is_final(status) else "order_cancel_rejected"
        told = Report(order=answer.body, event=event)
        executions.report(row["id"], told, _cause(row, facts_of(answer), None))


def _put_back(row: Row) -> tuple[str, Mapping[str, Any]]:
    # A cancel asked while it was under way is done now: it did not get there.
    if row["cancel_requested_at"] is not None:
        return executions.end_unsent(row)
    return "order.queued", {"status": lifecycle.QUEUED}


def refusal_of(error: Refused | AccessDenied) -> BrokerRefusal:
    """Keep what the broker said, its extra fields verbatim."""
    extra = {k: v for k, v in (error.body or {}).items() if k not in {"code", "message"}}
    return BrokerRefusal(
        http_status=error.http_status or 422,
        code=error.code,
        message=error.message,
        request_id=error.request_id,
        extra=extra,
    )


def _wire(row: Row) -> dict[str, Any]:
    order = {key: row[key] for key in _SENT_FIELDS if row[key] is not None}
    return {**order, "extended_hours": True} if row["extended_hours"] else order


def is_ours(body: Any, row: Row) -> bool:
    """Say whether a broker's answer describes this order, and in full."""
    return (
        isinstance(body, dict)
        and body.get("client_order_id") == row["client_order_id"]
        and isinstance(body.get("id"), str)
        and isinstance(body.get("status"), str)
    )


def _cause(
    row: Row, facts: Mapping[str, Any], occurred_at: str | None, note: str | None = None
) -> Cause:
    actor = journal.system("desk", row["principal"])
    return Cause(actor, occurred_at=occurred_at, broker=facts, note=note)
