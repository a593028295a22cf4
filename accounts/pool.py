"""The pool manager: one per process, all of its broker clients built and kept (R5, design.md §5).

It loads the accounts, builds their clients on one shared transport, notices a changed roster within
a second, and writes the process's pool row. Its thread is the only writer of its own state; readers
see a map that is replaced as a whole.
"""

import os
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any

import structlog
from django.db import DatabaseError

from accounts import presence, standings, vault
from accounts.apps import SERVING
from accounts.models import Account, Credential
from accounts.standings import Standing
from accounts.timekeeping import get_timekeeping
from opitios.broker.alpaca.clients import Clients, clients_for
from opitios.broker.alpaca.endpoints import LIVE, PAPER, sandbox_endpoint
from opitios.broker.alpaca.transport import Transport
from opitios.broker.breaker import BreakerTimers
from opitios.broker.budget import DATA_PER_MINUTE, Budget
from opitios.broker.guard import Bulkhead, Guard
from opitios.broker.hosts import Hosts
from opitios.broker.port import Credentials, DataPort, Endpoint, TradingPort
from opitios.core import clock, database
from opitios.core.admission import get_admission
from opitios.core.config import Config, get_config
from opitios.core.errors import Problem, Reason

logger = structlog.get_logger("app")

PART = Callable[[], Mapping[str, Any]]

# A request that meets a fresh process waits so long for its accounts: a deploy is no error (C30).
LOADING_SECONDS = 0.5

# Who reads from the broker beside the desks; together they have a budget of their own.
READERS = ("web", "market", "worker")

# Who follows the open orders of an account that left the roster.
FOLLOWERS = ("desk", "worker")

# Who serves market data to clients, and which accounts may be asked for it, best first (R4).
DATA_SERVERS = ("web", "market")
_DATA_RANK = {
    Account.Type.DATA.value: 0,
    Account.Type.MASTER.value: 1,
    Account.Type.BACKUP.value: 2,
}

# Calls for market data a minute that are the market process's: it looks at silent sockets. Web
# processes share the others; workers ask for none.
MARKET_CALLS = 10

# Calls at one time that each process may make however many there are: it must be able to work.
FEWEST_CALLS = 8

# One of the account's slots stays for cancels where orders are sent.
SPARE_SLOTS = 1


@dataclass(frozen=True, slots=True)
class PooledAccount:
    """One account of this process: what the roster says, and its warm clients.

    closing: it left the roster; its open orders are followed to their end, nothing new is sent.
    priority: `high`, `normal` or `low`: whose orders the desk takes first (trading/turns.py), and
    whose requests are shed last.
    """

    account_id: str
    account_type: str
    environment: str
    priority: str
    key_version: int
    endpoint: Endpoint
    clients: Clients = field(repr=False)
    # For the account's own stream, which the desk opens.
    credentials: Credentials = field(repr=False)
    closing: bool = False
    # What its key may read of the market, and how much.
    data_plan: str = Account.DataPlan.BASIC.value

    @property
    def guard(self) -> Guard:
        """Breaker, budget and slots of its calls."""
        return self.clients.guard

    @property
    def trading(self) -> TradingPort:
        """Orders, positions and the account itself."""
        return self.clients.trading

    @property
    def data(self) -> DataPort:
        """Quotes and trades, with this account's key."""
        return self.clients.data


