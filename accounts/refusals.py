"""Refused attempts: counted at once, told to the `_system` journal at leisure (api.md §8).

One entry for each subject, reason and minute; before the subject is known, for each source and
minute. It never lands in an account's own journal: nobody slows another's, and no trader is tipped
off. A caller only counts, in memory that is bounded; a thread writes, in batches.
"""

import atexit
import ipaddress
import threading
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from multiprocessing.util import Finalize
from typing import Any, Final

import structlog
from django.db import Error as DatabaseError
from django.http import HttpRequest

from accounts import journal
from accounts.access import NO_SUCH_ACCOUNT
from accounts.claims import ACCOUNT_ID
from accounts.journal import Actor
from accounts.models import SYSTEM_JOURNAL
from accounts.tokens import Principal
from opitios.core import clock, database, logs
from opitios.core.client_address import read_address
from opitios.core.config import Config, get_config
from opitios.core.errors import Problem, Reason
from opitios.core.http import account_in_path

logger = structlog.get_logger("app")

KIND = "access.refused"

# Entries of one process and window: whoever comes after these is counted with `OTHERS`.
MOST_KEYS = 200
# Windows' worth of entries that wait while Postgres is away; the oldest go, their lines stay.
MOST_WAITING = 10_000
# Accounts and addresses that one entry names.
NAMED = 10
BATCH = 100
OTHERS: Final = "others"

# What somebody was not allowed. A malformed body of a rightful caller is in the access log alone.
COUNTED = frozenset({Reason.UNAUTHORIZED, Reason.FORBIDDEN, Reason.TOO_MANY_REQUESTS})

# (subject, reason) of a known principal, (source, None) of anybody else.
_Key = tuple[str, str, str | None]


@dataclass(frozen=True, slots=True)
class RefusedAttempt:
    """One refused attempt. `principal` None: nobody we know; `account_id` as it was asked for."""

    reason: str
    address: str
    request_id: str
    principal: Principal | None = None
    account_id: str | None = None

    @property
    def key(self) -> _Key:
        """Whose entry it is counted in."""
        if self.principal is not None:
            return ("principal", self.principal.sub, self.reason)
        return ("unknown", source_of(self.address), None)


@dataclass(slots=True)
class _Tally:
    """What one entry tells."""

    key: _Key
    first: RefusedAttempt
    first_at: datetime
    last_at: datetime
    reasons: Counter[str] = field(default_factory=Counter)
    accounts: dict[str, None] = field(default_factory=dict)
    sources: dict[str, None] = field(default_factory=dict)

    def add(self, attempt: RefusedAttempt, now: datetime) -> None:
        self.last_at = now
        self.reasons[attempt.reason] += 1
        if len(self.sources) < NAMED:
            self.sources[source_of(attempt.address)] = None
        if attempt.account_id is not None and len(self.accounts) < NAMED:
            self.accounts[_plain(attempt.account_id)] = None

    def entry(self, process: str) -> Mapping[str, Any]:
        """The journal entry's body."""
        kind, name, reason = self.key
        request = {
            "request_id": self.first.request_id, "idempotency_key": None, "body_sha256": None,
        }  # fmt: skip
        return journal.body(
            actor=Actor(kind, name),
            occurred_at=clock.rfc3339(self.first_at),
            request=request,
            reason=reason or self.reasons.most_common(1)[0][0],
            after={
                "count": self.reasons.total(),
                "reasons": dict(self.reasons),
                "account_ids": list(self.accounts),
                "sources": list(self.sources),
                "last_at": clock.rfc3339(self.last_at),
                "process": process,
            },
        )


