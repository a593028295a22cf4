"""One order's way from HTTP to fill, told in milliseconds."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table

from opitios.core import ids
from opitios.management.gateway import Answer, Gateway

ACCOUNT = "account_001"
ORDERS = f"/api/v1/accounts/{ACCOUNT}/orders"
COMMAND = {"symbol": "AAPL", "side": "buy", "type": "market", "qty": "1", "time_in_force": "day"}

# The sandbox fills within 50 ms; a machine that is still busy starting takes longer. Seconds.
FILL_SECONDS = 20.0

# Accepted and stored; the broker's verdict comes later (api.md §1).
ACCEPTED = 202
FOUND = 200


class DemoError(Exception):
    """The order did not get through; the text holds what the gateway answered."""


@dataclass(frozen=True, slots=True)
class Demo:
    """The demonstration. `wait_until(condition, seconds)` is how its caller waits."""

    gateway: Gateway
    wait_until: Callable[[Callable[[], bool], float], bool]

    def run(self) -> dict[str, Any]:
        """Place one market order and follow it to its end; returns the detail view.

        Raises DemoError, and NoAnswerError where the gateway is gone.
        """
        key = f"demo-{ids.new_id()}"
        placed = self.gateway.post(f"{ORDERS}/stocks", COMMAND, idempotency_key=key)
        if placed.status != ACCEPTED:
            raise DemoError(_said("the order was not accepted", placed))
        path = f"{ORDERS}/{placed.body['id']}"
        seen = [placed]

        def is_final() -> bool:
            seen[0] = self.gateway.get(path)
            return seen[0].status == FOUND and bool(seen[0].body["final"])

        if not self.wait_until(is_final, FILL_SECONDS):
            raise DemoError(_said(f"the order is not final after {FILL_SECONDS:.0f} s", seen[0]))
        return seen[0].body


def drawn(order: dict[str, Any]) -> RenderableType:
    """The order's timeline (api.md §3) as a table."""
    table = Table(show_edge=False)
    table.add_column("stage")
    table.add_column("ms", justify="right")
    table.add_column("of them since the last", justify="right")
    before = 0.0
    for step in order["timeline"]:
        table.add_row(step["stage"], f"{step['ms']:.1f}", f"+{step['ms'] - before:.1f}")
        before = step["ms"]
    return Group(_headline(order), table)


def _headline(order: dict[str, Any]) -> str:
    price = order["filled_avg_price"]
    filled = f" at {price}" if price else ""
    return (
        f"{order['account_id']}: {order['side']} {order['qty']} {order['symbol']}"
        f" {order['type']} → {order['status']}{filled}"
    )


def _said(what: str, answer: Answer) -> str:
    return f"{what}: {answer.status} {answer.body}"
