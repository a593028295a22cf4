"""The live feed: how many ticks a core carries, and how long one takes to be a readable quote.

`feed_ticks`: ticks a second of processor time that the market process takes off its socket and puts
on the bus, beside alpaca-py's own stream with a handler that does nothing. `feed_delay`: from the
sandbox's socket, as a listener of its own hears a quote, to the first answer of REST that shows it.
Run by the bench as `python -m benchmarks.live_feed`, told by its environment.
"""

import asyncio
import http.client
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from alpaca.data.enums import DataFeed
from alpaca.data.live.stock import StockDataStream
from websockets.sync.client import connect

from benchmarks.bench import Bench, BenchError
from benchmarks.cores import MEASURED, OTHERS, pinned_to
from benchmarks.quotes_batch import SYMBOLS
from benchmarks.rows import Row, compared, percentile
from opitios.management.gateway import Gateway

# Rounds of prices a second: of 100 symbols a thousand quotes and trades.
PER_SECOND = 10.0
# Until every symbol is wanted, subscribed and believed. Seconds.
LIVE_WITHIN = 30.0
WATCHED = "AAPL"
OK = 200


def run(bench: Bench) -> list[Row]:
    """Measure the carried ticks, then the delay. Raises BenchError where no price is live."""
    bench.start_desk()
    with pinned_to(MEASURED):
        bench.start_market()
    _sandbox(bench, "feed", {"quotes_per_second": PER_SECOND})
    bench.tell("live_feed: until every symbol is answered from the stream")
    names = ",".join(SYMBOLS)
    if not bench.wait_until(
        lambda: _all_streamed(bench.gateway, f"/api/v1/stocks/quotes?symbols={names}"),
        seconds=LIVE_WITHIN,
        every=0.5,
    ):
        raise BenchError("the feed did not become live")
    return [_ticks(bench), *_delays(bench)]


def _all_streamed(gateway: Gateway, path: str) -> bool:
    answer = gateway.get(path)
    rows = answer.body.get("quotes", {}).values()
    return bool(rows) and all(row["source"] == "stream" for row in rows)


def _ticks(bench: Bench) -> Row:
    pairs = []
    for number in range(bench.effort.rounds):
        bench.tell(f"feed_ticks: round {number + 1} of {bench.effort.rounds}")
        # Both hear the same prices at the same time; what the rival hears is what the market hears.
        told = _measure(bench, "ticks")
        ticks = told["ticks"]
        pairs.append((ticks / told["market_cpu_seconds"], ticks / told["cpu_seconds"]))
    return compared(name="feed_ticks", unit="ticks/s of a core", pairs=pairs, budget=None)


def _delays(bench: Bench) -> list[Row]:
    bench.tell("feed_delay: a listener and a reader")
    taken = _measure(bench, "delay")["milliseconds"]
    return [
        Row(name=f"feed_delay_p{share}", value=round(percentile(taken, share), 2), unit="ms")
        for share in (50, 99)
    ]


def _measure(bench: Bench, what: str) -> dict[str, Any]:
    return bench.measure(
        __name__,
        OTHERS,
        BENCH_WHAT=what,
        BENCH_URL=bench.stack.addresses.api_url,
        BENCH_TOKEN=bench.token,
        BENCH_SANDBOX=bench.stack.addresses.sandbox_url,
        BENCH_MARKET=str(bench.pid_of("market-1")),
        BENCH_SECONDS=str(bench.effort.seconds if what == "ticks" else bench.effort.seconds * 2),
    )


def _sandbox(bench: Bench, name: str, body: Any) -> None:
    line = http.client.HTTPConnection(urlsplit(bench.stack.addresses.sandbox_url).netloc)
    line.request("POST", f"/sandbox/{name}", json.dumps(body), {"Content-Type": "application/json"})
    answer = line.getresponse()
    if answer.status != OK:
        raise BenchError(f"the sandbox answered {answer.status}: {answer.read()!r}")
    line.close()


# In a process of its own


def _cpu_seconds(pid: str) -> float:
    """Processor time of all threads of a process, to a nanosecond."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(each.read_text().split()[0]) for each in threads) / 1e9


def count_ticks(seconds: float) -> dict[str, float]:
    """Hear quotes and trades of all symbols as alpaca-py does: how many, and what it cost."""
    return asyncio.run(_count_ticks(seconds))


async def _count_ticks(seconds: float) -> dict[str, float]:
    heard = count()
    stream = StockDataStream(
        "SANDBOX_account_002",
        "sandbox-secret-account_002",
        raw_data=True,
        feed=DataFeed.IEX,
        url_override=os.environ["BENCH_SANDBOX"].replace("http", "ws") + "/v2/iex",
    )

    async def hear(_: Any) -> None:
        next(heard)

    stream.subscribe_quotes(hear, *SYMBOLS)
    task = asyncio.create_task(stream._run_forever())
    await asyncio.sleep(1.0)
    market = os.environ["BENCH_MARKET"]
    # Only while both hear: what the market process does besides is a part of what it costs.
    before, cpu, theirs = next(heard), time.process_time(), _cpu_seconds(market)
    await asyncio.sleep(seconds)
    ticks, used = next(heard) - before - 1, time.process_time() - cpu
    spent = _cpu_seconds(market) - theirs
    task.cancel()
    return {"ticks": float(ticks), "cpu_seconds": used, "market_cpu_seconds": spent}


class Listener:
    """Hears one symbol at the sandbox's socket: when each quote came."""

    def __init__(self) -> None:
        self.heard: dict[str, float] = {}

    def run(self, closing: threading.Event) -> None:
        """Listen until told to stop."""
        url = os.environ["BENCH_SANDBOX"].replace("http", "ws") + "/v2/iex"
        with connect(url) as socket:
            key = {"key": "SANDBOX_account_001", "secret": "sandbox-secret-account_001"}
            socket.send(json.dumps({"action": "auth", **key}))
            socket.send(json.dumps({"action": "subscribe", "quotes": [WATCHED]}))
            while not closing.is_set():
                for message in json.loads(socket.recv(timeout=10)):
                    if message["T"] == "q":
                        self.heard.setdefault(message["t"], time.perf_counter())


@contextmanager
def _listening() -> Iterator[Listener]:
    listener, closing = Listener(), threading.Event()
    thread = threading.Thread(target=listener.run, args=(closing,), daemon=True)
    thread.start()
    try:
        yield listener
    finally:
        closing.set()
        thread.join(15)


def read_delays(seconds: float) -> dict[str, list[float]]:
    """Read a quote over and over: how long after it was heard each one was first shown."""
    line = http.client.HTTPConnection(urlsplit(os.environ["BENCH_URL"]).netloc, timeout=10)
    headers = {"Authorization": f"Bearer {os.environ['BENCH_TOKEN']}"}
    shown: dict[str, float] = {}
    with _listening() as listener:
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            line.request("GET", f"/api/v1/stocks/quote/{WATCHED}", headers=headers)
            told = json.loads(line.getresponse().read())
            if told["source"] == "stream":
                shown.setdefault(told["t"], time.perf_counter())
    # The first one may have been there before it was looked for.
    seen = list(shown)[1:]
    delays = [shown[at] - listener.heard[at] for at in seen if at in listener.heard]
    if not delays:
        raise SystemExit("no quote was read from the stream")
    return {"milliseconds": [max(0.0, each * 1000) for each in delays]}


if __name__ == "__main__":
    work = count_ticks if os.environ["BENCH_WHAT"] == "ticks" else read_delays
    sys.stdout.write(json.dumps(work(float(os.environ["BENCH_SECONDS"]))))
