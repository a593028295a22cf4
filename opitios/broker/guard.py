"""What stands around every call to a broker: breaker, budget, a slot in the bulkhead, an observer.

Order of the checks, from cheap to waiting: breaker and budget first, they only say no; then the
slot. An order is let in before its desk claims it (`Guard.admit`): what cannot go stays queued.
"""

import threading
import time
from collections.abc import Callable
from typing import Literal, Protocol, TypeVar

from opitios.broker.breaker import Outcome, State
from opitios.broker.budget import MINUTE, Budget, Lane
from opitios.broker.errors import AccessDenied, BrokerError, NotSent, OutcomeUnknown, Throttled
from opitios.broker.hosts import Hosts, Line, Pass
from opitios.broker.port import Answer

T = TypeVar("T")

Api = Literal["trading", "data"]

# Connections one process may hold to its brokers (seed requirement: pool caps 2000 and 5).
PROCESS_SLOTS = 2000
ACCOUNT_SLOTS = 5

# An order let in by the breaker a moment ago and not any more: asked again after so many seconds.
_TRY_AGAIN = 0.05


class Observer(Protocol):
    """Told once about each call, after it. Must not block and must not raise."""

    def __call__(self, *, method: str, route: str, outcome: str, seconds: float) -> None:
        """`route` is a template without ids, `outcome` is `answered` or `BrokerError.outcome`."""
        ...


