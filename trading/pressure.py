"""What holds each account's new orders back, as its desk tells it to those who accept orders.

Written when it changes and looked at twice a second. A quiet account costs no write, and no look.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from accounts import standings
from accounts.pool import PooledAccount
from accounts.standings import Pressure
from opitios.broker.breaker import State
from opitios.broker.budget import Budget
from opitios.core import clock, database

# Below this share of its minute an account's budget is worth telling.
TELL_BELOW = 0.5
# Seconds: instants this close are the same, they are measured anew each time.
SAME_INSTANT = 0.25

# An order that waited so long is late whatever its deadline, one that waited less is not. Seconds.
WORTH_A_LOOK = 1.0
# Shares this close are the same: they grow with every look.
SAME_SHARE = 0.05

# Beside how many wait: the largest share of its deadline that one of them has waited.
_WAITING = """
SELECT account_id, count(*) AS waiting,
    max(extract(epoch FROM clock_timestamp() - created_at)
        / greatest(extract(epoch FROM not_after - created_at), 0.001))
        FILTER (WHERE created_at < clock_timestamp() - %s * interval '1 second')::float8 AS overdue
FROM trading_order WHERE status = 'queued' AND account_id = ANY(%s) GROUP BY account_id
"""


class Pressures:
    """What one desk has told of its accounts. Used by the desk's loop alone."""

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._told: dict[str, Pressure] = {}
        # Those of which something else was told than that they are quiet.
        self._pressed: set[str] = set()
        self._names = database.Texts()
        self._looked_at = 0.0

    def tell(self, accounts: Iterable[PooledAccount]) -> int:
        """Write what changed about these accounts, which are all we own; of how many it was."""
        owned = {account.account_id: account for account in accounts}
        self._take_over(owned.keys() - self._told.keys())
        self._told = {key: value for key, value in self._told.items() if key in owned}
        if len(self._names) != len(owned) or not owned.keys() >= set(self._names):
            self._names = database.Texts(sorted(owned))
        counted = database.rows(_WAITING, (WORTH_A_LOOK, self._names))
        waiting = {row["account_id"]: Waiting(row["waiting"], row["overdue"]) for row in counted}
        now, at = clock.monotonic(), clock.now()
        moved = self._moved(owned) | (waiting.keys() | self._pressed) & owned.keys()
        self._looked_at = now
        seen = [pressure_on(owned[key], waiting.get(key, NONE_WAITS), now, at) for key in moved]
        changed = [each for each in seen if not is_same(each, self._told[each.account_id])]
        told = standings.tell(self._owner, changed)
        self._told.update({each.account_id: each for each in changed if each.account_id in told})
        # What was not written, a lease having run out meanwhile, is told again.
        unheard = {each.account_id for each in changed} - told
        self._pressed = {key for key in moved if self._told[key] != Pressure(key)} | unheard
        return len(told)

    def _moved(self, owned: Mapping[str, PooledAccount]) -> set[str]:
        """The accounts that were called since the last look, or whose way is not free."""
        since = self._looked_at
        return {
            key
            for key, account in owned.items()
            if account.guard.used_at >= since or not _is_free(account)
        }

    def _take_over(self, new: Iterable[str]) -> None:
        """What another desk told of an account stands until it is told otherwise."""
        ids = sorted(new)
        if ids:
            self._told |= {key: Pressure(key) for key in ids} | standings.of(ids)
            self._pressed.update(ids)


def _is_free(account: PooledAccount) -> bool:
    line = account.guard.trading
    return line is None or line.is_at_rest


@dataclass(frozen=True, slots=True)
class Waiting:
    """The orders of one account that are queued: how many, and how late the latest of them is."""

    orders: int
    overdue: float | None


NONE_WAITS = Waiting(0, None)


def pressure_on(account: PooledAccount, waiting: Waiting, now: float, at: datetime) -> Pressure:
    """Sum up what holds an account's orders back. `now` is monotonic, `at` the same instant."""
    guard, line = account.guard, account.guard.trading
    state = guard.state()
    rests = line.wait(now, first=False) if line is not None and state is State.OPEN else 0.0
    if guard.budget is not None:
        rests = max(rests, guard.budget.rests_until(now) - now)
    left = _worth_telling(guard.budget, now)
    is_free = rests <= SAME_INSTANT and (left is None or left >= waiting.orders)
    return Pressure(
        account_id=account.account_id,
        breaker=state,
        rests_until=None if rests <= SAME_INSTANT else at + timedelta(seconds=rests),
        waiting=waiting.orders,
        submits_left=left,
        # Who waits for the account's own budget is judged by it (trading/admission.py).
        overdue=waiting.overdue if is_free else None,
    )


def _worth_telling(budget: Budget | None, now: float) -> int | None:
    if budget is None:
        return None
    left = budget.submits_left(now)
    return left if left < budget.per_minute * TELL_BELOW else None


def is_same(one: Pressure, other: Pressure) -> bool:
    """Whether both tell the same, but for the jitter of their clocks."""
    figures = [(each.breaker, each.waiting, each.submits_left) for each in (one, other)]
    if figures[0] != figures[1] or not _is_same_share(one.overdue, other.overdue):
        return False
    if one.rests_until is None or other.rests_until is None:
        return one.rests_until is other.rests_until
    return abs((one.rests_until - other.rests_until).total_seconds()) < SAME_INSTANT


def _is_same_share(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return abs(one - other) < SAME_SHARE
