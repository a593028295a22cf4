"""What the broker really received and did, read from the sandbox's append file.

It is read from the file and not over HTTP: the file has what every killed sandbox did, and nothing
that a client of the sandbox could have misread. Instants are seconds since 1970.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

NANOSECONDS = 1e9


@dataclass(slots=True)
class BrokerOrder:
    """An order of the broker. `executions`: quantity and price by execution id."""

    id: str
    account_id: str
    client_order_id: str
    asked: dict[str, Any]
    status: str
    executions: dict[str, tuple[Decimal, Decimal]] = field(default_factory=dict)

    @property
    def filled_qty(self) -> Decimal:
        """How many shares it filled."""
        return sum((qty for qty, _ in self.executions.values()), Decimal(0))

    @property
    def paid(self) -> Decimal:
        """What they cost, in USD."""
        return sum((qty * price for qty, price in self.executions.values()), Decimal(0))


@dataclass(frozen=True, slots=True)
class Submit:
    """A `POST /v2/orders` as it arrived. `status` None: a fault kept it from the books."""

    at: float
    account_id: str
    client_order_id: str
    asked: dict[str, Any]
    status: int | None
    fault: str | None = None


@dataclass(slots=True)
class Ledger:
    """The broker's books."""

    orders: list[BrokerOrder] = field(default_factory=list)
    submits: list[Submit] = field(default_factory=list)


def read_ledger(path: Path) -> Ledger:
    """Read the whole file; a last line that a kill cut off was answered to nobody."""
    ledger, by_id = Ledger(), {}
    for line in _lines(path):
        if line["type"] == "received" and line["method"] == "POST" and line.get("client_order_id"):
            ledger.submits.append(_submit(line))
        for event in line.get("events", ()):
            if event["type"] == "placed":
                placed = _placed(event["order"])
                by_id[placed.id] = placed
            elif event["type"] in {"moved", "filled"}:
                _apply(by_id[event["order_id"]], event)
    ledger.orders = list(by_id.values())
    return ledger


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        for raw in file:
            if raw.endswith(b"\n"):
                yield json.loads(raw)


def _submit(line: dict[str, Any]) -> Submit:
    return Submit(
        at=line["at"] / NANOSECONDS,
        account_id=line["account"],
        client_order_id=line["client_order_id"],
        asked=line["body"],
        status=line.get("status"),
        fault=line.get("fault"),
    )


def _placed(order: dict[str, Any]) -> BrokerOrder:
    return BrokerOrder(
        id=order["id"],
        account_id=order["account_id"],
        client_order_id=order["client_order_id"],
        asked=order,
        status=order["status"],
    )


def _apply(order: BrokerOrder, event: dict[str, Any]) -> None:
    if event["type"] == "moved":
        order.status = event["status"]
        return
    order.executions[event["execution_id"]] = Decimal(event["qty"]), Decimal(event["price"])
    order.status = "filled" if event["final"] else "partially_filled"
