"""A quote nobody asked for yet: milliseconds through the gateway, against alpaca-py directly.

One client, one symbol after the other, each asked for once by either of them. Run by the bench as
`python -m benchmarks.quote_cold`, told by its environment.
"""

import http.client
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice, product
from string import ascii_uppercase
from urllib.parse import urlsplit

from alpaca.data.historical.stock import StockHistoricalDataClient
from alpaca.data.requests import StockLatestQuoteRequest

from benchmarks.bench import Bench
from benchmarks.cores import OTHERS
from benchmarks.rows import Row, compared, percentile

# Quotes of each round; all of them are calls within the data accounts' plan.
QUOTES = 30
OK = 200


def run(bench: Bench) -> list[Row]:
    """Measure, ours and the rival in turns. Raises BenchError."""
    bench.start_desk()
    bench.tell("quote_cold: ours and alpaca-py in turns")
    told = bench.measure(
        __name__,
        OTHERS,
        BENCH_URL=bench.stack.addresses.api_url,
        BENCH_TOKEN=bench.token,
        BENCH_SANDBOX=bench.stack.addresses.sandbox_url,
        BENCH_ROUNDS=str(bench.effort.rounds),
    )
    return [compared(name="quote_cold", unit="ms", pairs=told["pairs"], budget=None)]


def pairs_of(rounds: int) -> list[tuple[float, float]]:
    """The medians of so many rounds: ours and alpaca-py's, in milliseconds."""
    ours, theirs = _ours(), _theirs()
    names = _names()
    for ask in (ours, theirs):
        _median(ask, names)
    return [(_median(ours, names), _median(theirs, names)) for _ in range(rounds)]


def _ours() -> Callable[[str], None]:
    line = http.client.HTTPConnection(urlsplit(os.environ["BENCH_URL"]).netloc, timeout=10)
    headers = {"Authorization": f"Bearer {os.environ['BENCH_TOKEN']}"}

    def ask(symbol: str) -> None:
        line.request("GET", f"/api/v1/stocks/quote/{symbol}", headers=headers)
        answer = line.getresponse()
        body = answer.read()
        if answer.status != OK or json.loads(body)["source"] != "broker":
            raise SystemExit(f"{symbol} was answered {answer.status} {body!r}")

    return ask


def _theirs() -> Callable[[str], None]:
    client = StockHistoricalDataClient(
        "SANDBOX_backup_001",
        "sandbox-secret-backup_001",
        raw_data=True,
        url_override=os.environ["BENCH_SANDBOX"],
    )

    def ask(symbol: str) -> None:
        client.get_stock_latest_quote(StockLatestQuoteRequest(symbol_or_symbols=symbol))

    return ask


def _median(ask: Callable[[str], None], names: Iterator[str]) -> float:
    taken = []
    for symbol in islice(names, QUOTES):
        began = time.perf_counter()
        ask(symbol)
        taken.append((time.perf_counter() - began) * 1000)
    return percentile(taken, 50)


def _names() -> Iterator[str]:
    """Tickers that nobody asked for."""
    return ("".join(letters) for letters in product("Q", *[ascii_uppercase] * 4))


if __name__ == "__main__":
    sys.stdout.write(json.dumps({"pairs": pairs_of(int(os.environ["BENCH_ROUNDS"]))}))
