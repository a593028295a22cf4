"""Clients of a stream, and who publishes for them: what one task measures, in one process.

A client parses nothing: it counts a mark that stands in each message once. What the server needed
is its processor time, as the system counts it, so that a busy machine changes little.
Run by the bench as `python -m benchmarks.stream_load`, told by its environment.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import uvloop

from benchmarks.rows import percentile
from marketdata.ticks import Tick, packed
from opitios.core.bus import Topic, get_bus

# Stands in every trade and every update once, and in nothing else.
MARK, SENT = b'"n":', b'"n":"'
# Of whom the delays are read.
WATCHED = 10
# Connections that are being opened at a time.
AT_A_TIME = 50
# A message that has not come by then is lost. Seconds.
PATIENCE = 20.0


@dataclass(frozen=True, slots=True)
class Task:
    """What to do: whom to ask, who measures, how many clients, what they follow, what is told."""

    url: str
    pid: int
    token: str
    clients: int
    follows: dict[str, list[str]]
    # Messages of so many ticks each, one each so many seconds; "fleet": updates of accounts.
    messages: int
    ticks: int
    every: float
    accounts: int = 0
    # Whether a process of its own publishes: threads of one wait for each other.
    apart: bool = False


class Client(asyncio.Protocol):
    """One socket."""

    def __init__(self, task: Task, *, is_watched: bool = False) -> None:
        self._task, self._is_watched = task, is_watched
        loop = asyncio.get_running_loop()
        self.following: asyncio.Future[None] = loop.create_future()
        self.lost: asyncio.Future[None] = loop.create_future()
        self.heard = 0
        self.delays: list[float] = []
        self.greeting, self._rest = b"", b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Shake hands."""
        self.transport = cast(asyncio.Transport, transport)
        address = urlsplit(self._task.url)
        self.transport.write(
            f"GET {address.path} HTTP/1.1\r\nHost: {address.netloc}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            f"Authorization: Bearer {self._task.token}\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        """Sign in, subscribe, count."""
        if self.following.done():
            self._count(data)
            return
        self.greeting += data
        if b"authenticated" in self.greeting:
            if b'"subscription"' in self.greeting:
                self.following.set_result(None)
            elif not self._rest:
                self._rest = b"asked"
                asked = {"action": "subscribe", **self._task.follows}
                self.transport.write(_frame(json.dumps(asked).encode()))

    def _count(self, data: bytes) -> None:
        told = self._rest[-len(MARK) + 1 :] + data if self.heard else data
        self.heard += told.count(MARK)
        self._rest = data[-len(MARK) + 1 :]
        if self._is_watched:
            now = time.time()
            for each in told.split(SENT)[1:]:
                sent, found, _ = each.partition(b'"')
                if found:
                    self.delays.append(now - float(sent))

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        if not self.following.done():
            self.following.set_exception(ConnectionError(f"refused: {self.greeting[:300]!r}"))
        self.lost.set_result(None)


def _frame(payload: bytes) -> bytes:
    length = len(payload)
    short = bytes((0x80 | length,)) if length < 126 else b"\xfe" + length.to_bytes(2, "big")  # noqa: PLR2004 - RFC 6455 §5.2
    return b"\x81" + short + bytes(4) + payload


async def opened(task: Task) -> list[Client]:
    """Open the sockets, and wait until each follows what it is to."""
    loop, address = asyncio.get_running_loop(), urlsplit(task.url)
    host, port = str(address.hostname), int(address.port or 0)
    made: list[Client] = []
    for start in range(0, task.clients, AT_A_TIME):
        some = range(start, min(start + AT_A_TIME, task.clients))
        pairs = await asyncio.gather(
            *(
                loop.create_connection(_maker(task, is_watched=n < WATCHED), host, port)
                for n in some
            )
        )
        made += [client for _, client in pairs]
        waiting = asyncio.gather(*(client.following for _, client in pairs))
        try:
            await asyncio.wait_for(waiting, PATIENCE)
        except TimeoutError as late:
            heard = [client.greeting[-300:] for _, client in pairs]
            raise TimeoutError(f"not followed: {heard[:2]}") from late
    return made


def _maker(task: Task, *, is_watched: bool) -> Callable[[], Client]:
    return lambda: Client(task, is_watched=is_watched)


async def closed(clients: Iterable[Client]) -> None:
    """Leave, and wait until the server has seen it."""
    for client in clients:
        client.transport.abort()
    await asyncio.gather(*(client.lost for client in clients))


async def _publish_apart() -> None:
    other = await asyncio.create_subprocess_exec(sys.executable, "-m", __spec__.name, "publish")
    if await other.wait() != 0:
        raise RuntimeError("nothing was published")


def publish(task: Task) -> None:
    """Tell what the task tells, at its pace."""
    bus, due = get_bus(), time.monotonic()
    symbols = task.follows.get("trades", [])
    for number in range(task.messages):
        if task.accounts:
            bus.publish(*(_updates(task, number)))
        else:
            some = (symbols[(number * task.ticks + n) % len(symbols)] for n in range(task.ticks))
            bus.publish((Topic.TICKS, packed(_tick(symbol) for symbol in some)))
        due += task.every
        time.sleep(max(0.0, due - time.monotonic()))  # noqa: TID251 - a pace is what is measured


def _tick(symbol: str) -> Tick:
    now = time.time()
    body = {"t": "2026-11-20T14:30:00.161331123Z", "p": 187.21, "s": 4, "x": "V", "c": ["@"],
            "i": 52983525029461, "z": "C", "n": f"{now:.6f}"}  # fmt: skip
    return Tick("trades", "iex", symbol, now, body)


def _updates(task: Task, number: int) -> list[tuple[Topic, dict[str, Any]]]:
    """The next entry of each of the accounts whose turn it is."""
    turn = [
        f"account_{1 + (number * task.ticks + n) % task.accounts:03d}" for n in range(task.ticks)
    ]
    seq = 1 + number * task.ticks // task.accounts
    order = {
        "id": "019aa0c2-6f1e-7c3a-9b1e-2f5d8c1a7e40",
        "symbol": "AAPL",
        "status": "new",
        "qty": "10",
    }
    told = {"T": "order", "seq": seq, "event": "new", "order": order}
    return [
        (Topic.ORDERS, {**told, "account_id": name, "n": f"{time.time():.6f}"}) for name in turn
    ]


async def run(task: Task) -> dict[str, Any]:
    """Connect, publish, count; what it took of whom."""
    cpu, began, memory = cpu_seconds(task.pid), time.perf_counter(), rss_mib(task.pid)
    clients = await opened(task)
    connected = {
        "connect_cpu": cpu_seconds(task.pid) - cpu,
        "connect_seconds": time.perf_counter() - began,
        "mib": rss_mib(task.pid) - memory,
    }
    wanted = task.messages * task.ticks * task.clients
    cpu, began = cpu_seconds(task.pid), time.perf_counter()
    mine = time.process_time()
    await (_publish_apart() if task.apart else asyncio.to_thread(publish, task))
    deadline = time.monotonic() + PATIENCE
    while (heard := _heard(clients)) < wanted and time.monotonic() < deadline:  # noqa: ASYNC110 - to be told would be measured
        await asyncio.sleep(0.02)
    took = time.perf_counter() - began
    delays = [delay * 1000 for client in clients for delay in client.delays]
    told = {
        **connected,
        "heard": heard,
        "wanted": wanted,
        "cpu": cpu_seconds(task.pid) - cpu,
        "seconds": took,
        "client_share": (time.process_time() - mine) / took,
        "delays_ms": {str(p): percentile(delays, p) if delays else None for p in (50, 95, 99)},
    }
    await closed(clients)
    return told


def _heard(clients: Iterable[Client]) -> int:
    return sum(client.heard for client in clients)


def cpu_seconds(pid: int) -> float:
    """Processor time of a process so far."""
    # proc(5): the 14th and 15th field; the name before them may hold anything.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mib(pid: int) -> float:
    """What a process holds in memory."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def environment(task: Task) -> dict[str, str]:
    """The task as its process is told."""
    return {"BENCH_TASK": json.dumps(asdict(task))}


if __name__ == "__main__":
    asked = Task(**json.loads(os.environ["BENCH_TASK"]))
    if sys.argv[1:] == ["publish"]:
        publish(asked)
    else:
        sys.stdout.write(json.dumps(uvloop.run(run(asked))))
