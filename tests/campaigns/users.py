"""Users of market data: keep-alive clients that ask, read the answer, think, and ask again.

A process of its own for some hundreds of them: `python -m tests.campaigns.users`, told by one JSON
object on standard input, prints one. In a test they run in a thread.
"""

import asyncio
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from sandbox.universe import LISTED

# What everybody looks at.
HOT = sorted(LISTED)[:30]
# Of a hundred questions: how many are of one quote, of several, of a trade; the rest: a snapshot.
QUOTES, BATCHES, TRADES = 80, 10, 7
BATCH = 20
# One who waits longer has given up.
ANSWER_SECONDS = 30.0
SOURCES = ("broker", "cache", "stale", "stream")


@dataclass(frozen=True, slots=True)
class Crowd:
    """Who asks whom for how long. think_seconds: the mean pause between answer and question.

    cold_every: seconds between questions, of all users together, about a symbol nobody asked for
    yet; None: there are none.
    """

    origin: str
    token: str
    users: int
    seconds: float
    seed: int
    think_seconds: float = 1.0
    cold_every: float | None = None


@dataclass(slots=True)
class Told:
    """What they were told. `failures`: (asked at, answered at, status, reason), epoch seconds."""

    statuses: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    milliseconds: list[float] = field(default_factory=list)
    failures: list[tuple[float, float, str, str]] = field(default_factory=list)

    def add(self, other: "Told") -> None:
        """Take in what others were told."""
        self.statuses.update(other.statuses)
        self.sources.update(other.sources)
        self.milliseconds += other.milliseconds
        self.failures += other.failures

    def as_json(self) -> dict[str, Any]:
        """What a process of users prints."""
        return {
            "statuses": dict(self.statuses),
            "sources": dict(self.sources),
            "milliseconds": self.milliseconds,
            "failures": self.failures,
        }

    @classmethod
    def of_json(cls, told: Mapping[str, Any]) -> "Told":
        """Read what a process of users printed."""
        return cls(
            statuses=Counter(told["statuses"]),
            sources=Counter(told["sources"]),
            milliseconds=told["milliseconds"],
            failures=[tuple(each) for each in told["failures"]],
        )


class User:
    """One client and its connection."""

    def __init__(self, crowd: Crowd, told: Told, paths: Iterator[str], dice: random.Random) -> None:
        self._crowd, self._told, self._paths, self._dice = crowd, told, paths, dice
        self._line: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def run(self, until: float) -> None:
        """Ask until the time is over."""
        # They do not all come in one instant.
        await self._think()
        while time.monotonic() < until:
            await self._ask(next(self._paths))
            await self._think()
        self._hang_up()

    async def _think(self) -> None:
        await asyncio.sleep(self._dice.uniform(0, 2 * self._crowd.think_seconds))

    async def _ask(self, path: str) -> None:
        asked, began = time.time(), time.monotonic()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                status, body = await self._exchange(path)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError) as error:
            self._hang_up()
            status, body = type(error).__name__, b""
        self._told.statuses[status] += 1
        self._told.milliseconds.append(round((time.monotonic() - began) * 1000, 2))
        if status == "200":
            source = next(
                (each for each in SOURCES if b'"source":"%s"' % each.encode() in body), ""
            )
            self._told.sources[source] += 1
        else:
            reason = json.loads(body)["reason"] if body else ""
            self._told.failures.append((asked, time.time(), status, reason))

    async def _exchange(self, path: str) -> tuple[str, bytes]:
        address = urlsplit(self._crowd.origin)
        if self._line is None:
            self._line = await asyncio.open_connection(address.hostname, address.port)
        reader, writer = self._line
        writer.write(
            f"GET /api/v1/{path} HTTP/1.1\r\nHost: {address.netloc}\r\n"
            f"Authorization: Bearer {self._crowd.token}\r\n\r\n".encode()
        )
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        return head.split()[1].decode(), await reader.readexactly(length)

    def _hang_up(self) -> None:
        if self._line is not None:
            self._line[1].close()
        self._line = None


def questions(crowd: Crowd, dice: random.Random) -> Iterator[str]:
    """Paths for ever, in the seed's order; a cold one whenever its time has come."""
    cold_at, cold = time.monotonic(), 0
    while True:
        if crowd.cold_every is not None and time.monotonic() >= cold_at:
            cold_at = time.monotonic() + crowd.cold_every
            cold += 1
            yield f"stocks/quote/{_cold_symbol(crowd.seed, cold)}"
        else:
            yield _hot_path(dice)


def _hot_path(dice: random.Random) -> str:
    kind, symbol = dice.randrange(100), dice.choice(HOT)
    if kind < QUOTES:
        return f"stocks/quote/{symbol}"
    if kind < QUOTES + BATCHES:
        return f"stocks/quotes?symbols={','.join(dice.sample(HOT, BATCH))}"
    if kind < QUOTES + BATCHES + TRADES:
        return f"stocks/trade/{symbol}"
    return f"stocks/snapshot/{symbol}"


def _cold_symbol(seed: int, number: int) -> str:
    """A plausible ticker that nobody asked for; no two crowds of a run have seeds alike."""
    left, letters = seed * 10_000 + number, "Q"
    for _ in range(4):
        left, letter = divmod(left, 26)
        letters += chr(65 + letter)
    return letters


async def ask_all(crowd: Crowd) -> Told:
    """Let the whole crowd ask."""
    dice = random.Random(f"{crowd.seed} users")  # noqa: S311 - repeatable on purpose
    told, until = Told(), time.monotonic() + crowd.seconds
    paths = questions(crowd, dice)
    await asyncio.gather(*(User(crowd, told, paths, dice).run(until) for _ in range(crowd.users)))
    return told


def main() -> None:
    """Ask as standard input says, and print what was told."""
    crowd = Crowd(**json.loads(sys.stdin.read()))
    sys.stdout.write(json.dumps(asyncio.run(ask_all(crowd)).as_json()))


if __name__ == "__main__":
    main()