class Refusals:
    """The refused attempts of one process."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._totals: Counter[str] = Counter()
        self._window = 0
        self._open: dict[_Key, _Tally] = {}
        self._waiting: deque[_Tally] = deque(maxlen=MOST_WAITING)
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()

    def note(self, attempt: RefusedAttempt) -> None:
        """Count one attempt. Waits for nothing and never fails its caller."""
        now = clock.now()
        with self._lock:
            self._totals[attempt.reason] += 1
            self._turn(now)
            key = attempt.key
            if key not in self._open and len(self._open) >= MOST_KEYS:
                key = (OTHERS, OTHERS, None)
            if key not in self._open:
                self._open[key] = _Tally(key, attempt, now, now)
            self._open[key].add(attempt, now)
            if self._thread is None:
                self._start()

    def totals(self) -> dict[str, int]:
        """How many were refused since the process began, by reason."""
        with self._lock:
            return dict(self._totals)

    def part(self) -> dict[str, dict[str, int]]:
        """This process's word for the pool row."""
        return {"refusals": self.totals()}

    def flush(self) -> None:
        """Write every attempt that was counted, the present window's too."""
        with self._lock:
            self._close()
        self._write()

    def end(self) -> None:
        """Write what was counted, for the last time."""
        self._ended.set()
        self.flush()

    def _turn(self, now: datetime) -> None:
        window = int(now.timestamp() // self._config.timers.refusal_window)
        if window != self._window:
            self._close()
            self._window = window

    def _close(self) -> None:
        self._waiting.extend(self._open.values())
        self._open = {}

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="refusals", daemon=True)
        self._thread.start()
        # A worker of granian ends as multiprocessing's children do, which run no atexit.
        Finalize(None, self.end, exitpriority=10)
        atexit.register(self.end)

    def _run(self) -> None:
        while not self._ended.wait(self._config.timers.refusal_window / 4):
            with self._lock:
                self._turn(clock.now())
            self._write()

    def _write(self) -> None:
        """Write what waits; what Postgres does not take now waits on."""
        try:
            with self._writing:
                while batch := self._taken():
                    self._append(batch)
        except DatabaseError as error:
            logger.warning("refusals wait for postgres", error=type(error).__name__)
        finally:
            database.release()

    def _taken(self) -> list[_Tally]:
        with self._lock:
            return [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]

    def _append(self, batch: list[_Tally]) -> None:
        told = [(KIND, each.entry(self._config.process)) for each in batch]
        try:
            journal.append_many(SYSTEM_JOURNAL, told)
        except DatabaseError:
            with self._lock:
                self._waiting.extendleft(reversed(batch))
            raise


@lru_cache(maxsize=1024)
def source_of(address: str) -> str:
    """Name where somebody comes from: an address, or the network that one IPv6 line has."""
    found = read_address(address)
    if isinstance(found, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((found, 64), strict=False))
    return "unknown" if found is None else str(found)


def _plain(account_id: str) -> str:
    return account_id if ACCOUNT_ID.fullmatch(account_id) else "malformed"


@lru_cache(maxsize=1)
def get_refusals() -> Refusals:
    """The refusals of this process."""
    return Refusals(get_config())


def is_attempt(problem: Problem) -> bool:
    """Whether a refusal is one of somebody who tried what is not theirs."""
    if problem.broker is not None:
        return False
    return problem.reason in COUNTED or (
        problem.reason is Reason.NOT_FOUND and problem.detail == NO_SUCH_ACCOUNT
    )


def tell(attempt: RefusedAttempt) -> None:
    """Count an attempt, and write its line for security. From any thread, and from a loop."""
    principal = attempt.principal
    logs.write_security(
        "refused",
        reason=attempt.reason,
        request_id=attempt.request_id,
        ip=attempt.address,
        subject=None if principal is None else logs.printable(principal.sub),
        account_id=None if attempt.account_id is None else logs.printable(attempt.account_id),
    )
    get_refusals().note(attempt)


def tell_of_answer(request: HttpRequest, problem: Problem) -> None:
    """Hear of every problem that is answered over HTTP (core.http.on_problem)."""
    if is_attempt(problem):
        attempt = RefusedAttempt(
            reason=problem.reason.value.slug,
            address=getattr(request, "client_ip", None) or "",
            request_id=getattr(request, "request_id", ""),
            principal=getattr(request, "principal", None),
            account_id=problem.account_id or account_in_path(request),
        )
        tell(attempt)