class Pool:
    """The accounts of this process by id. Serving processes `start()` it; tests `refresh()`."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._transport = Transport()
        self._bulkhead = Bulkhead(config.connections_in_all)
        self.hosts = Hosts(_breaker_timers(config))
        self._accounts: Mapping[str, PooledAccount] = {}
        # By account, host, slots and data plan.
        self._guards: dict[tuple[str, str, int, str], Guard] = {}
        self._standings: Mapping[str, Standing] = {}
        self._told_since = standings.BEGINNING
        self._readers = self._webs = 1
        self._version = -1
        self._parts: dict[str, PART] = {}
        self._changed: list[Callable[[], None]] = []
        self._started_at = clock.now()
        self._loaded = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pool", daemon=True)

    # Reading

    @property
    def is_loaded(self) -> bool:
        """Whether the accounts have been read once."""
        return self._loaded.is_set()

    def wait_until_loaded(self) -> None:
        """Wait for the first load, however long Postgres takes."""
        self._loaded.wait()

    def get(self, account_id: str) -> PooledAccount | None:
        """Find an enabled account. Raises Problem 503 while the pool is still loading."""
        return self._loaded_accounts().get(account_id)

    def _loaded_accounts(self) -> Mapping[str, PooledAccount]:
        if not (self.is_loaded or self._loaded.wait(LOADING_SECONDS)):
            raise Problem(Reason.UNAVAILABLE, "The accounts are being loaded.")
        return self._accounts

    def all(self) -> Iterable[PooledAccount]:
        """Every enabled account."""
        return self._accounts.values()

    def standing(self, account_id: str) -> Standing | None:
        """What its desk last told of an account; at most a second old. None: nothing yet."""
        return self._standings.get(account_id)

    def held(self, account_ids: Iterable[str] | None) -> list[PooledAccount]:
        """The enabled ones of these accounts (None: of all). Raises Problem 503 while loading."""
        known = self._loaded_accounts()
        return [
            known[each] for each in (known if account_ids is None else account_ids) if each in known
        ]

    def data_accounts(self) -> list[PooledAccount]:
        """Who may serve market data, best first: data accounts, else the master (R4)."""
        able = [a for a in self.all() if a.account_type in _DATA_RANK and not a.closing]
        return sorted(able, key=lambda a: (_DATA_RANK[a.account_type], a.account_id))

    # Registering

    def show(self, name: str, part: PART) -> None:
        """Let another room add its keys to this process's pool row (queue, senders …)."""
        self._parts[name] = part

    def on_change(self, call: Callable[[], None]) -> None:
        """Be told, on the pool's thread, after the accounts changed."""
        self._changed.append(call)

    # The loop

    def start(self) -> None:
        """Begin loading, refreshing and reporting."""
        self._thread.start()

    def stop(self) -> None:
        """End the loop and wait for it; the process's row goes away by itself."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(timeout=3)
        self._transport.close()

    def _run(self) -> None:
        timers = self._config.timers
        next_row = 0.0
        tick = min(timers.standing, timers.roster_poll)
        while not self._closing.wait(tick if self.is_loaded else 0.05):
            now = clock.monotonic()
            try:
                is_new = self.refresh()
                self.refresh_standings()
                if is_new or now >= next_row:
                    self.write_row()
                    next_row = now + timers.pool_row
            except DatabaseError as error:
                logger.warning("the pool cannot reach postgres", error=str(error))
            except Exception:  # nobody starts it again: an old pool would keep keys that are gone
                logger.exception("the pool failed a round")
            finally:
                database.release()

    def refresh(self) -> bool:
        """Read accounts newer than the known roster version; True if anything changed."""
        before = clock.now()
        state = database.row(
            "SELECT coalesce(max(version), 0) AS version, clock_timestamp() AS at"
            " FROM accounts_rosterversion"
        )
        if state is None:
            return False
        get_timekeeping().note(clock.drift(before, state["at"], clock.now()))
        if state["version"] == self._version:
            return False
        self._load(state["version"])
        # An import may have changed any account's state.
        self._told_since = standings.BEGINNING
        for call in self._changed:
            call()
        return True

    def refresh_standings(self) -> None:
        """Read what the desks told since the last time."""
        asked_at = clock.now()
        newer = standings.changed_since(self._told_since)
        if newer:
            self._standings = {**self._standings, **newer}
        self._told_since = asked_at - standings.OVERLAP

    def _load(self, version: int) -> None:
        accounts = dict(self._accounts)
        changed = Account.objects.filter(roster_version__gt=self._version)
        keys = {
            credential.account_id: credential
            for credential in Credential.objects.filter(account__in=changed).order_by("version")
        }
        for account in changed:
            accounts.pop(account.account_id, None)
            if self._wants(account) and account.account_id in keys:
                self._add(accounts, account, keys[account.account_id])
        self._accounts, self._version = accounts, version
        self._guards = {key: guard for key, guard in self._guards.items() if key[0] in accounts}
        self._loaded.set()
        logger.info("accounts loaded", accounts=len(accounts), version=version)

    def _wants(self, account: Account) -> bool:
        return account.enabled or (account.closing and self._config.role in FOLLOWERS)

    def _add(
        self, accounts: dict[str, PooledAccount], account: Account, credential: Credential
    ) -> None:
        # One account whose seal is broken is missing; it does not keep the others out (R7).
        try:
            accounts[account.account_id] = self._build(account, credential)
        except vault.SealBroken:
            logger.exception("an account's key does not open", account_id=account.account_id)

    def _build(self, account: Account, credential: Credential) -> PooledAccount:
        credentials = vault.open_pair(credential)
        endpoint = endpoint_of(account)
        slots = min(account.max_connections, self._config.connections_per_account)
        clients = clients_for(
            credentials=credentials,
            endpoint=endpoint,
            transport=self._transport,
            guard=self._guard_of(account, endpoint.trading_url, slots),
        )
        if self._config.role in DATA_SERVERS and account.account_type in _DATA_RANK:
            # Warm before the first request that wants it.
            _ = clients.data
        return PooledAccount(
            account_id=account.account_id,
            account_type=account.account_type,
            environment=account.environment,
            priority=account.priority,
            key_version=credential.version,
            endpoint=endpoint,
            credentials=credentials,
            closing=not account.enabled,
            data_plan=account.data_plan,
            clients=clients,
        )

    def _guard_of(self, account: Account, origin: str, slots: int) -> Guard:
        """Find the account's guard: another key or name does not give it another budget."""
        name = (account.account_id, origin, slots, account.data_plan)
        known = self._guards.get(name)
        if known is not None:
            return known
        guard = Guard(
            process=self._bulkhead,
            slots=slots,
            spare=0 if self._only_reads else SPARE_SLOTS,
            hosts=self.hosts,
            budget=self._new_budget(),
        )
        guard.data_budget = self._new_data_budget(account.data_plan)
        self._guards[name] = guard
        return guard

    @property
    def _only_reads(self) -> bool:
        return self._config.role in READERS

    @property
    def _reads_share(self) -> float:
        return max(1.0, self._config.read_calls_per_minute / self._readers)

    def _new_budget(self) -> Budget:
        rest = self._config.timers.throttled_rest
        if self._only_reads:
            return Budget(per_minute=self._reads_share, reserve=0, throttled_rest=rest)
        return Budget(per_minute=self._config.desk_calls_per_minute, throttled_rest=rest)

    def _new_data_budget(self, plan: str) -> Budget:
        return Budget(
            per_minute=self._data_share(plan),
            reserve=0,
            throttled_rest=self._config.timers.throttled_rest,
        )

    def _share_reads(self) -> None:
        """Take our part of what all reading processes may call together (design.md §6)."""
        self._readers = max(1, presence.count_alive(READERS))
        if self._config.role == "web":
            webs = presence.count_alive(("web",))
            get_admission().permits.share_among(webs)
            self._webs = max(1, webs)
        for (*_, plan), guard in list(self._guards.items()):
            if guard.budget is not None:
                guard.budget.resize(self._reads_share)
            if guard.data_budget is not None:
                guard.data_budget.resize(self._data_share(plan))

    def _data_share(self, plan: str) -> float:
        if self._config.role == "market":
            return MARKET_CALLS
        return (DATA_PER_MINUTE[plan] - MARKET_CALLS) / self._webs

    def _share_connections(self) -> None:
        """Take our part of the connections of all processes, which each account's socket is of.

        The rest is divided by the processes that are alive (requirements.md, R5).
        """
        calls = self._config.connections_in_all - len(self._accounts)
        share = calls // max(1, presence.count_alive(sorted(SERVING)))
        self._bulkhead.resize(max(FEWEST_CALLS, share))

    # The pool row

    def write_row(self) -> None:
        """Write this process's snapshot for `GET pool` (api.md §7)."""
        snapshot: dict[str, Any] = {
            "roster_version": self._version,
            "warm": len(self._accounts),
            "master_keys": vault.ring_marks(),
            "connections": self._transport.idle + self._bulkhead.busy,
            "accounts": self._calls(),
            "upstreams": self._upstreams(),
        }
        for part in list(self._parts.values()):
            snapshot.update(part())
        presence.write_row(self._started_at, snapshot, name=self.name, role=self._config.role)
        self._share_connections()
        if self._only_reads:
            self._share_reads()

    def _calls(self) -> dict[str, Any]:
        """What is under way, by account; a desk's own part says more of its accounts."""
        busy = ((account, account.guard.in_flight) for account in self.all())
        return {account.account_id: {"in_flight": calls} for account, calls in busy if calls}

    def _upstreams(self) -> list[dict[str, Any]]:
        environments = {a.endpoint.trading_url: a.environment for a in self._accounts.values()}
        now = clock.monotonic()
        return [
            {
                "host": host.name,
                "environment": environments.get(host.origin),
                "breaker": host.breaker.state(now),
                **asdict(host.figures(now)),
            }
            for host in self.hosts.all()
        ]

    @property
    def name(self) -> str:
        """This process in the pool row: its given name, and its pid where workers share one."""
        if self._config.role == "web":
            return f"{self._config.process}:{os.getpid()}"
        return self._config.process


def endpoint_of(account: Account) -> Endpoint:
    """Find where an account's environment answers; only the sandbox's address is configured."""
    if account.environment == Account.Environment.SANDBOX:
        return sandbox_endpoint(account.url)
    return LIVE if account.environment == Account.Environment.LIVE else PAPER


def _breaker_timers(config: Config) -> BreakerTimers:
    timers = config.timers
    return BreakerTimers(
        window=timers.breaker_window,
        ambiguous_window=timers.breaker_ambiguous_window,
        open=timers.breaker_open,
    )


@lru_cache(maxsize=1)
def get_pool() -> Pool:
    """The pool of this process."""
    return Pool(get_config())
