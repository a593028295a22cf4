"""The desk's care for its accounts' keys and for the way to the broker.

It checks keys, draws the consequences of refusals (doubts.py), and tries again what was left alone.
"""

from collections.abc import Iterable
from itertools import count
from typing import Any

import structlog

from accounts.models import AccountState
from accounts.pool import Pool, PooledAccount
from opitios.broker.breaker import State
from opitios.broker.budget import Lane
from opitios.broker.port import Rate
from opitios.core import clock
from opitios.core.config import Timers
from trading import watch
from trading.doubts import Doubts, Verdict

logger = structlog.get_logger("app")

# While a key is in doubt its orders are looked at again so soon; its check decides.
DOUBTED_WAIT = 0.1


class Keys:
    """What one desk knows of its accounts' keys. Safe to use from any thread."""

    def __init__(self, *, owner: str, timers: Timers, pool: Pool) -> None:
        self._owner, self._timers, self._pool = owner, timers, pool
        self._doubts = Doubts(timers)
        self._owned: frozenset[str] = frozenset()
        self._order: list[str] = []
        self._checks = watch.CheckNotes(owner)
        self._turn = count()

    # What may be called

    def admit(self, account: PooledAccount) -> float:
        """Let one order of the account in: 0.0, or seconds until one may go (`Guard.admit`)."""
        if self.holds(account.account_id) or self._is_suspended(account.account_id):
            return DOUBTED_WAIT
        return account.guard.admit()

    def _is_suspended(self, account_id: str) -> bool:
        # The claim decides (order_claim); this spares it the asking.
        standing = self._pool.standing(account_id)
        return standing is not None and standing.is_suspended

    def wait(self, account: PooledAccount, lane: Lane) -> float:
        """Seconds until such a call may be made, 0.0 if now."""
        return DOUBTED_WAIT if self.holds(account.account_id) else account.guard.wait(lane)

    def holds(self, account_id: str) -> bool:
        """Whether the account's key is in doubt: only its check is called."""
        return self._doubts.holds(account_id)

    # What was seen

    def check(self, account: PooledAccount) -> None:
        """Ask the broker for the account, and draw the consequences."""
        # What is in doubt is told at once: orders wait for it.
        notes = None if self.holds(account.account_id) else self._checks
        state = watch.check_account(account, self._owner, notes)
        if state == AccountState.State.READY:
            self._doubts.accepted(account.account_id, host=_host(account))
        elif state == AccountState.State.SUSPECT:
            self._denied(account, "the broker answered 401 to the account check")

    def store_checks(self) -> None:
        """Store what the checks saw since the last time. Raises django.db.DatabaseError."""
        self._checks.write()

    def denied(self, account: PooledAccount, why: str) -> None:
        """The broker answered 401 to another call."""
        watch.mark_suspect(account.account_id, why, self._owner)
        self._denied(account, why)

    def _denied(self, account: PooledAccount, why: str) -> None:
        host, now = _host(account), clock.monotonic()
        verdict = self._doubts.denied(
            account.account_id,
            host=host,
            key_version=account.key_version,
            peers=sum(_host(peer) == host for peer in self._accounts()),
            now=now,
        )
        if verdict is Verdict.QUARANTINED:
            self._quarantine(account.account_id, why)
        elif verdict is Verdict.HOST:
            self._blame(account, now)

    def _quarantine(self, account_id: str, why: str) -> None:
        quarantined = AccountState.State.QUARANTINED
        if watch.set_state(account_id, quarantined, why, self._owner):
            logger.error("account quarantined", account_id=account_id, why=why)

    def _blame(self, account: PooledAccount, now: float) -> None:
        line = account.guard.trading
        if line is not None:
            line.host.breaker.trip(now)
        host, why = _host(account), "its host refuses many keys at once"
        logger.error("a broker host refuses many keys", host=host)
        for account_id in self._doubts.pardon(host, now):
            watch.set_state(account_id, AccountState.State.SUSPECT, why, self._owner)

    # What is owned

    def own(self, account_ids: Iterable[str]) -> None:
        """Own these accounts from now on: take over what their last desk found and told."""
        owned = frozenset(account_ids)
        if owned == self._owned:
            return
        lost, new = self._owned - owned, owned - self._owned
        self._doubts.forget(lost)
        if new:
            self._take_over(sorted(new))
        self._owned, self._order = owned, sorted(owned)

    def _take_over(self, new: list[str]) -> None:
        now = clock.monotonic()
        for account_id, state in watch.doubted(new).items():
            account = self._pool.get(account_id)
            if account is not None:
                self._doubts.adopt(
                    account_id,
                    host=_host(account),
                    key_version=account.key_version,
                    quarantined=state == AccountState.State.QUARANTINED,
                    now=now,
                )

    def due(self) -> list[PooledAccount]:
        """Whom to check now beside the regular checks: keys in doubt, ways left alone."""
        now = clock.monotonic()
        doubted = self._pool.held(self._doubts.names())
        versions = {account.account_id: account.key_version for account in doubted}
        due = set(self._doubts.due(now, versions))
        wanted = [account for account in doubted if account.account_id in due]
        return wanted + self._scouts(now)

    def _scouts(self, now: float) -> list[PooledAccount]:
        """One account for each host or account that was left alone long enough.

        A key in doubt would say little of its host; and none is asked every time.
        """
        accounts = [each for each in self._accounts() if _is_left_alone(each)]
        scouts: dict[str, PooledAccount] = {}
        start = next(self._turn) % max(1, len(accounts))
        by_turn = accounts[start:] + accounts[:start]
        for account in sorted(by_turn, key=lambda each: self.holds(each.account_id)):
            line = account.guard.trading
            if line is None or not line.wants_probe(now):
                continue
            alone = line.host.breaker.state(now) is State.CLOSED
            scouts.setdefault(account.account_id if alone else line.host.origin, account)
        return list(scouts.values())

    def _accounts(self) -> list[PooledAccount]:
        return self._pool.held(self._order)

    # What is shown

    def snapshot(self) -> dict[str, Any]:
        """What the pool row shows by account: those that are busy, or were lately."""
        shown = {}
        now = clock.now().timestamp()
        for account in self._accounts():
            guard = account.guard
            told = guard.budget.told if guard.budget is not None else None
            if guard.in_flight or (told is not None and told.resets_at > now):
                budget = None if told is None else _budget_json(told)
                shown[account.account_id] = {"in_flight": guard.in_flight, "budget": budget}
        return shown


def _is_left_alone(account: PooledAccount) -> bool:
    line = account.guard.trading
    return line is not None and not line.is_at_rest


def _host(account: PooledAccount) -> str:
    return account.endpoint.trading_url


def _budget_json(told: Rate) -> dict[str, float]:
    return {"limit": told.limit, "remaining": told.remaining, "resets_at": told.resets_at}
