"""A small story in which everything fits, made to be tampered with: three orders of one account.

`filled` was sent and filled, `late` lapsed in an outage, `gone` was cancelled before it was sent.
"""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from tests.campaigns.ledger import BrokerOrder, Ledger, Submit
from tests.campaigns.outages import Outage
from tests.campaigns.story import Books, Row, Story
from tests.campaigns.traffic import TAG, Sent
from trading import shapes

ACCOUNT = "account_001"
BEGAN = datetime(2026, 11, 20, 14, 30, tzinfo=UTC)
DEADLINE = BEGAN + timedelta(seconds=10)
NAMES = ("filled", "late", "gone")
FILL: dict[str, Any] = {"execution_id": "e-1", "qty": Decimal(1), "price": Decimal("187.25")}
COLUMNS = (
    "account_id", "client_order_id", "symbol", "side", "type", "time_in_force", "qty",
    "limit_price", "not_after", "tags",
)  # fmt: skip


def story() -> Story:
    """The three orders, from their clients to the broker."""
    rows = {"filled": _filled(), "late": _late(), "gone": _gone()}
    return Story(
        sent=[_sent(name) for name in NAMES],
        books=Books(
            orders=list(rows.values()),
            entries={name: _entries(row) for name, row in rows.items()},
            fills={"filled": [{**FILL, "source": "stream", "superseded_by": None}]},
            attempts={"filled": [_attempt()]},
        ),
        ledger=Ledger(orders=[broker_order("filled")], submits=[submit("filled")]),
        outages=[Outage(ACCOUNT, DEADLINE.timestamp() - 1, DEADLINE.timestamp() + 1)],
    )


def asked(name: str) -> dict[str, Any]:
    """What the client sends; the quantity tells the commands of an account apart."""
    return {
        "symbol": "AAPL",
        "side": "buy",
        "type": "market",
        "time_in_force": "day",
        "qty": str(NAMES.index(name) + 1),
        "client_order_id": name,
        "tags": {TAG: name},
    }


def _sent(name: str) -> Sent:
    answer = {**asked(name), "id": name, "account_id": ACCOUNT, "limit_price": None}
    return Sent(ACCOUNT, name, asked(name), key=None, answers=[json.dumps(answer).encode()])


def broker_order(name: str) -> BrokerOrder:
    """The broker's order of a command, filled."""
    executions = {"e-1": (Decimal(asked(name)["qty"]), FILL["price"])}
    return BrokerOrder(f"b-{name}", ACCOUNT, name, asked(name), "filled", executions)


def submit(name: str, **changed: Any) -> Submit:
    """A command's submit as it arrived."""
    at = BEGAN.timestamp() + 0.1
    facts: dict[str, Any] = {
        "at": at,
        "account_id": ACCOUNT,
        "client_order_id": name,
        "status": 200,
    }
    return Submit(**facts | {"asked": asked(name)} | changed)


def _row(name: str, status: str, seq: int, **changed: Any) -> Row:
    said = asked(name)
    return {
        **dict.fromkeys(("broker_order_id", "reason", "limit_price", "cancel_requested_at")),
        **said,
        "id": name,
        "account_id": ACCOUNT,
        "qty": Decimal(said["qty"]),
        "status": status,
        "final": True,
        "seq": seq,
        "source": "api",
        "not_after": DEADLINE,
        "filled_qty": Decimal(0),
        "attempts": 0,
        "ambiguous": False,
        **changed,
    }


def _filled() -> Row:
    return _row(
        "filled", "filled", 4, broker_order_id="b-filled", filled_qty=Decimal(1), attempts=1
    )


def _late() -> Row:
    return _row("late", "lapsed", 6, reason="deadline-before-send")


def _gone() -> Row:
    return _row("gone", "canceled", 8, reason="canceled-before-send")


def _entries(row: Row) -> list[Row]:
    first = {name: shapes.written(row[name]) for name in COLUMNS}
    first |= {"id": row["id"], "status": "queued", "final": False, "filled_qty": "0"}
    if row["id"] != "filled":
        end = {"status": row["status"], "final": True, "reason": row["reason"]}
        return [
            _entry(row["seq"] - 1, "order.queued", first),
            _entry(row["seq"], f"order.{row['status']}", end, status="queued", final=False),
        ]
    new = {"status": "new", "broker_order_id": "b-filled"}
    done = {"status": "filled", "final": True, "filled_qty": "1", "execution": _told_fill()}
    claim = {"status": "submitting", "attempts": 1}
    return [
        _entry(1, "order.queued", first),
        _entry(2, "order.submitting", claim, status="queued", attempts=0),
        _entry(3, "order.new", new, status="submitting"),
        _entry(4, "order.fill", done, status="new", final=False, filled_qty="0"),
    ]


def _told_fill() -> dict[str, Any]:
    return {name: shapes.written(value) for name, value in FILL.items()}


def _entry(seq: int, kind: str, after: dict[str, Any], **before: Any) -> Row:
    return {"seq": seq, "kind": kind, "said": {"before": before, "after": after}}


def _attempt() -> Row:
    return {"kind": "submit", "n": 1, "sent_at": BEGAN, "ms": 20.0, "outcome": "accepted"}
