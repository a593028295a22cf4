"""Orders with a past, written through the only doors there are. Import late, as tests/support."""

from typing import Any
from uuid import uuid4

from accounts import journal
from tests.support.accounts import lease
from tests.support.orders import CAUSE, at, fill, place, report, row_of
from trading import executions
from trading.executions import Cause
from trading.writes import Ended

OWNER = "desk-of-a-test/1"


def sent(account_id: str, **changed: Any) -> dict[str, Any]:
    """An order that was claimed for sending."""
    row = row_of(place(account_id, **changed))
    lease(account_id, OWNER)
    claimed = executions.claim(row, owner=OWNER, process="desk-of-a-test")
    assert claimed is not None
    return claimed.row


def filled(account_id: str, **changed: Any) -> dict[str, Any]:
    """An order that the broker took and filled."""
    row = sent(account_id, **changed)
    executions.attempt_ended(row["id"], Ended(1, "accepted", 21.9, 200, "8f1c0000"))
    executions.report(row["id"], report(row, "new"), CAUSE)
    told = report(
        row, "filled", second=2.0, event="fill", execution=fill(f"e-{uuid4().hex}", 10),
        filled_qty="10", filled_avg_price="187.2", filled_at=at(2),
    )  # fmt: skip
    return executions.report(row["id"], told, CAUSE)


def rejected(account_id: str, message: str, **changed: Any) -> dict[str, Any]:
    """An order that the broker refused with these words."""
    row = sent(account_id, **changed)
    executions.attempt_ended(row["id"], Ended(1, "rejected", 3.1, 403, message[:128]))
    refusal = {"http_status": 403, "code": 40310000, "message": message, "request_id": "r-1"}
    patch = {"status": "rejected", "final": True, "refusal": refusal}
    cause = Cause(journal.system("test"), note=message)
    changed_row = executions.change(row, "order.rejected", patch, cause)
    assert changed_row is not None
    return changed_row
