"""What the limits cost a request: processor time of one order that six limits count.

Ours against stock throttled-py, which is asked for each limit by itself; both take turns within one
run. In memory: one process, without Redis. Shared: two processes and Redis, ours settling in the
background as in production. Run by the bench as `python -m benchmarks.inbound_limits`.
"""

import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Sequence

import redis
import structlog
from throttled import MemoryStore, RedisStore, Throttled, per_sec
from throttled.store import BaseStore

from benchmarks.bench import Bench
from benchmarks.cores import MEASURED
from benchmarks.rows import Row, compared
from opitios.core import permits
from opitios.core.admission import Admission, Asker, Lane, Threads
from opitios.core.config import InboundLimits
from opitios.core.permits import Permits, Store

CALLS = 1000
WARM_UP = 200
# As many subjects and accounts ask in turns: some buckets are everybody's, most are not.
SUBJECTS = 50
# So much that nobody is refused: a refusal is cheaper.
PLENTY = 10_000_000
LIMITS = InboundLimits(
    requests_per_second=PLENTY,
    account_per_second=PLENTY,
    subject_per_minute=PLENTY,
    subject_orders_per_minute=PLENTY,
    orders_per_minute=PLENTY,
)
# The names of the six, for the rival: (limit, whether it is everybody's).
NAMES = ("global", "account", "subject", "subject-orders", "endpoint-orders", "token")

Call = Callable[[], object]


def run(bench: Bench) -> list[Row]:
    """Both rows, measured in a process of its own. Raises BenchError."""
    bench.start_servers()
    bench.tell("inbound_limits: ours and stock throttled-py in turns")
    told = {"BENCH_ROUNDS": str(bench.effort.rounds), "REDIS_URL": bench.stack.redis_url}
    found = bench.measure(__name__, MEASURED, **told)
    return [
        compared(name=f"inbound_limits_{where}", unit="us", pairs=found[where], budget=None)
        for where in ("memory", "shared")
    ]


class _NoRedis(Store):
    """Redis that is never there."""

    def settle(
        self, told: Sequence[permits._Told], *, take: bool = False, believe: bool = False
    ) -> tuple[int, list[float]]:
        """Fail as redis-py does."""
        raise redis.ConnectionError


def pairs_of(rounds: int, url: str) -> dict[str, list[tuple[float, float]]]:
    """Measure so many rounds of each: microseconds of our processor time a request, and theirs."""
    shared = permits.RedisStore(url, namespace="bench")
    return {
        "memory": _rounds(_ours(_NoRedis(), processes=1), _stock(MemoryStore()), rounds),
        "shared": _rounds(
            _ours(shared, processes=2), _stock(RedisStore(server=url, options={})), rounds
        ),
    }


def _rounds(ours: Call, stock: Call, rounds: int) -> list[tuple[float, float]]:
    for call in (ours, stock):
        _cpu_microseconds(call, WARM_UP)
    return [(_cpu_microseconds(ours), _cpu_microseconds(stock)) for _ in range(rounds)]


def _ours(store: Store, *, processes: int) -> Call:
    counted = Permits(store)
    counted.share_among(processes)
    admission = Admission(counted, LIMITS, Threads(16))
    admission.start()
    askers = itertools.cycle(
        Asker(
            subject=f"bot-{number}",
            lane=Lane.ORDER,
            account_id=f"account_{number:03}",
            endpoint="orders",
            per_minute=PLENTY,
        )
        for number in range(SUBJECTS)
    )

    def call() -> object:
        asker = next(askers)
        admission.shed(asker, waited=0.0, low_priority=False)
        return admission.admit(asker)

    return call


def _stock(store: BaseStore) -> Call:
    throttles = [
        Throttled(using="gcra", quota=per_sec(PLENTY, burst=PLENTY), store=store) for _ in NAMES
    ]
    numbers = itertools.cycle(range(SUBJECTS))

    def call() -> object:
        number = next(numbers)
        return [
            throttle.limit(f"{name}:{number}")
            for throttle, name in zip(throttles, NAMES, strict=True)
        ]

    return call


def _cpu_microseconds(call: Call, times: int = CALLS) -> float:
    began = time.process_time()
    for _ in range(times):
        call()
    return (time.process_time() - began) / times * 1e6


if __name__ == "__main__":
    # Standard output is the figures'.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    found = pairs_of(int(os.environ["BENCH_ROUNDS"]), os.environ["REDIS_URL"])
    sys.stdout.write(json.dumps(found))
