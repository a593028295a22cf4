"""The sockets campaign: ill-meaning clients at the stream of a `make up`, beside honest ones.

Honest clients follow every account while orders are placed, first alone, then beside a client that
never reads, one that floods, and two thousand that come and go. They must miss nothing and hear in
time, and when the others have gone nothing of them may be left: no socket, no task, no symbol that
is listened to for them, no memory.
"""

import asyncio
import json
import random
import tempfile
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import requests
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from benchmarks.rows import percentile
from opitios.core import clock
from opitios.management.stack import account_ids
from tests.campaigns import evidence
from tests.campaigns.slow_clients import FLAT_MIB, LATE_SECONDS, ORDER
from tests.operator.clone import Clone

# An order each so often. Seconds.
EVERY_SECONDS = 0.1
# A process tells of itself each five seconds; what is left is looked for so long.
BACK_SECONDS = 60.0
# So many come and go at a time.
AT_A_TIME = 20
# What they follow in turns.
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
# A masked text frame without a byte: the smallest there is.
TINY = b"\x81\x80\x00\x00\x00\x00"

Tell = Callable[[str, str], None]
# What the process says of itself, and the system of it.
State = dict[str, float]


@dataclass(frozen=True, slots=True)
class Plan:
    """How many come and go, how many are honest, how long those are alone, and the seed."""

    cycles: int = 2000
    honest: int = 20
    seconds: float = 15.0
    accounts: int = 5
    seed: int = 0


@dataclass(slots=True)
class Heard:
    """What honest clients heard: delays in seconds from the entry to the client, and what broke."""

    delays: list[float] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    async def until(self, updates: int) -> None:
        """Wait for so many updates."""
        while len(self.delays) < updates:  # noqa: ASYNC110 - looked at by tests alone
            await asyncio.sleep(0.02)

    def as_json(self) -> dict[str, Any]:
        """Counts and milliseconds."""
        told = {f"p{p}_ms": round(percentile(self.delays, p) * 1000, 1) for p in (50, 99, 100)}
        return {"updates": len(self.delays), **told, "broken": self.broken[:20]}


@dataclass(slots=True)
class Enemies:
    """One that never reads, one that floods, and those who come and go; how each was answered."""

    url: str
    token: str
    plan: Plan
    ends: Counter[str] = field(default_factory=Counter)
    floods: Counter[str] = field(default_factory=Counter)

    async def attack(self, advance: Callable[[int], None]) -> None:
        """Until all have come and gone."""
        others = [asyncio.create_task(self._never_read()), asyncio.create_task(self._flood())]
        chance, places = random.Random(self.plan.seed), asyncio.Semaphore(AT_A_TIME)  # noqa: S311 - no secret

        async def cycle(number: int, kind: float) -> None:
            async with places:
                self.ends[await self._come_and_go(number, kind)] += 1
                advance(sum(self.ends.values()))

        kinds = [chance.random() for _ in range(self.plan.cycles)]
        await asyncio.gather(*(cycle(*each) for each in enumerate(kinds)))
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _never_read(self) -> None:
        while True:
            with suppress(OSError, WebSocketException):
                async with self._connected() as deaf:
                    # Its library reads a few messages ahead, and then nothing more.
                    await deaf.send(_subscribe(orders=["*"], trades=["AAPL"], quotes=["AAPL"]))
                    await deaf.wait_closed()

    async def _flood(self) -> None:
        while True:
            try:
                async with self._connected() as flood:
                    while flood.close_code is None:
                        flood.transport.write(TINY * 10_000)
                        await asyncio.sleep(0)
            except (OSError, WebSocketException) as error:
                self.floods[type(error).__name__] += 1
            else:
                self.floods[f"{flood.close_code}"] += 1

    async def _come_and_go(self, number: int, kind: float) -> str:
        symbols = [f"{LETTERS[number % 26]}{LETTERS[number // 26 % 26]}Q"]
        try:
            async with self._connected() as guest:
                await guest.send(_subscribe(orders=["*"], trades=symbols, quotes=symbols))
                if kind < 1 / 3:
                    guest.transport.abort()
                    return "without a goodbye"
                if kind < 2 / 3:
                    return "at once"
                while "subscription" not in await guest.recv(decode=True):
                    pass
                return "having followed"
        except (OSError, WebSocketException) as error:
            return type(error).__name__

    def _connected(self) -> connect:
        return _connected(self.url, self.token, max_queue=4)


def _connected(url: str, token: str, **about: Any) -> connect:
    bearer = {"Authorization": f"Bearer {token}"}
    return connect(url, additional_headers=bearer, compression=None, ping_interval=None, **about)


def _subscribe(**what: list[str]) -> str:
    return json.dumps({"action": "subscribe", **what})


@asynccontextmanager
async def listening(url: str, token: str, count: int, heard: Heard) -> AsyncIterator[None]:
    """So many honest clients follow every account meanwhile."""
    async with AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(_connected(url, token)) for _ in range(count)]
        for socket in sockets:
            await socket.send(_subscribe(orders=["*"]))
            while "snapshot" not in await socket.recv(decode=True):
                pass
        tasks = [asyncio.create_task(_listen(socket, heard)) for socket in sockets]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            for ended in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(ended, Exception):
                    heard.broken.append(repr(ended))


async def _listen(socket: ClientConnection, heard: Heard) -> None:
    """Hear updates, and whether one is missing."""
    last: dict[str, int] = {}
    async for frame in socket:
        now = clock.now()
        for told in json.loads(frame):
            if told["T"] == "order":
                name, seq = told["account_id"], told["seq"]
                if seq != last.get(name, seq - 1) + 1:
                    heard.broken.append(f"{name}: {seq} after {last[name]}")
                last[name] = seq
                shown = datetime.fromisoformat(told["sent_at"])
                heard.delays.append((now - shown).total_seconds())


