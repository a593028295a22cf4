"""What three sick accounts cost their neighbours: orders a second, and p99 to the broker's answer.

One account is answered ten times slower, one is answered 429, one has a dead key. The others have
the same load in every round, about half of what the machine can do; in each second round the sick
ones have theirs too, as much for each as a healthy one has. Run by the bench as
`python -m benchmarks.bulkhead` it is the client: orders leave by the clock, whoever answers slowly.
"""

import asyncio
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import psycopg
import uvloop
from psycopg.rows import dict_row

from benchmarks import load
from benchmarks.bench import ACCOUNTS, Bench, BenchError
from benchmarks.cores import OTHERS
from benchmarks.order_accepted import BUSY
from benchmarks.rows import Row, at_least, at_most, compared
from opitios.core import clock
from opitios.management.stack import account_ids

SLOW, THROTTLED, DEAD, *HEALTHY = account_ids(ACCOUNTS)
SICK = (SLOW, THROTTLED, DEAD)

# The broker of design.md §11, and one ten times slower. Milliseconds.
BROKER_MS, SLOW_MS = 20, 200
_SUBMIT = {"route": "POST /v2/orders", "times": 0}
# The first that fits a request strikes it.
FAULTS: tuple[dict[str, Any], ...] = (
    {"fault": "delay", "ms": SLOW_MS, "account": SLOW, **_SUBMIT},
    {"fault": "429", "account": THROTTLED, **_SUBMIT},
    {"fault": "401", "account": DEAD, "route": "*", "times": 0},
    {"fault": "delay", "ms": BROKER_MS, **_SUBMIT},
)

# Half of what can be done: more, and a round measures the queue and not the neighbours.
LOAD_SHARE = 0.5
# A p99 is of some hundred orders at least: a round is so many times the effort's seconds.
ROUND = 2
# Connections of the client; the sick ones have theirs, so that nobody waits for them here.
LINES, SICK_LINES = 32, 8
# Market orders wait ten seconds to be sent, and an answer is waited for eight.
OVER_SECONDS = 30.0

BODY = b'{"symbol":"AAPL","side":"buy","type":"market","qty":"1","time_in_force":"day"}'

_ACKNOWLEDGED = """
SELECT count(*) AS orders, count(a.ms) AS acknowledged,
    extract(epoch FROM max(a.sent_at + a.ms * interval '1 ms') - min(o.created_at))::float8
        AS seconds,
    percentile_disc(0.99) WITHIN GROUP (
        ORDER BY extract(epoch FROM a.sent_at - o.created_at)::float8 * 1000 + a.ms) AS p99_ms
FROM trading_order o LEFT JOIN trading_attempt a ON a.order_id = o.id AND a.kind = 'submit'
    AND a.n = o.attempts AND a.outcome = 'accepted'
WHERE o.account_id = ANY(%s) AND o.created_at >= %s
"""

_WAITING = """
SELECT count(*) FROM trading_order WHERE account_id = ANY(%s)
AND status IN ('queued', 'submitting', 'unknown')
"""


def run(bench: Bench) -> list[Row]:
    """Measure rounds with the sick accounts and without them, in turns. Raises BenchError."""
    bench.start_desk()
    for fault in FAULTS:
        _turn_on(bench, fault)
    rate = LOAD_SHARE * _saturation(bench)
    seconds = bench.effort.seconds * ROUND
    _round(bench, rate, seconds, SICK)
    pairs = []
    for number in range(bench.effort.rounds):
        bench.tell(f"bulkhead: round {number + 1} of {bench.effort.rounds}, {rate:.0f} orders/s")
        # The one that comes first has the younger database: they take turns.
        order = (SICK, ()) if number % 2 else ((), SICK)
        found = {bool(sick): _round(bench, rate, seconds, sick) for sick in order}
        pairs.append((found[True], found[False]))
    return [
        compared(
            name="neighbours_of_the_sick",
            unit="orders/s",
            pairs=[(sick["per_second"], well["per_second"]) for sick, well in pairs],
            budget=at_least(0.9),
        ),
        compared(
            name="neighbours_of_the_sick_ack_p99",
            unit="ms",
            pairs=[(sick["p99_ms"], well["p99_ms"]) for sick, well in pairs],
            budget=at_most(1.1),
        ),
    ]


