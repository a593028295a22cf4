"""What stands around every call to a broker: a deadline, a slot in the bulkhead, an observer.

Order of the checks, from cheap to waiting: breaker, budget, slot. Breaker and budget belong to the
desk that owns the account and come in before the slot is taken, in `Guard.call`.
"""

import threading
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from opitios.broker.errors import BrokerError, NotSent

T = TypeVar("T")

# Connections one process may hold to its brokers (seed requirement: pool caps 2000 and 5).
PROCESS_SLOTS = 2000
ACCOUNT_SLOTS = 5


class Observer(Protocol):
    """Told once about each call, after it. Must not block and must not raise."""

    def __call__(self, *, method: str, route: str, outcome: str, seconds: float) -> None:
        """`route` is a template without ids, `outcome` is `answered` or `BrokerError.outcome`."""
        ...


class Bulkhead:
    """A bounded number of calls at one time; the rest wait, but not past their deadline."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self._free = threading.BoundedSemaphore(slots)

    def enter(self, deadline: float) -> None:
        """Take a slot. Raises NotSent if none is free before the deadline (monotonic seconds)."""
        if self._free.acquire(blocking=False):
            return
        if not self._free.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise NotSent(message="no slot became free in time", reason="no-slot")

    def leave(self) -> None:
        """Give the slot back."""
        self._free.release()


class Guard:
    """One account's guard, shared by all its clients in this process.

    `process` is the bulkhead of the whole process; an account takes its own slot first, so that
    calls of a slow account wait at its own door.
    """

    def __init__(
        self, *, process: Bulkhead, slots: int = ACCOUNT_SLOTS, observer: Observer | None = None
    ) -> None:
        self._process = process
        self._account = Bulkhead(slots)
        self._observer = observer

    def call(self, *, method: str, route: str, deadline: float, send: Callable[[], T]) -> T:
        """Run `send` inside the guard and tell the observer how it ended.

        `deadline` is in monotonic seconds and bounds the wait for a slot; `send` bounds the rest.
        Raises NotSent if no slot became free in time, and whatever `send` raises.
        """
        started = time.monotonic()
        outcome = "failed"
        try:
            answer = self._inside(deadline, send)
            outcome = "answered"
        except BrokerError as error:
            outcome = error.outcome
            raise
        finally:
            self._tell(method, route, outcome, time.monotonic() - started)
        return answer

    def _inside(self, deadline: float, send: Callable[[], T]) -> T:
        self._account.enter(deadline)
        try:
            self._process.enter(deadline)
            try:
                return send()
            finally:
                self._process.leave()
        finally:
            self._account.leave()

    def _tell(self, method: str, route: str, outcome: str, seconds: float) -> None:
        if self._observer is not None:
            self._observer(method=method, route=route, outcome=outcome, seconds=seconds)
