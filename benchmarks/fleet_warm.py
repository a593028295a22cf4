"""Seconds and memory to warm the clients of 1000 accounts: ours against stock alpaca-py.

Each side is a process of its own that makes its clients (trading, stock and option data) and reads
every account once at the sandbox, with as many threads. What one account costs is taken off: the
program itself and its first connection. Ours also opens the sealed keys.

Run by the bench as `python -m benchmarks.fleet_warm`, told by its environment.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from benchmarks.bench import ROOT, Bench, BenchError
from benchmarks.cores import MEASURED
from benchmarks.rows import Row, bounded
from opitios.core.embedded import ports
from opitios.management.stack import account_ids

ACCOUNTS = 1000
# The row "1000 accounts warm after start (sandbox), above one account" of the budgets.
MOST_SECONDS, MOST_MIB = 5.0, 80.0
THREADS = 8

Read = Callable[[], object]


def run(bench: Bench) -> list[Row]:
    """Measure both sides with one account and with all. Raises BenchError."""
    bench.start_servers()
    sandbox = bench.stack.sandbox()
    bench.start_program(replace(sandbox, folder=ROOT))
    if not bench.wait_until(
        lambda: ports.listens(bench.stack.addresses.sandbox), seconds=30, every=0.1
    ):
        raise BenchError("the sandbox does not listen")
    bench.import_fleet(1)
    one = {side: _measure(bench, side, 1) for side in ("ours", "stock")}
    bench.import_fleet(ACCOUNTS)
    many = {side: _measure(bench, side, ACCOUNTS) for side in ("ours", "stock")}
    above = {
        side: {what: many[side][what] - one[side][what] for what in ("seconds", "mib")}
        for side in many
    }
    return [
        bounded(
            name="warm_1000_seconds",
            unit="s",
            value=above["ours"]["seconds"],
            rival=above["stock"]["seconds"],
            at_most=MOST_SECONDS,
        ),
        bounded(
            name="warm_1000_mib",
            unit="MiB",
            value=above["ours"]["mib"],
            rival=above["stock"]["mib"],
            at_most=MOST_MIB,
        ),
    ]


def _measure(bench: Bench, side: str, count: int) -> dict[str, float]:
    bench.tell(f"fleet_warm: {side}, {count}")
    return bench.measure(
        __name__,
        MEASURED,
        BENCH_SIDE=side,
        BENCH_ACCOUNTS=str(count),
        BENCH_SANDBOX=bench.stack.addresses.sandbox_url,
    )


def _ours(names: Sequence[str], _sandbox: str) -> list[Read]:
    from accounts.pool import get_pool  # noqa: PLC0415 - Django is set up late

    pool = get_pool()
    pool.refresh()
    found = [account for name in names if (account := pool.get(name)) is not None]
    return [account.trading.account for account in found]


def _stock(names: Sequence[str], sandbox: str) -> list[Read]:
    from alpaca.data.historical import (  # noqa: PLC0415 - only this side pays for it
        OptionHistoricalDataClient,
        StockHistoricalDataClient,
    )
    from alpaca.trading.client import TradingClient  # noqa: PLC0415

    kept: list[object] = []
    reads: list[Read] = []
    for name in names:
        keys = (f"SANDBOX_{name}", f"sandbox-secret-{name}")
        trading = TradingClient(*keys, raw_data=True, url_override=sandbox)
        kept += [
            StockHistoricalDataClient(*keys, url_override=sandbox),
            OptionHistoricalDataClient(*keys, url_override=sandbox),
        ]
        # The data clients live as long as the trading client does.
        reads.append(lambda trading=trading, _kept=kept: trading.get_account())  # type: ignore[misc]
    return reads


def _memory_mib() -> float:
    """What this process has for itself, and its part of what it shares."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    [pss] = [line for line in lines if line.startswith("Pss:")]
    return int(pss.split()[1]) / 1024


def main() -> None:
    """Warm one side as the environment says, and print one object."""
    import django  # noqa: PLC0415 - settings are those of the bench

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opitios.settings")
    django.setup(set_prefix=False)
    make = _ours if os.environ["BENCH_SIDE"] == "ours" else _stock
    names = account_ids(int(os.environ["BENCH_ACCOUNTS"]))
    began = time.perf_counter()
    reads = make(names, os.environ["BENCH_SANDBOX"])
    with ThreadPoolExecutor(THREADS) as threads:
        answers = list(threads.map(lambda read: read(), reads))
    said = {"seconds": time.perf_counter() - began, "mib": _memory_mib()}
    if len(answers) != len(names):
        sys.exit(f"only {len(answers)} of {len(names)} accounts were read")
    sys.stdout.write(json.dumps(said))


if __name__ == "__main__":
    main()
