"""`python -m benchmarks`: JSON lines on stdout, progress on stderr."""

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping

from rich.console import Console

from benchmarks import (
    bulkhead,
    desk_throughput,
    fleet_cost,
    fleet_import,
    fleet_warm,
    inbound_limits,
    live_feed,
    order_accepted,
    order_stages,
    quote_cached,
    quote_cold,
    quotes_batch,
    streams,
    token_check,
    upstream_call,
)
from benchmarks.bench import Bench, BenchError, Effort, prepared
from benchmarks.rows import Row
from opitios.core import clock
from opitios.core.embedded.homes import HomeError
from opitios.core.embedded.supervisor import StopAskedError

BENCHES: Mapping[str, Callable[[Bench], list[Row]]] = {
    "order_accepted": order_accepted.run,
    "quote_cached": quote_cached.run,
    "quotes_batch": quotes_batch.run,
    "quote_cold": quote_cold.run,
    "live_feed": live_feed.run,
    "upstream_call_cpu": upstream_call.measure,
    "token_check": token_check.run,
    "inbound_limits": inbound_limits.run,
    "order_stages": order_stages.run,
    "desk_throughput": desk_throughput.run,
    "bulkhead": bulkhead.run,
    "fleet_warm": fleet_warm.run,
    "fleet_import": fleet_import.run,
    "fleet_cost": fleet_cost.run,
    "streams": streams.run,
}

FULL = Effort(rounds=5, seconds=4.0, orders=200)
QUICK = Effort(rounds=1, seconds=1.0, orders=20)

DONE, FAILED = 0, 1


def main() -> int:
    """Measure what was asked for; the exit code says whether everything could be measured."""
    asked = _asked()
    console = Console(stderr=True, highlight=False)
    began = clock.monotonic()

    def tell(what: str) -> None:
        console.print(f"[dim]{clock.monotonic() - began:6.1f} s[/] {what}", markup=True)

    try:
        for name in asked.only or BENCHES:
            # Servers of its own for each: what one leaves queued is not in the way of the next.
            with prepared(QUICK if asked.quick else FULL, tell) as bench:
                _say(BENCHES[name](bench))
    except (BenchError, HomeError) as error:
        console.print(f"✗ {error}", style="red", markup=False)
        return FAILED
    except StopAskedError:
        console.print("✗ stopped", style="red")
        return FAILED
    return DONE


def _say(rows: list[Row]) -> None:
    for row in rows:
        sys.stdout.write(json.dumps(row.as_json()) + "\n")
    sys.stdout.flush()


def _asked() -> Namespace:
    parser = ArgumentParser(
        prog="python -m benchmarks", description="Measure Opitios against rivals on this machine."
    )
    parser.add_argument("--only", action="append", choices=BENCHES, help="this bench alone")
    parser.add_argument("--quick", action="store_true", help="one short round: a try, no figure")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