def _turn_on(bench: Bench, fault: dict[str, Any]) -> None:
    request = Request(  # noqa: S310 - the sandbox on loopback
        f"{bench.stack.addresses.sandbox_url}/sandbox/faults",
        data=json.dumps(fault).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urlopen(request, timeout=5):  # noqa: S310 - as above
        pass


def _saturation(bench: Bench) -> float:
    """Orders a second that the whole way can do: accepted as fast as they are, then all sent."""
    # A pool that still opens its connections may refuse; after this nobody may.
    _acknowledged(bench, _burst(bench)["began"])
    bench.analyze()
    found = _burst(bench)
    if found["odd"]:
        raise BenchError(f"{found['odd']} orders were not accepted, such as {found['first_odd']}")
    per_second = _acknowledged(bench, found["began"])["per_second"]
    bench.tell(f"bulkhead: at most {per_second:.0f} orders/s")
    return per_second


def _burst(bench: Bench) -> dict[str, Any]:
    began = clock.now()
    seconds, clients = str(bench.effort.seconds), str(LINES)
    told = {"BENCH_CLIENTS": clients, "BENCH_SECONDS": seconds, **_told(bench)}
    return {"began": began, **bench.measure("benchmarks.load", OTHERS, **told)}


def _round(bench: Bench, rate: float, seconds: float, sick: tuple[str, ...]) -> dict[str, float]:
    began = clock.now()
    said = bench.measure(
        "benchmarks.bulkhead",
        OTHERS,
        BENCH_SECONDS=str(seconds),
        BENCH_RATE=str(rate),
        BENCH_SICK=",".join(sick),
        **_told(bench),
    )
    if set(said["healthy"]) != {"202"}:
        raise BenchError(f"healthy accounts were answered {said['healthy']}")
    if said["cpu_share"] > BUSY:
        raise BenchError("the load client is busier than the gateway: nothing was measured")
    found = _acknowledged(bench, began)
    bench.tell(
        f"bulkhead: {'with' if sick else 'without'} the sick {found['per_second']:.0f}/s,"
        f" p99 {found['p99_ms']:.1f} ms; the sick were answered {said['sick']}"
    )
    # What is left of the sick ones' orders must not be in the next round.
    _wait(bench, lambda: _asked(bench, _WAITING, (list(SICK),))["count"] == 0)
    return found


def _acknowledged(bench: Bench, began: datetime) -> dict[str, float]:
    """Wait until the broker has acknowledged every healthy order since then; how fast it was."""
    found: dict[str, Any] = {}

    def is_over() -> bool:
        found.update(_asked(bench, _ACKNOWLEDGED, (HEALTHY, began)))
        return bool(found["orders"] == found["acknowledged"])

    _wait(bench, is_over)
    return {"per_second": found["orders"] / found["seconds"], "p99_ms": found["p99_ms"]}


def _wait(bench: Bench, is_over: Any) -> None:
    if not bench.wait_until(is_over, seconds=OVER_SECONDS, every=0.2):
        raise BenchError(f"orders still wait {OVER_SECONDS:.0f} s after the last one")


def _asked(bench: Bench, question: str, about: tuple[Any, ...]) -> dict[str, Any]:
    with psycopg.connect(bench.stack.database_urls()[1], row_factory=dict_row) as connection:
        row = connection.execute(question.encode(), about).fetchone()
    return row or {}


def _told(bench: Bench) -> dict[str, str]:
    return {
        "BENCH_URL": bench.stack.addresses.api_url,
        "BENCH_TOKEN": bench.token,
        "BENCH_ACCOUNTS": ",".join(HEALTHY),
    }


# The client

Waiting = asyncio.Queue[bytes | None]


async def offer(
    address: tuple[str, int], requests: Iterator[bytes], *, rate: float, seconds: float, lines: int
) -> Counter[str]:
    """Send so many requests a second, whether or not the ones before are answered.

    Returns the answers' statuses, counted, when all of them have come.
    """
    waiting: Waiting = asyncio.Queue()
    statuses: Counter[str] = Counter()
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as group:
        for _ in range(lines):
            group.create_task(_line(address, waiting, statuses))
        began = loop.time()
        for number in range(int(rate * seconds)):
            await asyncio.sleep(began + number / rate - loop.time())
            waiting.put_nowait(next(requests))
        for _ in range(lines):
            waiting.put_nowait(None)
    return statuses


async def _line(address: tuple[str, int], waiting: Waiting, statuses: Counter[str]) -> None:
    reader, writer = await asyncio.open_connection(*address)
    while (request := await waiting.get()) is not None:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(load.content_length(head))
        statuses[head.split(b" ", 2)[1].decode()] += 1
    writer.close()


async def _offer_both() -> dict[str, Any]:
    told = os.environ
    url, token, seconds = urlsplit(told["BENCH_URL"]), told["BENCH_TOKEN"], told["BENCH_SECONDS"]
    address = str(url.hostname), int(url.port or 0)
    healthy, rate = told["BENCH_ACCOUNTS"].split(","), float(told["BENCH_RATE"])
    sick = told["BENCH_SICK"].split(",") if told["BENCH_SICK"] else []

    def load_on(accounts: list[str], lines: int) -> Any:
        requests = load.orders(url.netloc, token, accounts, body=BODY)
        each = rate * len(accounts) / len(healthy)
        return offer(address, requests, rate=each, seconds=float(seconds), lines=lines)

    loads = [load_on(healthy, LINES)] + ([load_on(sick, SICK_LINES)] if sick else [])
    began, cpu = time.perf_counter(), time.process_time()
    statuses = await asyncio.gather(*loads)
    share = (time.process_time() - cpu) / (time.perf_counter() - began)
    return {"healthy": statuses[0], "sick": statuses[-1] if sick else {}, "cpu_share": share}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(uvloop.run(_offer_both())))
