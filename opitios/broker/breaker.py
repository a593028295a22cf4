"""When to stop calling for a while: one breaker an account, one a host (reliability.md §2.2).

Opens when more than half of at least 20 calls in 10 s failed, or after 5 ambiguous outcomes in
30 s; lets a few through again after a pause, more with each round that went well. Pure: the clock
is passed in.
"""

import threading
from collections import deque
from dataclasses import dataclass
from enum import StrEnum

CALLS_TO_JUDGE = 20
FAILED_SHARE = 0.5
AMBIGUOUS_TO_OPEN = 5
# Half open: so many calls at once at first, twice as many after each full round of successes.
FIRST_PROBES = 1
MOST_PROBES = 8


@dataclass(frozen=True, slots=True)
class BreakerTimers:
    """Seconds (reliability.md §2.2): over which calls are judged, and how long it stays open."""

    window: float = 10.0
    ambiguous_window: float = 30.0
    open: float = 5.0


class State(StrEnum):
    """Closed lets everything through, open nothing, half-open a few."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Outcome(StrEnum):
    """What a call means for the way it took; a refusal by the broker is a success of the way."""

    GOOD = "good"
    FAILED = "failed"
    AMBIGUOUS = "ambiguous"
    # The key was not accepted (401): good, unless that is what the breaker was tripped for.
    DENIED = "denied"
    # Nothing was learnt: the call was withdrawn.
    NONE = "none"


class Breaker:
    """Safe to use from any thread; times are monotonic seconds.

    by_ambiguous: whether five ambiguous outcomes open it. Not a host's: five of a thousand accounts
    say nothing about it.
    """

    def __init__(self, timers: BreakerTimers | None = None, *, by_ambiguous: bool = True) -> None:
        self._timers = timers or BreakerTimers()
        self._by_ambiguous = by_ambiguous
        self._lock = threading.Lock()
        self._calls: deque[tuple[float, bool]] = deque()
        self._failed = 0
        self._ambiguous: deque[float] = deque()
        self._opened_at: float | None = None
        self._tripped = False
        # When a call came back well since it opened.
        self._proven_at: float | None = None
        # Counts openings and closings: a call that began before one says nothing after it.
        self._era = 0
        self._most = FIRST_PROBES
        self._probing = 0
        self._good = 0

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing has opened it: asked of a thousand accounts, so no lock is taken."""
        return self._opened_at is None

    def state(self, now: float) -> State:
        """What it is at the moment."""
        with self._lock:
            return self._state(now)

    def shown(self, now: float) -> State:
        """What it is for an order: open as well while no call has come back yet."""
        with self._lock:
            state = self._state(now)
            return State.OPEN if state is State.HALF_OPEN and not self._proven else state

    def wait(self, now: float, *, first: bool) -> float:
        """Seconds until a call may go, 0.0 if one may now.

        `first`: whether the call may be the one that tries the way again. An order may not: it
        waits until a read has come back.
        """
        with self._lock:
            return self._wait(now, first=first)

    def wants_probe(self, now: float) -> bool:
        """Whether somebody should try the way again, because nobody has and the pause is over."""
        with self._lock:
            return self._state(now) is State.HALF_OPEN and not (self._probing or self._proven)

    def enter(self, now: float, *, first: bool = True) -> int | None:
        """Ask to make a call; what it gives back goes to `leave` once. None: it may not be made."""
        with self._lock:
            if self._wait(now, first=first) > 0:
                return None
            if self._state(now) is State.HALF_OPEN:
                self._probing += 1
            return self._era

    def leave(self, era: int, outcome: Outcome, now: float) -> None:
        """Say how a call ended that `enter` let in."""
        with self._lock:
            if era != self._era:
                return
            if self._state(now) is State.CLOSED:
                self._count(outcome, now)
            else:
                self._judge_probe(outcome, now)

    def trip(self, now: float) -> None:
        """Open it because the broker refuses many keys at once; a key accepted closes it again."""
        with self._lock:
            self._open(now)
            self._tripped = True

    @property
    def _proven(self) -> bool:
        return self._proven_at is not None

    def _state(self, now: float) -> State:
        if self._proven_at is not None and now >= self._proven_at + self._timers.window:
            # It went well for as long as failures are remembered; too quiet for whole rounds.
            self._begin(None)
        if self._opened_at is None:
            return State.CLOSED
        return State.OPEN if now < self._opened_at + self._timers.open else State.HALF_OPEN

    def _wait(self, now: float, *, first: bool) -> float:
        if self._state(now) is State.CLOSED or self._opened_at is None:
            return 0.0
        left = self._opened_at + self._timers.open - now
        if left > 0:
            return left
        allowed = self._probing < self._most and (first or self._proven)
        # Looked at again soon: a probe is under way, or about to be.
        return 0.0 if allowed else self._timers.open / 50

    def _count(self, outcome: Outcome, now: float) -> None:
        if outcome is Outcome.NONE:
            return
        bad = outcome in {Outcome.FAILED, Outcome.AMBIGUOUS}
        self._calls.append((now, bad))
        self._failed += bad
        if outcome is Outcome.AMBIGUOUS and self._by_ambiguous:
            self._ambiguous.append(now)
        self._forget(now)
        total = len(self._calls)
        too_many = total >= CALLS_TO_JUDGE and self._failed > FAILED_SHARE * total
        if too_many or len(self._ambiguous) >= AMBIGUOUS_TO_OPEN:
            self._open(now)

    def _forget(self, now: float) -> None:
        while self._calls and self._calls[0][0] <= now - self._timers.window:
            self._failed -= self._calls.popleft()[1]
        while self._ambiguous and self._ambiguous[0] <= now - self._timers.ambiguous_window:
            self._ambiguous.popleft()

    def _judge_probe(self, outcome: Outcome, now: float) -> None:
        self._probing -= 1
        if outcome is Outcome.NONE:
            return
        if outcome is Outcome.GOOD or (outcome is Outcome.DENIED and not self._tripped):
            self._good += 1
            self._proven_at = now if self._proven_at is None else self._proven_at
        else:
            tripped = self._tripped
            self._open(now)
            self._tripped = tripped
        if self._good >= self._most:
            self._good, self._most = 0, self._most * 2
        if self._most > MOST_PROBES:
            self._begin(None)

    def _open(self, now: float) -> None:
        self._begin(now)
        self._calls.clear()
        self._failed = 0
        self._ambiguous.clear()

    def _begin(self, opened_at: float | None) -> None:
        self._opened_at, self._tripped = opened_at, False
        self._proven_at = None
        self._era += 1
        self._most, self._probing, self._good = FIRST_PROBES, 0, 0
