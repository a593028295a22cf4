"""Load on one endpoint, orders or a read: keep-alive clients in one process of their own.

Each client sends its next request when the answer to the last one is whole. Nothing is parsed
beyond status and length, so that one core of clients is never what is measured.
Run by the bench as `python -m benchmarks.load`, told by its environment.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count, cycle, repeat
from urllib.parse import urlsplit

import uvloop

from benchmarks.rows import percentile

BODY = (
    b'{"symbol":"AAPL","side":"buy","type":"limit","qty":"10","limit_price":"187.25",'
    b'"time_in_force":"day","tags":{"strategy":"mr-7","trader":"jdoe"}}'
)

_END = b"\r\n\r\n"


@dataclass(slots=True)
class Tally:
    """What the clients did in the measured time. `odd` are answers without the `good` status."""

    until: float
    good: bytes
    accepted: int = 0
    odd: list[str] = field(default_factory=list)
    seconds_each: list[float] = field(default_factory=list)


class Client(asyncio.Protocol):
    """One connection with one request under way."""

    def __init__(self, requests: Iterator[bytes], tally: Tally) -> None:
        self._requests, self._tally = requests, tally
        self._heard = b""
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        """Count a whole answer, and send the next request while there is time."""
        self._heard += data
        head, found, body = self._heard.partition(_END)
        if not found or len(body) < content_length(head):
            return
        self._heard = b""
        now = time.perf_counter()
        self._note(head, body, now)
        if now < self._tally.until:
            self._send()
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """End; an answer that never came is an odd one."""
        if time.perf_counter() < self._tally.until:
            self._tally.odd.append(f"connection lost: {exc}")
        self.done.set_result(None)

    def _send(self) -> None:
        self._sent_at = time.perf_counter()
        self._transport.write(next(self._requests))  # type: ignore[attr-defined] # a socket's

    def _note(self, head: bytes, body: bytes, now: float) -> None:
        if head.startswith(b"HTTP/1.1 " + self._tally.good):
            self._tally.accepted += 1
            self._tally.seconds_each.append(now - self._sent_at)
        else:
            self._tally.odd.append((head.partition(b"\r\n")[0] + b" " + body).decode())


def content_length(head: bytes) -> int:
    """Read the length of the body out of a lower-case head, as this server writes it."""
    _, _, rest = head.partition(b"content-length: ")
    return int(rest.partition(b"\r\n")[0])


def orders(address: str, token: str, accounts: list[str], body: bytes = BODY) -> Iterator[bytes]:
    """Write requests for ever, each with a key of its own, account after account."""
    # Keys of this process never meet those of another one.
    key = f"{os.getpid()}-{time.time_ns()}"
    for number, account in zip(count(), cycle(accounts), strict=False):
        head = (
            f"POST /api/v1/accounts/{account}/orders/stocks HTTP/1.1\r\nHost: {address}\r\n"
            f"Authorization: Bearer {token}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nIdempotency-Key: {key}-{number}\r\n\r\n"
        )
        yield head.encode() + body


def reads(address: str, token: str, path: str) -> Iterator[bytes]:
    """Write the same request for ever."""
    return repeat(
        f"GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    )


async def run(url: str, clients: int, tally: Tally, requests: Iterator[bytes]) -> None:
    """Load until the tally's time is over, and wait for the answers that are still out."""
    address = urlsplit(url)
    loop = asyncio.get_running_loop()
    host, port = str(address.hostname), int(address.port or 0)
    made = [
        await loop.create_connection(lambda: Client(requests, tally), host, port)
        for _ in range(clients)
    ]
    await asyncio.gather(*(client.done for _, client in made))


def main() -> None:
    """Load as the environment says, and print one object."""
    url, seconds = os.environ["BENCH_URL"], float(os.environ["BENCH_SECONDS"])
    address, token = urlsplit(url).netloc, os.environ["BENCH_TOKEN"]
    if path := os.environ.get("BENCH_PATH"):
        requests, good = reads(address, token, path), b"200"
    else:
        requests, good = orders(address, token, os.environ["BENCH_ACCOUNTS"].split(",")), b"202"
    began, cpu = time.perf_counter(), time.process_time()
    tally = Tally(until=began + seconds, good=good)
    uvloop.run(run(url, int(os.environ["BENCH_CLIENTS"]), tally, requests))
    took = time.perf_counter() - began
    said = {
        "accepted": tally.accepted,
        "per_second": tally.accepted / took,
        "cpu_share": (time.process_time() - cpu) / took,
        "p50_ms": percentile(tally.seconds_each, 50) * 1000 if tally.accepted else None,
        "p99_ms": percentile(tally.seconds_each, 99) * 1000 if tally.accepted else None,
        "odd": len(tally.odd),
        "first_odd": tally.odd[:1],
    }
    sys.stdout.write(json.dumps(said))


if __name__ == "__main__":
    main()
