"""Orders of a test's own, placed the way the API places them, and the broker's words about them.

Import late from a conftest: Django is set up after conftests are read.
"""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import orjson

from accounts import journal
from accounts.models import JournalEntry
from opitios.core import clock
from trading import orders, queries, shapes
from trading.commands import OrderCommand
from trading.executions import Cause
from trading.lifecycle import Execution, Report
from trading.orders import Accepted, Asked

CAUSE = Cause(journal.system("test"))


def command(**changed: Any) -> OrderCommand:
    """A limit order that waits up to a minute for being sent."""
    fields: dict[str, Any] = {
        "symbol": "AAPL",
        "side": "buy",
        "type": "limit",
        "time_in_force": "day",
        "qty": Decimal(10),
        "limit_price": Decimal("187.25"),
    }
    return OrderCommand(**fields | changed)


def asked(key: str | None = None, *, subject: str = "bot-7", **changed: Any) -> Asked:
    """A request of a rightful principal."""
    fields: dict[str, Any] = {
        "subject": subject,
        "principal": {"sub": subject, "act": None, "jti": None, "permissions": [], "ip": "::1"},
        "request_id": f"req_{uuid4().hex}",
        "received_at": clock.now(),
        "idempotency_key": key,
        "method": "POST",
        "path": "/api/v1/accounts/a/orders/stocks",
    }
    return Asked(**fields | changed)


def place(account_id: str, key: str | None = None, **changed: Any) -> Accepted:
    """Store one order; `changed` are fields of the command."""
    return orders.place_order(
        command(**changed), account_id=account_id, environment="sandbox", asked=asked(key)
    )


def placed_row(account_id: str, **changed: Any) -> dict[str, Any]:
    """Store one order and read its row."""
    return row_of(place(account_id, **changed))


def row_of(order: Accepted | dict[str, Any]) -> dict[str, Any]:
    """The order's row as it is now."""
    order_id = order.order_id if isinstance(order, Accepted) else order["id"]
    row = queries.order_row(order_id)
    assert row is not None
    return row


def soon(seconds: float) -> datetime:
    """An instant so far ahead (or behind, where negative)."""
    return clock.now() + timedelta(seconds=seconds)


def at(second: float) -> str:
    """The broker's text of a second within one minute, nanoseconds and all."""
    return f"2026-11-20T14:30:{second:012.9f}Z"


def told(row: dict[str, Any], status: str, second: float = 1.0, **changed: Any) -> dict[str, Any]:
    """The broker's order object about one of our orders."""
    return {
        "id": f"broker-{row['id']}",
        "client_order_id": row["client_order_id"],
        "status": status,
        "updated_at": at(second),
        "filled_qty": "0",
        "filled_avg_price": None,
        **changed,
    }


def fill(execution_id: str, qty: int, price: str = "187.2") -> Execution:
    """One execution of the stream."""
    return Execution(execution_id, Decimal(qty), Decimal(price), at(2), None, "stream")


def report(row: dict[str, Any], status: str, **changed: Any) -> Report:
    """A report of the broker: `event` and `execution` are the report's, the rest the order's."""
    event, execution = changed.pop("event", None), changed.pop("execution", None)
    return Report(told(row, status, **changed), event, execution)


def entries(account_id: str) -> list[dict[str, Any]]:
    """An account's whole journal, as the API shows it."""
    found = JournalEntry.objects.filter(account_id=account_id).order_by("seq")
    return [journal.entry_json(entry) for entry in found]


def kinds(account_id: str) -> list[str]:
    """What an account's journal tells, in a word each."""
    return [entry["kind"] for entry in entries(account_id)]


def folded(row: dict[str, Any]) -> dict[str, Any]:
    """An order as its journal entries alone tell it."""
    own = [each for each in entries(row["account_id"]) if each["order_id"] == str(row["id"])]
    return shapes.fold(own)


def plain_json(value: Any) -> Any:
    """A value as a client of the API reads it."""
    return orjson.loads(orjson.dumps(value))
