"""Which data account is asked next: in turn, and past one that does not answer (R4)."""

import itertools
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import lru_cache
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

# Seconds that one call takes at the most (opitios.broker.alpaca.transport).
CALL_SECONDS = 5.0
# Seconds after the question in which another account may still be asked. An answer or its absence
# comes within their sum.
TRY_SECONDS = 4.0
LONGEST_SECONDS = TRY_SECONDS + CALL_SECONDS
# Calls that one process has under way at one time, those that nobody waits for included.
MOST_CALLS = 32

# Seconds a question waits for the next call that a used-up budget allows.
LONGEST_WAIT = 1.5
# Seconds an account is asked last: a refused key is seldom mended sooner, the broker's budget of a
# minute refills in seconds (alpaca-wire.md §2: a token bucket).
REST_AFTER_DENIAL = 30.0
REST_AFTER_THROTTLE = 5.0
# One that hangs, resets or fails: so long at first, twice as long each time it still does.
REST_AFTER_FAILURE, LONGEST_REST = 5.0, 30.0
# One that has owed an answer for so long is asked last until it comes, and the next one is asked
# besides: the first answer is taken.
SLOW_SECONDS = 1.0


class NoDataAccount(Exception):
    """No enabled account may read market data."""


def may_another_answer(error: BrokerError) -> bool:
    """Whether the failure is about the account or the connection, not about what was asked.

    403 is about the account: its plan does not hold the feed.
    """
    return not isinstance(error, Refused) or error.http_status == HTTPStatus.FORBIDDEN


def _rest_seconds(error: BrokerError, failures: int) -> float:
    match error:
        case AccessDenied():
            return REST_AFTER_DENIAL
        case Throttled():
            return error.retry_after_seconds or REST_AFTER_THROTTLE
        case _:
            return min(LONGEST_REST, REST_AFTER_FAILURE * 2.0 ** min(failures - 1, 8))


@dataclass(slots=True)
class _Health:
    """How an account did here. Instants are epoch seconds, but for `rests_until` (monotonic)."""

    rests_until: float = 0.0
    answered_at: float | None = None
    failure: Mapping[str, Any] | None = None
    # How often it has failed since it answered last.
    failures: int = 0
    # When the calls under way began (monotonic).
    calls: list[float] = field(default_factory=list)

    def is_asked_last(self, now: float) -> bool:
        """Whether it failed lately, or owes an answer for too long."""
        return self.rests_until > now or min(self.calls, default=now) < now - SLOW_SECONDS

    def note_failure(self, error: BrokerError) -> None:
        """Note that it failed: it rests, longer each time."""
        self.failures += 1
        rests_until = clock.monotonic() + _rest_seconds(error, self.failures)
        self.rests_until = max(self.rests_until, rests_until)
        self.failure = {
            "at": clock.now().timestamp(),
            "outcome": error.outcome,
            "http_status": error.http_status,
        }


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
        order = self.in_turn()
        if len(order) == 1:
            return self._call(order[0], read)
        running: dict[Future[T], PooledAccount] = {}
        failures: list[BrokerError] = []
        until = clock.monotonic() + TRY_SECONDS
        for account in order:
            running[_callers().submit(self._call, account, read)] = account
            found = _first_answer(running, failures, SLOW_SECONDS)
            if found is not None:
                return self._taken(found, running[found], first=order[0])
            if _is_hopeless(failures) or clock.monotonic() > until:
                break
        # Nobody is left to ask: those who owe an answer are waited for.
        found = None if _is_hopeless(failures) else _first_answer(running, failures, CALL_SECONDS)
        if found is None:
            raise _worst(failures)
        return self._taken(found, running[found], first=order[0])

    def _taken(self, found: "Future[T]", account: PooledAccount, *, first: PooledAccount) -> T:
        if account is not first:
            FAILOVERS.add((account.account_id,))
        return found.result()

    def _call(self, account: PooledAccount, read: Callable[[PooledAccount], T]) -> T:
        """Ask one account, and remember how it did, whoever still waits for it."""
        calls, began = self._of(account).calls, clock.monotonic()
        calls.append(began)
        try:
            answer = read(account)
        except BrokerError as error:
            self._failed(account, error)
            raise
        finally:
            calls.remove(began)
        self._answered(account)
        return answer

    def in_turn(self) -> list[PooledAccount]:
        """List whom to ask, in this order: data accounts in turn, then master, then backup.

        Those that failed lately or owe an answer come last, and before them those that have used up
        their calls.
        """
        ordered = _rotated(real_ones(self._accounts()), next(self._turn))
        now = clock.monotonic()
        return sorted(
            ordered,
            key=lambda one: (
                self._of(one).is_asked_last(now),
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

    def _answered(self, account: PooledAccount) -> None:
        mine = self._of(account)
        mine.answered_at, mine.rests_until, mine.failures = clock.now().timestamp(), 0.0, 0
        CALLS.add((account.account_id, "answered"))

    def _failed(self, account: PooledAccount, error: BrokerError) -> None:
        CALLS.add((account.account_id, error.outcome))
        if isinstance(error, NotSent) and error.is_held_back:
            # Our own guard: nothing failed, and the account's own order tells it.
            return
        if not may_another_answer(error):
            # It answered: what was asked is what is wrong.
            return
        self._of(account).note_failure(error)
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


def _first_answer(
    running: "Mapping[Future[T], PooledAccount]", failures: list[BrokerError], seconds: float
) -> "Future[T] | None":
    """Wait for the first of them that answers; None: nobody in time, or nobody ever will.

    What failed is added to `failures`. Raises what no broker said.
    """
    until = time.monotonic() + seconds
    waiting = {future for future in running if not _is_known(future, failures)}
    while waiting and not _is_hopeless(failures):
        left = max(0.0, until - time.monotonic())
        done, waiting = wait(waiting, timeout=left, return_when=FIRST_COMPLETED)
        if not done:
            return None
        for future in done:
            error = future.exception()
            if error is None:
                return future
            if not isinstance(error, BrokerError):
                raise error
            failures.append(error)
    return None


def _is_known(future: "Future[T]", failures: Sequence[BrokerError]) -> bool:
    return future.done() and any(future.exception() is error for error in failures)


def _is_hopeless(failures: Sequence[BrokerError]) -> bool:
    """Whether nobody would answer otherwise."""
    return bool(failures) and not may_another_answer(failures[-1])


@lru_cache(maxsize=1)
def _callers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(MOST_CALLS, thread_name_prefix="data")


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
