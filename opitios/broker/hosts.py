"""The broker's addresses as this process sees them: is one worth calling, how does it answer.

One breaker an address, shared by all accounts: where it fails for everybody, nobody waits for it
(reliability.md §2.2).
"""

import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from opitios.broker.breaker import Breaker, BreakerTimers, Outcome, State

# What the figures of an address are made from: its last calls, of a minute at most.
CALLS_KEPT = 1000
SECONDS_KEPT = 60.0


@dataclass(frozen=True, slots=True)
class Figures:
    """How an address answered lately; None where nothing was called. `last_success` in epoch s."""

    error_rate: float | None
    p50_ms: float | None
    p99_ms: float | None
    last_success: float | None


class Host:
    """One address of the broker. Safe to use from any thread."""

    def __init__(self, origin: str, timers: BreakerTimers) -> None:
        self.origin = origin
        self.breaker = Breaker(timers, by_ambiguous=False)
        self._calls: deque[tuple[float, float, bool]] = deque(maxlen=CALLS_KEPT)
        self._last_success: float | None = None
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """The host, and its port where it is not the usual one."""
        return urlsplit(self.origin).netloc

    def note(self, outcome: Outcome, *, seconds: float, now: float, wall: float) -> None:
        """Remember one call that was made; `now` is monotonic, `wall` epoch seconds."""
        good = outcome in {Outcome.GOOD, Outcome.DENIED}
        with self._lock:
            self._calls.append((now, seconds, good))
            if good:
                self._last_success = wall

    def figures(self, now: float) -> Figures:
        """Sum the last minute up."""
        with self._lock:
            lately = [call for call in self._calls if call[0] > now - SECONDS_KEPT]
            last_success = self._last_success
        times = sorted(seconds * 1000 for _, seconds, good in lately if good)
        bad = sum(not good for _, _, good in lately)
        return Figures(
            error_rate=round(bad / len(lately), 4) if lately else None,
            p50_ms=_percentile(times, 0.5),
            p99_ms=_percentile(times, 0.99),
            last_success=last_success,
        )


class Hosts:
    """The addresses of a process, one of each."""

    def __init__(self, timers: BreakerTimers | None = None) -> None:
        self.timers = timers or BreakerTimers()
        self._hosts: dict[str, Host] = {}
        self._lock = threading.Lock()

    def of(self, origin: str) -> Host:
        """Find an address, the same one for every caller."""
        with self._lock:
            return self._hosts.setdefault(origin, Host(origin, self.timers))

    def all(self) -> Iterable[Host]:
        """Every address that any account uses."""
        with self._lock:
            return list(self._hosts.values())


@dataclass(frozen=True, slots=True)
class Pass:
    """Leave to make one call; it goes back to `Line.leave` once."""

    era: int
    host_era: int


class Line:
    """One account's way to one API of the broker: its own breaker, and the address's."""

    def __init__(self, host: Host, timers: BreakerTimers) -> None:
        self.host = host
        self.breaker = Breaker(timers)

    def wait(self, now: float, *, first: bool) -> float:
        """Seconds until a call may go, 0.0 if one may now (`Breaker.wait`)."""
        return max(self.breaker.wait(now, first=first), self.host.breaker.wait(now, first=first))

    def enter(self, now: float, *, first: bool) -> Pass | None:
        """Ask to make a call; None: it may not be made."""
        era = self.breaker.enter(now, first=first)
        if era is None:
            return None
        host_era = self.host.breaker.enter(now, first=first)
        if host_era is None:
            self.breaker.leave(era, Outcome.NONE, now)
            return None
        return Pass(era, host_era)

    def leave(self, leave: Pass, outcome: Outcome, now: float) -> None:
        """Say how the call ended."""
        self.breaker.leave(leave.era, outcome, now)
        self.host.breaker.leave(leave.host_era, outcome, now)

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing has opened either breaker (`Breaker.is_at_rest`)."""
        return self.breaker.is_at_rest and self.host.breaker.is_at_rest

    def wants_probe(self, now: float) -> bool:
        """Whether a read should try the way again now."""
        breakers = (self.breaker, self.host.breaker)
        if any(each.state(now) is State.OPEN for each in breakers):
            return False
        return any(each.wants_probe(now) for each in breakers)

    def state(self, now: float) -> State:
        """The worse of both, as an order meets it: open until a read has come back."""
        breakers = (self.breaker, self.host.breaker)
        shown = {each.shown(now) for each in breakers}
        for state in (State.OPEN, State.HALF_OPEN):
            if state in shown:
                return state
        return State.CLOSED


def _percentile(ordered: list[float], share: float) -> float | None:
    return round(ordered[min(int(len(ordered) * share), len(ordered) - 1)], 1) if ordered else None