class Bulkhead:
    """A bounded number of calls at one time; the rest wait, but not past their deadline."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.busy = 0
        self._changed = threading.Condition()

    def enter(self, deadline: float) -> None:
        """Take a slot. Raises NotSent if none is free before the deadline (monotonic seconds)."""
        with self._changed:
            if self.busy >= self.slots:
                self._wait(deadline)
            self.busy += 1

    def _wait(self, deadline: float) -> None:
        left = max(0.0, deadline - time.monotonic())
        if not self._changed.wait_for(lambda: self.busy < self.slots, left):
            raise NotSent(message="no slot became free in time", reason="no-slot")

    def leave(self) -> None:
        """Give the slot back."""
        with self._changed:
            self.busy -= 1
            self._changed.notify()

    def resize(self, slots: int) -> None:
        """Allow so many from now on; what is under way ends as it ends."""
        with self._changed:
            self.slots = slots
            self._changed.notify_all()


class _Admitted(threading.local):
    """The order this thread has been let in with, until its call is made."""

    guard: "Guard | None" = None
    leave: Pass | None = None


# One for all guards: a thread sends one order at a time.
_admitted = _Admitted()


class Guard:
    """One account's guard, shared by all its clients in this process.

    `process` is the bulkhead of the whole process; an account takes its own slot first, so that
    calls of a slow account wait at its own door. `spare` slots of the account are for cancels.
    Without a budget nothing is counted.
    """

    def __init__(
        self,
        *,
        process: Bulkhead,
        slots: int = ACCOUNT_SLOTS,
        spare: int = 0,
        observer: Observer | None = None,
        hosts: Hosts | None = None,
        budget: Budget | None = None,
    ) -> None:
        self._account = Bulkhead(slots)
        self._cancel_doors = (self._account, process)
        self._doors: tuple[Bulkhead, ...] = self._cancel_doors
        if 0 < spare < slots:
            self._doors = (Bulkhead(slots - spare), *self._cancel_doors)
        self._observer = observer
        self._hosts = hosts or Hosts()
        self._lines: dict[Api, Line] = {}
        self.budget = budget
        # When a call was last let in or ended, in monotonic seconds: what is told of an account
        # that was not called stays as it was.
        self.used_at = 0.0
        # Of its market data, which the broker counts apart (alpaca-wire.md §2).
        self.data_budget: Budget | None = None

    def budget_for(self, lane: Lane) -> Budget | None:
        """What such a call is taken from; None: nothing is counted."""
        return self.data_budget if lane is Lane.DATA else self.budget

    # The desk's questions

    @property
    def in_flight(self) -> int:
        """How many calls are being made."""
        return self._account.busy

    def line(self, api: Api, origin: str) -> Line:
        """The account's way to an API at an address, the same one for every caller."""
        made = Line(self._hosts.of(origin), self._hosts.timers)
        return self._lines.setdefault(api, made)

    @property
    def trading(self) -> Line | None:
        """The way its orders take; None before its client was built."""
        return self._lines.get("trading")

    def admit(self) -> float:
        """Let one order in, which this thread then sends: 0.0, or the seconds until one may go.

        It is let in by breakers and budget; `withdraw` it if it is not sent after all.
        """
        now = self.used_at = time.monotonic()
        line = self.trading
        seconds = line.wait(now, first=False) if line else 0.0
        if seconds == 0.0 and self.budget is not None:
            seconds = self.budget.take(Lane.SUBMIT, now)
        if seconds > 0 or line is None:
            return seconds
        leave = line.enter(now, first=False)
        if leave is None:
            self._give_back(Lane.SUBMIT)
            return _TRY_AGAIN
        _admitted.guard, _admitted.leave = self, leave
        return 0.0

    def withdraw(self) -> None:
        """Undo `admit` where this thread made no call with it."""
        leave, line = self._take_admitted(), self.trading
        if leave is not None and line is not None:
            line.leave(leave, Outcome.NONE, time.monotonic())
            self._give_back(Lane.SUBMIT)
            self.used_at = time.monotonic()

    def wait(self, lane: Lane) -> float:
        """Seconds until such a call may go, 0.0 if one may now. Takes nothing."""
        now = time.monotonic()
        line = self._lines.get("data" if lane is Lane.DATA else "trading")
        seconds = line.wait(now, first=lane is not Lane.SUBMIT) if line else 0.0
        budget = self.budget_for(lane)
        return max(seconds, budget.wait(lane, now) if budget else 0.0)

    def state(self) -> State:
        """Whether orders may be sent, as the breakers see it."""
        line = self.trading
        return line.state(time.monotonic()) if line else State.CLOSED

    # The call

    def call(
        self,
        *,
        method: str,
        route: str,
        deadline: float,
        send: Callable[[], T],
        lane: Lane = Lane.READ,
        line: Line | None = None,
    ) -> T:
        """Run `send` inside the guard and tell the observer how it ended.

        `deadline` is in monotonic seconds and bounds the wait for a slot; `send` bounds the rest.
        Raises NotSent if the call may not go now or no slot became free in time, and whatever
        `send` raises.
        """
        started = time.monotonic()
        outcome = "failed"
        try:
            answer = self._let_in(lane, line, deadline, send)
            outcome = "answered"
        except BrokerError as error:
            outcome = error.outcome
            raise
        finally:
            self._tell(method, route, outcome, time.monotonic() - started)
        return answer

    def _let_in(self, lane: Lane, line: Line | None, deadline: float, send: Callable[[], T]) -> T:
        leave = self._enter(lane, line)
        said: BrokerError | Answer | None = None
        try:
            answer = self._inside(lane, deadline, send)
            said = answer if isinstance(answer, Answer) else None
        except BrokerError as error:
            said = error
            raise
        finally:
            self._learn(said, lane)
            if line is not None and leave is not None:
                _note(line, leave, said)
            self.used_at = time.monotonic()
        return answer

    def _enter(self, lane: Lane, line: Line | None) -> Pass | None:
        admitted = self._take_admitted() if lane is Lane.SUBMIT else None
        if admitted is not None:
            return admitted
        now = time.monotonic()
        budget = self.budget_for(lane)
        seconds = budget.take(lane, now) if budget is not None else 0.0
        if seconds > 0:
            raise NotSent(
                message="the account's calls of this minute are used up",
                reason="no-budget",
                retry_after_seconds=seconds,
            )
        first = lane is not Lane.SUBMIT
        leave = line.enter(now, first=first) if line is not None else None
        if line is not None and leave is None:
            self._give_back(lane)
            raise NotSent(
                message="the broker does not answer, it is left alone for a moment",
                reason="breaker-open",
                retry_after_seconds=line.wait(now, first=first),
            )
        return leave

    def _take_admitted(self) -> Pass | None:
        if _admitted.guard is not self:
            return None
        leave, _admitted.guard, _admitted.leave = _admitted.leave, None, None
        return leave

    def _inside(self, lane: Lane, deadline: float, send: Callable[[], T]) -> T:
        entered: list[Bulkhead] = []
        try:
            for door in self._cancel_doors if lane is Lane.CANCEL else self._doors:
                door.enter(deadline)
                entered.append(door)
            return send()
        finally:
            for door in reversed(entered):
                door.leave()

    def _learn(self, said: BrokerError | Answer | None, lane: Lane) -> None:
        """Let the budget know what the broker said of it."""
        budget = self.budget_for(lane)
        if said is None or budget is None:
            return
        now = time.monotonic()
        if said.rate is not None:
            budget.correct(said.rate, resets_in=said.rate.resets_at - time.time(), now=now)
        if isinstance(said, NotSent):
            budget.give_back(lane)
        if isinstance(said, Throttled):
            budget.rest(_rest(said), now)

    def _give_back(self, lane: Lane) -> None:
        budget = self.budget_for(lane)
        if budget is not None:
            budget.give_back(lane)

    def _tell(self, method: str, route: str, outcome: str, seconds: float) -> None:
        if self._observer is not None:
            self._observer(method=method, route=route, outcome=outcome, seconds=seconds)


def _note(line: Line, leave: Pass, said: BrokerError | Answer | None) -> None:
    outcome, now = _meaning(said), time.monotonic()
    line.leave(leave, outcome, now)
    if said is not None and outcome is not Outcome.NONE:
        line.host.note(outcome, seconds=said.ms / 1000, now=now, wall=time.time())


def _meaning(said: BrokerError | Answer | None) -> Outcome:
    """What an outcome says of the way it came: a refusal came back, so the way is good."""
    match said:
        case OutcomeUnknown():
            return Outcome.AMBIGUOUS
        case AccessDenied():
            return Outcome.DENIED
        case NotSent(reason="no-connection"):
            return Outcome.FAILED
        case NotSent() | None:
            return Outcome.NONE
        case _:
            return Outcome.GOOD


def _rest(error: Throttled) -> float | None:
    """Seconds until the broker takes calls again: its own word, or its minute's end."""
    if error.retry_after_seconds is not None:
        return error.retry_after_seconds
    rate = error.rate
    if rate is None or rate.remaining > 0:
        return None
    left = rate.resets_at - time.time()
    return left if 0 < left <= MINUTE else None
