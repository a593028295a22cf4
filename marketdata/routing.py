"""Which data account is asked next: in turn, and past one that does not answer (R4)."""

import itertools
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar

import structlog

from accounts.models import Account
from accounts.pool import PooledAccount, get_pool
from marketdata.counters import CALLS, FAILOVERS
from opitios.broker.budget import Lane
from opitios.broker.errors import AccessDenied, BrokerError, NotSent, Refused, Throttled
from opitios.core import clock
from opitios.core.errors import Problem, Reason

logger = structlog.get_logger("app")

T = TypeVar("T")

# Seconds after the question in which another account may still be asked. One call takes at most
# 5 s (opitios.broker.alpaca.transport), so an answer or its absence comes within 7.
TRY_SECONDS = 2.0
LONGEST_SECONDS = TRY_SECONDS + 5.0

# Seconds a question waits for the next call that a used-up budget allows.
LONGEST_WAIT = 1.5
# Seconds an account is asked last: a refused key is seldom mended sooner, the broker's budget of a
# minute refills in seconds (alpaca-wire.md §2: a token bucket).
REST_AFTER_DENIAL = 30.0
REST_AFTER_THROTTLE = 5.0


class NoDataAccount(Exception):
    """No enabled account may read market data."""


def may_another_answer(error: BrokerError) -> bool:
    """Whether the failure is about the account or the connection, not about what was asked.

    403 is about the account: its plan does not hold the feed.
    """
    return not isinstance(error, Refused) or error.http_status == HTTPStatus.FORBIDDEN


def _rest_seconds(error: BrokerError) -> float:
    match error:
        case AccessDenied():
            return REST_AFTER_DENIAL
        case Throttled():
            return error.retry_after_seconds or REST_AFTER_THROTTLE
        case NotSent():
            return REST_AFTER_THROTTLE
        case _:
            return 0.0


@dataclass(slots=True)
class _Health:
    """How an account did here. Instants are epoch seconds, but for `rests_until` (monotonic)."""

    rests_until: float = 0.0
    answered_at: float | None = None
    failure: Mapping[str, Any] | None = None


class Router:
    """Takes turns among the data accounts of this process. Safe to use from any thread."""

    def __init__(self, accounts: Callable[[], Sequence[PooledAccount]]) -> None:
        """`accounts()` is best first, as Pool.data_accounts gives them."""
        self._accounts = accounts
        self._turn = itertools.count()
        self._health: dict[str, _Health] = {}

    def ask(self, read: Callable[[PooledAccount], T]) -> T:
        """Read from the first account that answers.

        Where all of them have used up their calls it waits a moment for the next one, once.
        Raises NoDataAccount; the BrokerError of a question that no account would answer otherwise;
        else that of an account which might have.
        """
        try:
            return self._ask_around(read)
        except NotSent as error:
            seconds = error.retry_after_seconds
            if error.reason != "no-budget" or seconds is None or seconds > LONGEST_WAIT:
                raise
        threading.Event().wait(seconds)
        return self._ask_around(read)

    def _ask_around(self, read: Callable[[PooledAccount], T]) -> T:
        failures: list[BrokerError] = []
        until = clock.monotonic() + TRY_SECONDS
        for account in self.in_turn():
            try:
                answer = read(account)
            except BrokerError as error:
                failures.append(error)
                self._failed(account, error)
                if not may_another_answer(error) or clock.monotonic() > until:
                    break
            else:
                self._answered(account, is_second=bool(failures))
                return answer
        raise _worst(failures)

    def in_turn(self) -> list[PooledAccount]:
        """List whom to ask, in this order: data accounts in turn, then master, then backup.

        Those that lately refused come last, and before them those with the fewest calls left.
        """
        ordered = _rotated(real_ones(self._accounts()), next(self._turn))
        now = clock.monotonic()
        return sorted(
            ordered,
            key=lambda one: (
                self._of(one).rests_until > now,
                one.guard.wait(Lane.DATA) > 0,
            ),
        )

    def health(self) -> dict[str, Any]:
        """How each account that may be asked does, by id: this process's part of the pool row."""
        moment, now = clock.now().timestamp(), clock.monotonic()
        shown = {}
        for account in self._accounts():
            mine, budget = self._of(account), account.guard.data_budget
            rests = mine.rests_until - now
            shown[account.account_id] = {
                "rests_until": moment + rests if rests > 0 else None,
                "answered_at": mine.answered_at,
                "last_failure": mine.failure,
                "budget": {
                    "limit": 0.0 if budget is None else budget.per_minute,
                    "remaining": 0 if budget is None else budget.submits_left(now),
                },
            }
        return shown

    def _of(self, account: PooledAccount) -> _Health:
        return self._health.setdefault(account.account_id, _Health())

    def _answered(self, account: PooledAccount, *, is_second: bool) -> None:
        self._of(account).answered_at = clock.now().timestamp()
        CALLS.add((account.account_id, "answered"))
        if is_second:
            FAILOVERS.add((account.account_id,))

    def _failed(self, account: PooledAccount, error: BrokerError) -> None:
        CALLS.add((account.account_id, error.outcome))
        if isinstance(error, NotSent) and error.is_held_back:
            # Our own guard: nothing failed, and the account's own order tells it.
            return
        if not may_another_answer(error):
            # It answered: what was asked is what is wrong.
            return
        mine = self._of(account)
        mine.rests_until = clock.monotonic() + _rest_seconds(error)
        mine.failure = {
            "at": clock.now().timestamp(),
            "outcome": error.outcome,
            "http_status": error.http_status,
        }
        logger.warning(
            "a data account did not answer",
            account_id=account.account_id,
            outcome=error.outcome,
            http_status=error.http_status,
        )


def real_ones(accounts: Iterable[PooledAccount]) -> list[PooledAccount]:
    """Leave the sandbox out where an account of the real broker is: it invents its prices."""
    able = list(accounts)
    return [one for one in able if one.environment != Account.Environment.SANDBOX] or able


def _rotated(accounts: Sequence[PooledAccount], turn: int) -> list[PooledAccount]:
    """Rotate each group of one type by `turn`; the groups keep their order."""
    rotated: list[PooledAccount] = []
    for _, members in itertools.groupby(accounts, key=lambda one: one.account_type):
        group = list(members)
        start = turn % len(group)
        rotated += group[start:] + group[:start]
    return rotated


def _worst(failures: list[BrokerError]) -> Exception:
    """Choose what to tell: an account that might have answered before one that would not."""
    if not failures:
        return NoDataAccount("no enabled account of type data, master or backup")
    used_up = [error for error in failures if isinstance(error, NotSent)]
    if len(used_up) == len(failures):
        return min(used_up, key=lambda error: error.retry_after_seconds or LONGEST_SECONDS)
    mending = [error for error in failures if not isinstance(error, Refused)]
    refused = [error for error in failures if isinstance(error, Refused)]
    if refused and not may_another_answer(refused[-1]):
        return refused[-1]
    return (mending or failures)[-1]


def pool_accounts() -> list[PooledAccount]:
    """List this process's data accounts, best first. Raises Problem 503 while they are loaded."""
    pool = get_pool()
    if not pool.is_loaded:
        raise Problem(Reason.UNAVAILABLE, "The accounts are being loaded.")
    return pool.data_accounts()
