"""Which accounts' keys are in doubt: suspect, quarantined, or the host's fault. Pure.

One 401 makes an account suspect, three within 60 s quarantine it. Where a tenth of a host's
accounts (five at least) become suspect within that time the host is at fault, and nobody is
quarantined (design.md §5).
"""

import threading
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from opitios.core.config import Timers

DENIED_TO_QUARANTINE = 3
# The share of a host's accounts, and how many at least, that cannot all have lost their keys.
HOST_SHARE = 0.1
HOST_LEAST = 5


class Verdict(StrEnum):
    """What another refusal of a key means."""

    SUSPECT = "suspect"
    QUARANTINED = "quarantined"
    HOST = "host"


@dataclass(slots=True)
class _Doubt:
    """One account in doubt. Times are monotonic seconds."""

    host: str
    key_version: int
    next_at: float
    pause: float
    quarantined_at: float | None = None
    denied: deque[float] = field(default_factory=deque)


class Doubts:
    """The accounts of one desk whose keys were refused. Safe to use from any thread."""

    def __init__(self, timers: Timers) -> None:
        self._timers = timers
        self._doubts: dict[str, _Doubt] = {}
        # By host: who became suspect lately and when.
        self._fresh: dict[str, dict[str, float]] = {}
        # Hosts found at fault that have taken no key since.
        self._at_fault: set[str] = set()
        self._lock = threading.Lock()

    def denied(
        self, account_id: str, *, host: str, key_version: int, peers: int, now: float
    ) -> Verdict:
        """The broker answered 401. `peers`: how many accounts this desk has at the host."""
        with self._lock:
            if account_id not in self._doubts:
                self._fresh.setdefault(host, {})[account_id] = now
                self._doubts[account_id] = self._new(host, key_version, now)
            doubt = self._doubts[account_id]
            if self._is_hosts_fault(host, peers, now):
                self._at_fault.add(host)
                return Verdict.HOST
            self._remember(doubt, now)
            if doubt.quarantined_at is None and len(doubt.denied) >= DENIED_TO_QUARANTINE:
                self._quarantine(doubt, now)
            return Verdict.SUSPECT if doubt.quarantined_at is None else Verdict.QUARANTINED

    def accepted(self, account_id: str, *, host: str) -> None:
        """The broker took the account's key: it is in doubt no more.

        A host that was found at fault takes keys again: who is still refused is judged alone.
        """
        with self._lock:
            self._doubts.pop(account_id, None)
            if host in self._at_fault:
                self._at_fault.discard(host)
                self._fresh.pop(host, None)

    def pardon(self, host: str, now: float) -> list[str]:
        """The host is at fault: nobody stays in quarantine for the last minute's refusals."""
        pardoned = []
        with self._lock:
            for account_id, doubt in self._doubts.items():
                since = doubt.quarantined_at
                if doubt.host != host:
                    continue
                doubt.denied.clear()
                if since is not None and since > now - self._timers.denied_window:
                    doubt.quarantined_at, doubt.pause = None, self._timers.suspect_check
                    doubt.next_at = now + doubt.pause
                    pardoned.append(account_id)
        return pardoned

    def adopt(
        self, account_id: str, *, host: str, key_version: int, quarantined: bool, now: float
    ) -> None:
        """Take an account over in the state its last desk left it in; it is tried at once."""
        with self._lock:
            doubt = self._doubts[account_id] = self._new(host, key_version, now)
            doubt.next_at = now
            if quarantined:
                self._quarantine(doubt, now)
                doubt.next_at = now

    def forget(self, account_ids: Iterable[str]) -> None:
        """Another desk owns these now."""
        with self._lock:
            for account_id in account_ids:
                self._doubts.pop(account_id, None)

    def holds(self, account_id: str) -> bool:
        """Whether nothing but a check may be called with the account's key."""
        return account_id in self._doubts

    def names(self) -> list[str]:
        """Every account in doubt, in order."""
        with self._lock:
            return sorted(self._doubts)

    def due(self, now: float, versions: Mapping[str, int]) -> list[str]:
        """Whom to check now; `versions` tells a key that was replaced: it is tried at once."""
        due = []
        with self._lock:
            for account_id, doubt in self._doubts.items():
                version = versions.get(account_id, doubt.key_version)
                if version != doubt.key_version:
                    doubt.key_version, doubt.next_at = version, now
                if now >= doubt.next_at:
                    doubt.next_at = now + doubt.pause
                    if doubt.quarantined_at is not None:
                        longest = self._timers.quarantine_probe_longest
                        doubt.pause = min(doubt.pause * 2, longest)
                    due.append(account_id)
        return due

    def _new(self, host: str, key_version: int, now: float) -> _Doubt:
        pause = self._timers.suspect_check
        return _Doubt(host=host, key_version=key_version, next_at=now + pause, pause=pause)

    def _remember(self, doubt: _Doubt, now: float) -> None:
        doubt.denied.append(now)
        while doubt.denied[0] <= now - self._timers.denied_window:
            doubt.denied.popleft()

    def _quarantine(self, doubt: _Doubt, now: float) -> None:
        doubt.quarantined_at = now
        doubt.pause = self._timers.quarantine_probe
        doubt.next_at = now + doubt.pause

    def _is_hosts_fault(self, host: str, peers: int, now: float) -> bool:
        fresh = self._fresh.get(host, {})
        for account_id, at in list(fresh.items()):
            if at <= now - self._timers.denied_window:
                del fresh[account_id]
        return len(fresh) >= max(HOST_LEAST, HOST_SHARE * peers)
