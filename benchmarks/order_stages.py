"""One order's way through web, desk and sandbox, stage by stage, at a modest rate.

Milliseconds since the order was received, from the timeline of its detail view (api.md §3).
"""

from itertools import cycle, islice
from typing import Any

from benchmarks.bench import ACCOUNTS, Bench, BenchError
from benchmarks.rows import Row, percentile
from opitios.core import ids
from opitios.management.gateway import Answer
from opitios.management.stack import account_ids

STAGES = ("stored", "sent", "acknowledged", "first_fill", "final")
PERCENTILES = (50, 99)

# An order each so many seconds: what waits here, waits for the way and not for other orders.
PAUSE_SECONDS = 0.05
# The sandbox fills within 50 ms.
FINAL_SECONDS = 20.0

ORDER = {"symbol": "AAPL", "side": "buy", "type": "market", "qty": "1", "time_in_force": "day"}

# Accepted and stored; found.
_ACCEPTED, _FOUND = 202, 200


def run(bench: Bench) -> list[Row]:
    """Follow the orders to their end. Raises BenchError where one does not get there."""
    bench.start_desk()
    bench.tell(f"order_stages: {bench.effort.orders} orders")
    paths = [_placed(bench, account) for account in _accounts(bench.effort.orders)]
    orders = [_final(bench, path) for path in paths]
    return [_row(stage, percent, orders) for stage in STAGES for percent in PERCENTILES]


def _accounts(orders: int) -> list[str]:
    return list(islice(cycle(account_ids(ACCOUNTS)), orders))


def _placed(bench: Bench, account: str) -> str:
    path = f"/api/v1/accounts/{account}/orders"
    placed = bench.gateway.post(f"{path}/stocks", ORDER, idempotency_key=str(ids.new_id()))
    if placed.status != _ACCEPTED:
        raise BenchError(f"an order was not accepted: {placed.status} {placed.body}")
    bench.wait_until(lambda: False, seconds=PAUSE_SECONDS, every=PAUSE_SECONDS)
    return f"{path}/{placed.body['id']}"


def _final(bench: Bench, path: str) -> dict[str, float]:
    seen: list[Answer] = []

    def is_final() -> bool:
        seen.append(bench.gateway.get(path))
        return seen[-1].status == _FOUND and bool(seen[-1].body["final"])

    if not bench.wait_until(is_final, seconds=FINAL_SECONDS, every=0.1):
        raise BenchError(f"an order is not final after {FINAL_SECONDS:.0f} s: {seen[-1].body}")
    return _stages(seen[-1].body)


def _stages(order: dict[str, Any]) -> dict[str, float]:
    stages = {step["stage"]: float(step["ms"]) for step in order["timeline"]}
    if missing := set(STAGES) - set(stages):
        raise BenchError(f"an order has no {sorted(missing)}: {order['status']} {order['problem']}")
    return stages


def _row(stage: str, percent: int, orders: list[dict[str, float]]) -> Row:
    value = percentile([order[stage] for order in orders], percent)
    return Row(name=f"order_{stage}_p{percent}", value=round(value, 1), unit="ms")
