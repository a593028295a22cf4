"""Orders accepted (202) a second over HTTP by one core of web, against plain psycopg on that core.

Both store the same rows through the same SQL function, durably; the rival has neither HTTP nor
token, validation, hint or log. Everything else runs on the other cores. What an order costs the web
process in processor time says most on a machine that has other things to do.
"""

import statistics
from typing import Any

from benchmarks.bench import ACCOUNTS, Bench, BenchError
from benchmarks.cores import MEASURED, OTHERS, cpu_seconds
from benchmarks.rows import Row, at_least, compared
from opitios.management.stack import account_ids

# More than the threads that store: the web worker always has the next request at hand.
CLIENTS = 32
# Enough for the rival to keep the cores of Postgres busy; its own core it hardly uses.
CONNECTIONS = 16

# A share of its core from which on a client may be what is measured.
BUSY = 0.9


def run(bench: Bench) -> list[Row]:
    """Measure, ours and the rival in turns. Raises BenchError where an order was not accepted."""
    bench.start_web()
    bench.tell("order_accepted: warming up")
    # A pool that still opens its connections may refuse; from here on nobody may.
    _load(bench)
    _rival(bench)
    bench.analyze()
    pairs, spent = [], []
    for number in range(bench.effort.rounds):
        bench.tell(f"order_accepted: round {number + 1} of {bench.effort.rounds}")
        before = cpu_seconds(bench.pid_of("web-1"))
        ours = _ours(bench)
        spent.append((cpu_seconds(bench.pid_of("web-1")) - before) / ours["accepted"] * 1e6)
        pairs.append((float(ours["per_second"]), _rival(bench)))
    each = round(statistics.median(spent), 1)
    return [
        compared(name="order_accepted", unit="orders/s", pairs=pairs, budget=at_least(0.6)),
        Row(name="order_accepted_cpu", value=each, unit="us"),
    ]


def _load(bench: Bench) -> dict[str, Any]:
    return bench.measure(
        "benchmarks.load",
        OTHERS,
        BENCH_URL=bench.stack.addresses.api_url,
        BENCH_TOKEN=bench.token,
        BENCH_CLIENTS=str(CLIENTS),
        **_told(bench),
    )


def _ours(bench: Bench) -> dict[str, Any]:
    found = _load(bench)
    if found["odd"]:
        raise BenchError(f"{found['odd']} orders were not accepted, such as {found['first_odd']}")
    if found["cpu_share"] > BUSY:
        raise BenchError("the load client is busier than the gateway: nothing was measured")
    bench.tell(
        f"order_accepted: {found['per_second']:.0f}/s, p50 {found['p50_ms']:.1f} ms, "
        f"p99 {found['p99_ms']:.1f} ms, the client used {found['cpu_share']:.0%} of a core"
    )
    return found


def _rival(bench: Bench) -> float:
    found = bench.measure(
        "benchmarks.rivals.accept_psycopg",
        MEASURED,
        BENCH_CONNECTIONS=str(CONNECTIONS),
        **_told(bench),
    )
    bench.tell(
        f"order_accepted: rival {found['per_second']:.0f}/s, {found['cpu_share']:.0%} of its core"
    )
    return float(found["per_second"])


def _told(bench: Bench) -> dict[str, str]:
    return {
        "BENCH_SECONDS": str(bench.effort.seconds),
        "BENCH_ACCOUNTS": ",".join(account_ids(ACCOUNTS)),
    }
