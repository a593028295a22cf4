"""How many calls a minute an account has left, and for what (alpaca-wire.md §4, design.md §6).

Alpaca allows an account 200 calls a minute. Its desk keeps 140 of them, asks before each call and
believes the broker's headers where they leave less. Pure: the clock is passed in.
"""

import threading
from enum import StrEnum

from opitios.broker.port import Rate

DESK_PER_MINUTE = 140
# What the other processes read with, all of them together.
READS_PER_MINUTE = 60
# What a plan allows of market data (alpaca-wire.md §2), for all processes together.
DATA_PER_MINUTE = {"basic": 200, "plus": 10_000}
# Only cancels may take the last ones: they must go when everything else has to wait.
CANCEL_RESERVE = 20
# reliability.md §2.1 (e): searches for unknown orders never crowd out the orders themselves.
LOOK_UPS_PER_MINUTE = 20
# Seconds an account rests after a 429 that does not say how long (alpaca-wire.md §4).
THROTTLED_REST = 5.0

MINUTE = 60.0
# Of a call: what many small earnings lose by rounding.
_ROUNDING = 1e-3


class Lane(StrEnum):
    """What a call is for."""

    SUBMIT = "submit"
    CANCEL = "cancel"
    LOOK_UP = "look_up"
    READ = "read"  # checks, comparisons, positions
    DATA = "data"  # market data: the broker counts it apart, it has a budget of its own


class _Bucket:
    """Calls that are earned evenly; as many as a minute's worth can be saved up."""

    def __init__(self, per_minute: float) -> None:
        self.per_minute = per_minute
        self.left = per_minute
        self._at: float | None = None

    def earn(self, now: float) -> None:
        if self._at is not None:
            earned = max(0.0, now - self._at) * self.per_minute / MINUTE
            self.left = min(self.per_minute, self.left + earned)
        self._at = now

    def resize(self, per_minute: float) -> None:
        self.per_minute = per_minute
        self.left = min(self.left, per_minute)

    def seconds_until(self, needed: float) -> float:
        missing = needed - self.left
        return missing * MINUTE / self.per_minute if missing > _ROUNDING else 0.0


class Budget:
    """One account's calls in this process. Safe to use from any thread; monotonic seconds.

    reserve: how many of them only cancels may take. throttled_rest: how long nothing goes after a
    429 that does not say.
    """

    def __init__(
        self,
        *,
        per_minute: float = DESK_PER_MINUTE,
        reserve: float = CANCEL_RESERVE,
        throttled_rest: float = THROTTLED_REST,
    ) -> None:
        self.reserve = min(reserve, per_minute / 2)
        self._throttled_rest = throttled_rest
        self._all = _Bucket(per_minute)
        self._look_ups = _Bucket(min(LOOK_UPS_PER_MINUTE, per_minute))
        self._rests_until = 0.0
        # What the broker said is left of its own minute, less what we took since; until then.
        self._told_left = 0.0
        self._told_until = 0.0
        self.told: Rate | None = None
        self._lock = threading.Lock()

    @property
    def per_minute(self) -> float:
        """How many calls a minute this process may make."""
        return self._all.per_minute

    def take(self, lane: Lane, now: float) -> float:
        """Take one call: 0.0 if it may go now, else the seconds until one might."""
        with self._lock:
            self._earn(now)
            seconds = self._wait(lane, now)
            if seconds == 0.0:
                self._spend(lane, 1)
            return seconds

    def give_back(self, lane: Lane) -> None:
        """Return a call that was not made."""
        with self._lock:
            self._spend(lane, -1)

    def wait(self, lane: Lane, now: float) -> float:
        """Seconds until such a call may go, 0.0 if one may now. Takes nothing."""
        with self._lock:
            self._earn(now)
            return self._wait(lane, now)

    def submits_left(self, now: float) -> int:
        """How many orders may go at once now: what cancels alone may take is not among them."""
        with self._lock:
            self._earn(now)
            left = self._all.left
            if now < self._told_until:
                left = min(left, self._told_left)
            return max(0, int(left - self.reserve + _ROUNDING))

    def rests_until(self, now: float) -> float:
        """Until when nothing but a cancel may go, whatever the numbers; `now` if it does not."""
        with self._lock:
            until = max(now, self._rests_until)
            if now < self._told_until and self._told_left < self.reserve + 1:
                until = max(until, self._told_until)
            return until

    def correct(self, rate: Rate, *, resets_in: float, now: float) -> None:
        """Believe the broker's headers: no more than `rate.remaining` in the next `resets_in` s.

        A minute that is over by our clock, or further away than one, is not believed.
        """
        with self._lock:
            same = self.told is not None and self.told.resets_at == rate.resets_at
            self.told = rate
            if not 0 < resets_in <= MINUTE + 1:
                return
            # Within one minute answers overtake each other: the lowest count is the latest.
            known = self._told_left if same and now < self._told_until else rate.remaining
            self._told_left = min(known, rate.remaining)
            self._told_until = now + resets_in

    def rest(self, seconds: float | None, now: float) -> None:
        """The broker answered 429: nothing but a cancel goes for so long (None: it did not say)."""
        seconds = self._throttled_rest if seconds is None else seconds
        with self._lock:
            self._rests_until = max(self._rests_until, now + seconds)

    def resize(self, per_minute: float) -> None:
        """Have another share from now on (processes come and go)."""
        with self._lock:
            self._all.resize(per_minute)
            self._look_ups.resize(min(LOOK_UPS_PER_MINUTE, per_minute))

    def _earn(self, now: float) -> None:
        self._all.earn(now)
        self._look_ups.earn(now)

    def _spend(self, lane: Lane, calls: int) -> None:
        self._all.left -= calls
        self._told_left -= calls
        if lane is Lane.LOOK_UP:
            self._look_ups.left -= calls

    def _wait(self, lane: Lane, now: float) -> float:
        if lane is Lane.CANCEL:
            return max(self._all.seconds_until(1), self._told_wait(1, now))
        needed = self.reserve + 1
        waits = [
            self._all.seconds_until(needed),
            self._told_wait(needed, now),
            max(0.0, self._rests_until - now),
        ]
        if lane is Lane.LOOK_UP:
            waits.append(self._look_ups.seconds_until(1))
        return max(waits)

    def _told_wait(self, needed: float, now: float) -> float:
        enough = now >= self._told_until or self._told_left >= needed
        return 0.0 if enough else self._told_until - now