def campaign(plan: Plan, tell: Tell, advance: Callable[[int], None]) -> dict[str, Any]:
    """Run it, and say what was seen: the evidence, with `holds`."""
    with tempfile.TemporaryDirectory(prefix="opitios-sockets-") as folder:
        clone = Clone(Path(folder), ACCOUNTS=str(plan.accounts))
        try:
            tell("make up", f"{plan.accounts} accounts")
            code, said = clone.do("quickstart up")
            if code != 0:
                raise RuntimeError(said)
            return asyncio.run(_attacked(clone, plan, tell, advance))
        finally:
            clone.remove()


async def _attacked(
    clone: Clone, plan: Plan, tell: Tell, advance: Callable[[int], None]
) -> dict[str, Any]:
    url, token = clone.handout["WS_URL"], clone.handout["TOKEN_ADMIN"]
    trader = Trader(clone.handout["API_URL"], token, account_ids(plan.accounts))
    alone, meanwhile = Heard(), Heard()
    enemies = Enemies(url, token, plan)
    # Once before it counts: what is made at first use is no leak.
    await Enemies(url, token, Plan(cycles=50)).attack(lambda _done: None)
    rest = await _settled(clone, lambda state: state["handshakes"] == 0)
    with trader:
        tell("honest", "alone")
        async with listening(url, token, plan.honest, alone):
            await asyncio.sleep(plan.seconds)
        tell("honest", f"beside {plan.cycles} that come and go")
        async with listening(url, token, plan.honest, meanwhile):
            began = clock.monotonic()
            await enemies.attack(advance)
            took = clock.monotonic() - began
    tell("stream", "at rest again?")
    after = await _settled(clone, lambda state: not left(rest, state))
    broken = [*alone.broken, *meanwhile.broken, *left(rest, after), *trader.refused[:5]]
    late = percentile(meanwhile.delays, 100) >= LATE_SECONDS
    broken += [f"an update came {percentile(meanwhile.delays, 100):.1f} s late"] if late else []
    return {
        "campaign": "sockets",
        "holds": not broken and bool(meanwhile.delays),
        "seed": plan.seed,
        **evidence.origin(),
        "cycles": dict(sorted(enemies.ends.items())),
        "cycles_a_second": round(plan.cycles / took, 1),
        "floods_ended": dict(sorted(enemies.floods.items())),
        "honest_clients": plan.honest,
        "honest_alone": alone.as_json(),
        "honest_meanwhile": meanwhile.as_json(),
        "orders_placed": trader.placed,
        "before": rest,
        "afterwards": after,
        "disagreements": broken,
    }


def left(before: State, after: State) -> list[str]:
    """What of the others is still there."""
    counted = ("handshakes", "sockets", "symbols", "tasks", "connections")
    found = [f"{name}: {after[name]} left" for name in counted if after[name] > before[name]]
    grown = after["mib"] - before["mib"]
    return [*found, f"memory grew by {grown:.1f} MiB"] if grown >= FLAT_MIB else found


async def _settled(clone: Clone, is_back: Callable[[State], bool]) -> State:
    """Look until it is so, or for so long; what was seen last."""
    deadline = clock.monotonic() + BACK_SECONDS
    while not is_back(state := await asyncio.to_thread(_state, clone)):
        if clock.monotonic() > deadline:
            break
        await asyncio.sleep(1)
    return state


def _state(clone: Clone) -> State:
    pool = requests.get(
        f"{clone.handout['API_URL']}/api/v1/pool",
        headers={"Authorization": f"Bearer {clone.handout['TOKEN_ADMIN']}"},
        timeout=10,
    ).json()
    said = next(each for each in pool["processes"] if each["name"] == "stream-1")
    pid = clone.pid("stream-1")
    status = Path(f"/proc/{pid}/status").read_text()
    return {
        **{name: float(said[name]) for name in ("handshakes", "sockets", "symbols", "tasks")},
        "connections": float(_connections(pid)),
        "mib": round(int(status.partition("VmRSS:")[2].split()[0]) / 1024, 1),
    }


def _connections(pid: int) -> int:
    """Sockets of TCP that the process holds open, those to Redis and Postgres too."""
    files = [each.readlink() for each in Path(f"/proc/{pid}/fd").iterdir() if each.is_symlink()]
    mine = {str(name)[8:-1] for name in files if str(name).startswith("socket:[")}
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    port = next((row[1] for row in rows if row[9] in mine and row[3] == "0A"), "")
    return sum(1 for row in rows if row[9] in mine and row[1] == port and row[3] != "0A")


class Trader(threading.Thread):
    """Places an order each so often, in turns, until it is left."""

    def __init__(self, url: str, token: str, accounts: list[str]) -> None:
        super().__init__(daemon=True)
        self._url, self._token, self._accounts = url, token, accounts
        self._ending = threading.Event()
        self.placed = 0
        self.refused: list[str] = []

    def __enter__(self) -> None:
        self.start()

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self.join(timeout=20)

    def run(self) -> None:
        """Place, and note what is not accepted."""
        with requests.Session() as session:
            session.headers["Authorization"] = f"Bearer {self._token}"
            while not self._ending.wait(EVERY_SECONDS):
                account = self._accounts[self.placed % len(self._accounts)]
                orders = f"{self._url}/api/v1/accounts/{account}/orders/stocks"
                answer = session.post(orders, json=ORDER, timeout=20)
                self.placed += 1
                if answer.status_code != requests.codes.accepted:
                    self.refused.append(f"{answer.status_code}: {answer.text[:200]}")
