"""Whether a new order can be sent before its deadline: asked before it is stored.

An order that would only wait to lapse is refused, so that no queue grows where nobody sees it
(C17, C28). The answer comes from this process's copy of what the desks told (accounts.standings)
and from what it accepted itself since; nothing is asked of anybody on the order's way.
"""

import threading
from collections import defaultdict, deque
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import lru_cache

from accounts.access import is_low_priority
from accounts.models import AccountState
from accounts.pool import get_pool
from accounts.standings import Pressure, Standing
from opitios.broker.budget import CANCEL_RESERVE, MINUTE
from opitios.core.admission import overloaded
from opitios.core.config import get_config
from opitios.core.errors import Problem, Reason

# What the desks told is at most so old: told each half second, read each half second, and slack.
# Orders accepted here since then are not in it. Seconds.
TOLD_WITHIN = 2.0
# Where nothing tells how long: a breaker tries again after five seconds, a quarantine after thirty.
BREAKER_RETRY = 5.0
QUARANTINE_RETRY = 30.0

# design.md §6: where an order that could go has waited so much of its deadline, no new one is
# taken; accounts of low priority give way at half of that.
SHED_AT = 0.25


class Admission:
    """The admission of one process. Safe to use from any thread."""

    def __init__(
        self,
        *,
        standing_of: Callable[[str], Standing | None],
        per_minute: float,
        is_low_priority: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._standing_of = standing_of
        self._is_low_priority = is_low_priority
        self._per_minute = per_minute
        # By account: how many were stored in each tenth of a second.
        self._accepted: defaultdict[str, deque[list[int]]] = defaultdict(deque)
        self._lock = threading.Lock()

    def refusal(self, account_id: str, not_after: datetime, now: datetime) -> Problem | None:
        """Why an order of this deadline is not taken now; None if it is."""
        standing = self._standing_of(account_id)
        if standing is None:
            return None
        if standing.is_suspended:
            return suspended(account_id)
        if standing.is_quarantined:
            return quarantined(account_id)
        if standing.pressure.breaker == AccountState.Breaker.OPEN:
            return _broker_away(standing.pressure, now)
        return self._queue_refusal(account_id, standing, not_after, now)

    def _queue_refusal(
        self, account_id: str, standing: Standing, not_after: datetime, now: datetime
    ) -> Problem | None:
        overdue = standing.pressure.overdue
        if overdue is not None and overdue >= self._bears(account_id):
            return overloaded("Orders wait too long for a sender; nothing was stored.", account_id)
        ahead = standing.pressure.waiting + self._accepted_since(account_id, standing.told_at, now)
        wait = expected_wait(standing.pressure, ahead, self._per_minute, now)
        if now + timedelta(seconds=wait) <= not_after:
            return None
        return _would_lapse(account_id, wait, (not_after - now).total_seconds())

    def _bears(self, account_id: str) -> float:
        return SHED_AT / 2 if self._is_low_priority(account_id) else SHED_AT

    def key_refusal(self, account_id: str) -> Problem | None:
        """Why the broker cannot be asked anything about the account; None if it can."""
        standing = self._standing_of(account_id)
        quarantine = standing is not None and standing.is_quarantined
        return quarantined(account_id) if quarantine else None

    def count(self, account_id: str, accepted_at: datetime) -> None:
        """Remember an order this process stored."""
        tenth = _tenth(accepted_at)
        with self._lock:
            lately = self._accepted[account_id]
            if lately and lately[-1][0] == tenth:
                lately[-1][1] += 1
                return
            lately.append([tenth, 1])
            while lately[0][0] <= tenth - TOLD_WITHIN * 10:
                lately.popleft()

    def _accepted_since(self, account_id: str, told_at: datetime, now: datetime) -> int:
        oldest = max(_tenth(told_at), _tenth(now) - TOLD_WITHIN * 10)
        with self._lock:
            lately = self._accepted.get(account_id, ())
            return sum(orders for tenth, orders in lately if tenth > oldest)


def _tenth(instant: datetime) -> int:
    return int(instant.timestamp() * 10)


def expected_wait(pressure: Pressure, ahead: int, per_minute: float, now: datetime) -> float:
    """Seconds until an order with so many before it can go.

    Those that may go at once cost nothing, each further one its share of a minute.
    """
    resting = 0.0
    if pressure.rests_until is not None:
        resting = max(0.0, (pressure.rests_until - now).total_seconds())
    at_once = pressure.submits_left
    if at_once is None:
        at_once = int(per_minute - CANCEL_RESERVE)
    return resting + max(0, ahead + 1 - at_once) * MINUTE / per_minute


def suspended(account_id: str) -> Problem:
    """Make the refusal for an account that the operator lets send nothing new."""
    return Problem(
        Reason.ACCOUNT_SUSPENDED,
        "The operator has suspended this account.",
        account_id=account_id,
    )


def quarantined(account_id: str) -> Problem:
    """Make the refusal for an account whose key the broker does not take."""
    return Problem(
        Reason.ACCOUNT_QUARANTINED,
        "The broker does not accept this account's key.",
        retry_after_seconds=QUARANTINE_RETRY,
        account_id=account_id,
    )


def _broker_away(pressure: Pressure, now: datetime) -> Problem:
    seconds = BREAKER_RETRY
    if pressure.rests_until is not None:
        seconds = max(1.0, (pressure.rests_until - now).total_seconds())
    return Problem(
        Reason.BROKER_UNAVAILABLE,
        "The broker does not answer; nothing was stored.",
        retry_after_seconds=seconds,
        account_id=pressure.account_id,
    )


def _would_lapse(account_id: str, wait: float, lives: float) -> Problem:
    return Problem(
        Reason.WOULD_LAPSE,
        f"It would wait {wait:.0f} s for the account's budget and lives {lives:.0f} s.",
        retry_after_seconds=max(1.0, wait - lives),
        account_id=account_id,
    )


@lru_cache(maxsize=1)
def get_admission() -> Admission:
    """The admission of this process."""
    return Admission(
        standing_of=lambda account_id: get_pool().standing(account_id),
        per_minute=get_config().desk_calls_per_minute,
        is_low_priority=is_low_priority,
    )
