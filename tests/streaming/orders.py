"""Orders moved through their states without a desk: the real doors, no broker."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from accounts import journal
from accounts.models import Lease
from opitios.core import clock, database
from opitios.core.bus import Bus, Topic
from streaming import replay
from tests.support.buses import gateway_bus
from trading import executions, orders, queries
from trading.commands import OrderCommand
from trading.executions import Cause
from trading.lifecycle import Execution, Report
from trading.orders import Asked

CAUSE = Cause(journal.system("desk"))


def place(account_id: str, **tags: str) -> UUID:
    """Accept one order: entry `order.queued`."""
    command = OrderCommand(
        symbol="AAPL", side="buy", type="market", time_in_force="day", qty=Decimal(10), tags=tags
    )
    asked = Asked(
        subject="bot-7",
        principal={"sub": "bot-7"},
        request_id=f"req_{uuid4().hex}",
        received_at=clock.now(),
    )
    accepted = orders.place_order(
        command, account_id=account_id, environment="sandbox", asked=asked
    )
    return accepted.order_id


def send(account_id: str, order_id: UUID) -> None:
    """Claim an order: entry `order.submitting`."""
    expires = clock.now() + timedelta(hours=1)
    Lease.objects.get_or_create(
        account_id=account_id, defaults={"owner": "desk", "expires_at": expires}
    )
    row = queries.order_row(order_id)
    assert row is not None
    assert executions.claim(row, owner="desk", process="desk-1") is not None


def acknowledge(order_id: UUID) -> None:
    """Report the broker's `new`."""
    executions.report(order_id, Report(_said(order_id, "new"), event="new"), CAUSE)


def fill(order_id: UUID) -> None:
    """Report the whole fill."""
    execution = Execution(
        execution_id=uuid4().hex,
        qty=Decimal(10),
        price=Decimal("187.21"),
        at="2026-11-20T14:30:00.161331123Z",
        position_qty=Decimal(10),
        source="stream",
    )
    said = _said(order_id, "filled") | {"filled_qty": "10", "filled_avg_price": "187.21"}
    executions.report(order_id, Report(said, event="fill", execution=execution), CAUSE)


def whole_life(account_id: str) -> UUID:
    """Place, send, acknowledge, fill: four entries."""
    order_id = place(account_id)
    send(account_id, order_id)
    acknowledge(order_id)
    fill(order_id)
    return order_id


def note(account_id: str, *, reason: str = "tried") -> int:
    """Append an entry that is about the account; nobody pushes it."""
    entry = journal.body(actor=journal.system("test"), reason=reason)
    seq = journal.append(account_id, "account.suspended", entry).seq
    database.release()
    return seq


def notes(account_id: str, count: int, *, reason: str = "tried") -> None:
    """Append many such entries, so few at a time that a crowded Postgres has time for them."""
    entry = journal.body(actor=journal.system("test"), reason=reason)
    for first in range(0, count, 250):
        few = min(250, count - first)
        journal.append_many(account_id, [("account.suspended", entry)] * few)
    database.release()


def announce(account_id: str, *, reason: str) -> None:
    """Append an entry that is about the account, and push it."""
    seq = note(account_id, reason=reason)
    [entry] = journal.entries(account_id, after=seq - 1, kind=None, limit=1)
    push(replay.account_message(journal.entry_json(entry)))
    database.release()


def _said(order_id: UUID, status: str) -> dict[str, Any]:
    return {"id": f"b-{order_id}", "status": status}


Pushes = list[Mapping[str, Any]]


@contextmanager
def held_back(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pushes]:
    """Keep the pushes to subscribers instead of sending them."""
    held: Pushes = []

    def tell(_bus: Bus, *hints: tuple[Topic, Mapping[str, Any]]) -> None:
        held.extend(message for topic, message in hints if topic is Topic.ORDERS)

    with monkeypatch.context() as patched:
        patched.setattr(Bus, "tell", tell)
        yield held


def push(*messages: Mapping[str, Any]) -> None:
    """Send pushes, in this order."""
    for message in messages:
        assert gateway_bus().publish((Topic.ORDERS, message))
