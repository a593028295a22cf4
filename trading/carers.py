"""The desk's second hands: checks, look-ups and comparisons, a bounded number for each account.

A rota says whose turn is when. The hands wait for the broker, so an account whose calls hang must
not keep all of them (C28).
"""

import heapq
import threading
import zlib
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

FEWEST, MOST = 8, 16
# Checks of 1000 accounts are 33 a second: with 16 hands each may take half a second. More hands
# would want more connections to Postgres than a desk has.
ACCOUNTS_A_WORKER = 60
# How many of them one account may keep busy.
WORKERS_AN_ACCOUNT = 2

Job = Callable[[], None]


@dataclass(slots=True)
class _Load:
    """One account's jobs: how many run, and those that wait, by name."""

    running: int = 0
    waiting: deque[tuple[str, Job]] = field(default_factory=deque)


def enough_workers(accounts: int) -> int:
    """How many workers so many accounts keep busy when the broker is slow."""
    return min(max(accounts // ACCOUNTS_A_WORKER, FEWEST), MOST)


class Rota:
    """Whose turn is when: each name once in a period, spread over it. Pure; of one thread.

    Costs what is due, not what there is.
    """

    def __init__(self, every: float) -> None:
        self._every = every
        self._turns: list[tuple[float, str]] = []
        self._next: dict[str, float] = {}

    def keep(self, names: Iterable[str], now: float) -> None:
        """Have these names from now on, and no others; new ones have their turn within a period.

        `now` is monotonic seconds.
        """
        wanted = set(names)
        for name in self._next.keys() - wanted:
            del self._next[name]
        for name in wanted - self._next.keys():
            self._plan(name, now + self._every * share_of(name))

    def due(self, now: float) -> list[str]:
        """Take those whose turn it is; the next one comes a period later."""
        found = []
        while self._turns and self._turns[0][0] <= now:
            at, name = heapq.heappop(self._turns)
            # What was planned for a name that went, and perhaps came back, counts no more.
            if self._next.get(name) == at:
                found.append(name)
                self._plan(name, now + self._every)
        return found

    def _plan(self, name: str, at: float) -> None:
        self._next[name] = at
        heapq.heappush(self._turns, (at, name))


def share_of(name: str) -> float:
    """A fixed share of a period for a name: the turns of many do not come at once."""
    return zlib.crc32(name.encode()) / 2**32


class Carers:
    """Runs jobs by account. A job must not raise."""

    def __init__(self, workers: int = FEWEST) -> None:
        self._workers = ThreadPoolExecutor(workers, thread_name_prefix="carer")
        self._loads: dict[str, _Load] = {}
        self._lock = threading.Lock()
        self._closed = False

    def submit(self, account_id: str, what: str, job: Job) -> None:
        """Run a job soon; one of the same name that still waits makes it unnecessary."""
        with self._lock:
            load = self._loads.setdefault(account_id, _Load())
            if any(name == what for name, _ in load.waiting):
                return
            load.waiting.append((what, job))
            self._start(account_id, load)

    def close(self) -> None:
        """Finish what runs; what waits is left to whoever owns the accounts next."""
        with self._lock:
            self._closed = True
            self._loads.clear()
        self._workers.shutdown(wait=True, cancel_futures=True)

    def _start(self, account_id: str, load: _Load) -> None:
        if self._closed or not load.waiting or load.running >= WORKERS_AN_ACCOUNT:
            return
        load.running += 1
        self._workers.submit(self._work, account_id, load)

    def _work(self, account_id: str, load: _Load) -> None:
        with self._lock:
            job = load.waiting.popleft()[1] if load.waiting else None
        try:
            if job is not None:
                job()
        finally:
            with self._lock:
                load.running -= 1
                self._start(account_id, load)
                if not (load.running or load.waiting):
                    self._loads.pop(account_id, None)
