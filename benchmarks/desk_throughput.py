"""Orders a second from one desk, on one core, to a broker that answers after 20 ms.

The desk claims, sends, journals and reads the stream of every order, until the last is filled and
stored: then nothing of it is left to disturb the rival's turn. The rivals only send: a `def`
FastAPI endpoint with its thread pool, and the blocking style, both with alpaca-py, both on the same
core. Everything else runs on the other cores.
"""

import json
import os
import signal
import sys
from dataclasses import replace
from typing import Any
from urllib.request import Request, urlopen

import psycopg

from benchmarks.bench import ACCOUNTS, ROOT, Bench, BenchError
from benchmarks.cores import MEASURED, OTHERS, pinned_to
from benchmarks.rows import Row, at_least, compared
from opitios.core import ids
from opitios.core.embedded import ports, processes
from opitios.management.stack import account_ids

# The broker of design.md §11.
BROKER_MS = 20
RIVAL_PORT = 28099
CLIENTS = 64
SETTLED_SECONDS = 60.0

# Copies of one stored order, waiting to be sent: what web would have stored, without web's cost.
_QUEUE = """
INSERT INTO trading_order SELECT r.* FROM trading_order o,
unnest(%(ids)s::uuid[], %(accounts)s::text[]) AS new(id, account),
jsonb_populate_record(o, jsonb_build_object(
    'id', new.id, 'account_id', new.account, 'client_order_id', 'bench-' || new.id,
    'idempotency_key', NULL, 'status', 'queued', 'final', false, 'attempts', 0,
    'broker_order_id', NULL, 'filled_qty', 0, 'filled_avg_price', NULL,
    'broker_updated_at', NULL, 'created_at', clock_timestamp(),
    'not_after', clock_timestamp() + interval '10 minutes')) r
WHERE o.id = %(template)s
"""

_MEASURE = """
SELECT count(*) FILTER (WHERE o.final AND NOT o.fills_short) AS filled,
    extract(epoch FROM max(o.updated_at) - min(a.sent_at)) AS seconds
FROM trading_order o LEFT JOIN trading_attempt a ON a.order_id = o.id WHERE o.id = ANY(%s)
"""


def run(bench: Bench) -> list[Row]:
    """Measure the desk and its rivals in turns. Raises BenchError."""
    bench.start_desk()
    pin(bench)
    _slow_broker(bench)
    template = template_of(bench)
    rows = []
    for style, wanted in (("threads", 0.8), ("blocking", 15.0)):
        pairs = []
        with _Rival(bench, style) as rival:
            for number in range(min(bench.effort.rounds, 3)):
                bench.tell(f"desk_throughput: {style}, round {number + 1}")
                pairs.append((_ours(bench, template), rival.measure()))
        rows.append(
            compared(
                name=f"desk_orders_vs_{style}",
                unit="orders/s",
                pairs=pairs,
                budget=at_least(wanted),
            )
        )
    return rows


def pin(bench: Bench) -> None:
    """The desk alone on the measured core, everything else off it."""
    for child_name, cores in (("desk-1", MEASURED), ("web-1", OTHERS), ("sandbox", OTHERS)):
        pid = bench.pid_of(child_name)
        for each in [pid, *processes.children_of(pid)]:
            _set_affinity(each, cores)


def _set_affinity(pid: int, cores: frozenset[int]) -> None:
    for task in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - thread ids
        os.sched_setaffinity(int(task), cores)


def _slow_broker(bench: Bench) -> None:
    fault = {"fault": "delay", "ms": BROKER_MS, "route": "POST /v2/orders", "times": 0}
    request = Request(  # noqa: S310 - the sandbox on loopback
        f"{bench.stack.addresses.sandbox_url}/sandbox/faults",
        data=json.dumps(fault).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urlopen(request, timeout=5):  # noqa: S310 - as above
        pass


def template_of(bench: Bench) -> str:
    """Place the order that the others are copies of; its id."""
    account = account_ids(ACCOUNTS)[0]
    body = {"symbol": "AAPL", "side": "buy", "type": "market", "qty": "1", "time_in_force": "day"}
    path = f"/api/v1/accounts/{account}/orders/stocks"
    placed = bench.gateway.post(path, body, idempotency_key=str(ids.new_id()))
    return str(placed.body["id"])


def _ours(bench: Bench, template: str) -> float:
    return orders_a_second(bench, template, account_ids(ACCOUNTS), orders_of(bench))


def orders_of(bench: Bench) -> int:
    """How many orders a round has."""
    return max(200, bench.effort.orders * 5)


def orders_a_second(bench: Bench, template: str, names: list[str], count: int) -> float:
    """Queue the orders while the desk sleeps, wake it, and read how long all took to be filled.

    They are copies of the order `template`, in turns for these accounts. Raises BenchError.
    """
    order_ids = [ids.new_id() for _ in range(count)]
    accounts = [names[number % len(names)] for number in range(count)]
    processes.send(bench.pid_of("desk-1"), signal.SIGSTOP)
    try:
        with psycopg.connect(bench.stack.database_urls()[1]) as connection:
            about = {"ids": order_ids, "accounts": accounts, "template": template}
            connection.execute(_QUEUE.encode(), about)
    finally:
        processes.send(bench.pid_of("desk-1"), signal.SIGCONT)
    found: list[dict[str, Any]] = [{}]

    def is_done() -> bool:
        with psycopg.connect(bench.stack.database_urls()[1]) as connection:
            row = connection.execute(_MEASURE.encode(), (order_ids,)).fetchone()
        filled, seconds = row if row is not None else (0, None)
        found[0] = {"filled": filled, "seconds": seconds}
        return bool(filled == count)

    if not bench.wait_until(is_done, seconds=SETTLED_SECONDS, every=0.5):
        raise BenchError(f"of {count} orders {found[0]['filled']} were filled")
    return count / float(found[0]["seconds"])


class _Rival:
    """A uvicorn with the rival's endpoint, alone on the measured core while it is asked."""

    def __init__(self, bench: Bench, style: str) -> None:
        self._bench, self._style = bench, style

    def __enter__(self) -> "_Rival":
        bench = self._bench
        program = bench.stack.command(f"rival-{self._style}")
        argv = (sys.executable, "-m", "uvicorn", "benchmarks.rivals.fastapi_gateway:app")
        quiet = ("--log-level", "warning", "--no-access-log", "--port", str(RIVAL_PORT))
        told = {
            **program.environment,
            "BENCH_SANDBOX": bench.stack.addresses.sandbox_url,
            "BENCH_STYLE": self._style,
        }
        with pinned_to(MEASURED):
            bench.start_program(
                replace(program, argv=(*argv, *quiet), environment=told, folder=ROOT)
            )
        if not bench.wait_until(lambda: ports.listens(RIVAL_PORT), seconds=30, every=0.2):
            raise BenchError(f"the rival {self._style} does not listen")
        return self

    def __exit__(self, *_: object) -> None:
        self._bench.end_program(f"rival-{self._style}")

    def measure(self) -> float:
        """Load it for one round."""
        bench = self._bench
        found = bench.measure(
            "benchmarks.load",
            OTHERS,
            BENCH_URL=f"http://127.0.0.1:{RIVAL_PORT}",
            BENCH_TOKEN="none",  # noqa: S106 - the rival asks for none
            BENCH_CLIENTS=str(CLIENTS),
            BENCH_SECONDS=str(bench.effort.seconds),
            BENCH_ACCOUNTS=",".join(account_ids(ACCOUNTS)),
        )
        if found["odd"]:
            raise BenchError(f"the rival refused orders, such as {found['first_odd']}")
        return float(found["per_second"])
