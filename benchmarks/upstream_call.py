"""CPU of one order through a warm client: ours against stock alpaca-py.

The broker answers from another process, so that only the client's work is counted. Both clients
take turns within one run. Run by the bench as `python -m benchmarks.upstream_call`.
"""

import asyncio
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

from alpaca.trading.client import TradingClient

from benchmarks.bench import Bench
from benchmarks.cores import MEASURED
from benchmarks.rows import Row, at_most, compared
from opitios.broker.alpaca.endpoints import sandbox_endpoint
from opitios.broker.alpaca.trading import AlpacaTrading
from opitios.broker.alpaca.transport import Transport
from opitios.broker.guard import PROCESS_SLOTS, Bulkhead, Guard
from opitios.broker.port import Credentials

CALLS = 1000
WARM_UP = 200
# The row "one upstream call through a warm client, CPU vs stock alpaca-py" of the budgets.
WANTED_RATIO = 0.6

ORDER = {
    "symbol": "AAPL",
    "qty": "1",
    "side": "buy",
    "type": "limit",
    "time_in_force": "day",
    "limit_price": "123.10",
    "client_order_id": "op1-0123456789abcdef",
}
_NULLS = (
    *("filled_at", "expired_at", "canceled_at", "failed_at", "replaced_at", "replaced_by"),
    *("replaces", "notional", "filled_avg_price", "stop_price", "legs", "trail_percent"),
    *("trail_price", "hwm", "subtag", "source", "expires_at"),
)
ANSWER = dict.fromkeys(_NULLS) | {
    **ORDER,
    "id": "61e69015-8549-4bfd-b9c3-01e75843f47d",
    "created_at": "2021-03-16T18:38:01.942282Z",
    "updated_at": "2021-03-16T18:38:01.942282Z",
    "submitted_at": "2021-03-16T18:38:01.937734Z",
    "asset_id": "b0b6dd9d-8b9b-48a9-ba46-b9d54906e415",
    "asset_class": "us_equity",
    "order_class": "",
    "order_type": "limit",
    "filled_qty": "0",
    "position_intent": "buy_to_open",
    "status": "accepted",
    "extended_hours": False,
}


def measure(bench: Bench) -> list[Row]:
    """The row, measured in a process of its own. Raises BenchError."""
    bench.tell("upstream_call_cpu: ours and stock alpaca-py in turns")
    pairs = bench.measure(__name__, MEASURED, BENCH_ROUNDS=str(bench.effort.rounds))["pairs"]
    name = "upstream_call_cpu"
    return [compared(name=name, unit="us", pairs=pairs, budget=at_most(WANTED_RATIO))]


def pairs_of(rounds: int) -> list[tuple[float, float]]:
    """Measure so many rounds: our CPU in microseconds a call, and stock alpaca-py's."""
    with _broker() as origin:
        ours, stock = _our_call(origin), _stock_call(origin)
        for call in (ours, stock):
            _cpu_microseconds(call, WARM_UP)
        return [(_cpu_microseconds(ours), _cpu_microseconds(stock)) for _ in range(rounds)]


def _our_call(origin: str) -> Callable[[], object]:
    trading = AlpacaTrading(
        credentials=Credentials("key", "secret"),
        endpoint=sandbox_endpoint(origin),
        transport=Transport(),
        guard=Guard(process=Bulkhead(PROCESS_SLOTS)),
    )
    return lambda: trading.submit_order(ORDER)


def _stock_call(origin: str) -> Callable[[], object]:
    client = TradingClient("key", "secret", raw_data=True, url_override=origin)
    return lambda: client.post("/orders", ORDER)


def _cpu_microseconds(call: Callable[[], object], times: int = CALLS) -> float:
    began = time.process_time()
    for _ in range(times):
        call()
    return (time.process_time() - began) / times * 1e6


@contextmanager
def _broker() -> Iterator[str]:
    """Run the answering side in a process of its own; it ends with the block."""
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    process = spawn.Process(target=_serve, args=(there,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{here.recv()}"
    finally:
        process.terminate()
        process.join()


def _serve(pipe: Connection) -> None:
    asyncio.run(_answer_for_ever(pipe))


async def _answer_for_ever(pipe: Connection) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Broker, "127.0.0.1", 0)
    pipe.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


class _Broker(asyncio.Protocol):
    """Answers each request with the same order, with the headers Alpaca sends."""

    _body = json.dumps(ANSWER).encode()
    _answer = (
        b"HTTP/1.1 200 OK\r\nDate: Thu, 20 Nov 2025 19:50:00 GMT\r\n"
        b"Content-Type: application/json; charset=UTF-8\r\nConnection: keep-alive\r\n"
        b"X-Ratelimit-Limit: 200\r\nX-Ratelimit-Remaining: 195\r\n"
        b"X-Ratelimit-Reset: 1679411617\r\nX-Request-ID: 0d29ba8d9a51ee0eb4e7bbaa9acff223\r\n"
        b"Content-Length: %d\r\n\r\n%b"
    ) % (len(_body), _body)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._heard = b""

    def data_received(self, data: bytes) -> None:
        self._heard += data
        head, found, body = self._heard.partition(b"\r\n\r\n")
        if found and len(body) >= _content_length(head):
            self._heard = b""
            self._transport.write(self._answer)  # type: ignore[attr-defined]


def _content_length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


if __name__ == "__main__":
    sys.stdout.write(json.dumps({"pairs": pairs_of(int(os.environ.get("BENCH_ROUNDS", "5")))}))
