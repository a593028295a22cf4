"""Who may not come in although the token is good: denied tokens, and callers from elsewhere.

Each process that verifies tokens holds these lists in memory and polls one number for a newer one;
no request ever asks the database for them.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache

import structlog
from django.apps import apps
from django.db import DatabaseError

from accounts.apps import GUARDED
from accounts.claims import Principal
from accounts.models import AccountNetworks, DeniedToken, Subject
from accounts.tokens import NOT_VALID, verifier
from opitios.core import client_address, clock, database
from opitios.core.bus import Listener, Topic, get_bus
from opitios.core.client_address import Network
from opitios.core.config import Config, get_config
from opitios.core.errors import Problem, Reason

logger = structlog.get_logger("app")

# A request that meets a fresh process waits so long for the lists: a deploy is no error (C30).
LOADING_SECONDS = 0.5
# A subject's last visit is written once in so many seconds.
SEEN_SECONDS = 60

_SEEN = """
INSERT INTO accounts_subject AS s
    (sub, allowed_ips, rate_limits, note, last_seen_at, updated_at)
SELECT unnest(%(subs)s::text[]), '[]', NULL, '', clock_timestamp(), clock_timestamp()
ON CONFLICT (sub) DO UPDATE SET last_seen_at = excluded.last_seen_at
WHERE s.last_seen_at IS NULL
    OR s.last_seen_at < clock_timestamp() - %(seconds)s * interval '1 second'
"""


@dataclass(frozen=True, slots=True)
class Lists:
    """The lists as one poll read them. `until` None: for ever."""

    version: int = -1
    denied_jtis: Mapping[str, datetime | None] = field(default_factory=dict)
    denied_subs: Mapping[str, datetime | None] = field(default_factory=dict)
    subjects: Mapping[str, tuple[Network, ...]] = field(default_factory=dict)
    accounts: Mapping[str, tuple[Network, ...]] = field(default_factory=dict)
    rate_limits: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def denies(self, principal: Principal, now: datetime) -> bool:
        """Whether this token, or every token of its subject, is denied."""
        denied = self.denied_subs and _holds(self.denied_subs, principal.sub, now)
        if denied or principal.jti is None or not self.denied_jtis:
            return bool(denied)
        return _holds(self.denied_jtis, principal.jti, now)

    def is_elsewhere(self, sub: str, address: str | None) -> bool:
        """Whether the subject has networks and this address is in none of them."""
        networks = self.subjects.get(sub)
        return networks is not None and not _is_within(address, networks)

    def barred(self, address: str | None) -> frozenset[str]:
        """The accounts that may not be reached from this address."""
        return frozenset(
            account for account, networks in self.accounts.items()
            if not _is_within(address, networks)
        )  # fmt: skip


def _holds(denied: Mapping[str, datetime | None], value: str, now: datetime) -> bool:
    if value not in denied:
        return False
    until = denied[value]
    return until is None or until > now


def _is_within(address: str | None, networks: tuple[Network, ...]) -> bool:
    known = client_address.read_address(address or "")
    return known is not None and client_address.within(known, networks)


class Gate:
    """The lists of this process. Processes that verify `start()` it; tests `refresh()`."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._lists = Lists()
        self._seen: set[str] = set()
        self._wanted = threading.Event()
        self._closing = threading.Event()
        self._loaded = threading.Event()
        if config.role not in GUARDED:
            # Nobody comes in here.
            self._loaded.set()
        self._listener: Listener | None = None
        self._thread = threading.Thread(target=self._run, name="gate", daemon=True)

    # Judging

    @property
    def is_loaded(self) -> bool:
        """Whether the lists have been read once."""
        return self._loaded.is_set()

    def wait_until_loaded(self) -> None:
        """Give a fresh process a moment to read the lists."""
        self._loaded.wait(LOADING_SECONDS)

    def admit(self, principal: Principal, address: str | None) -> Principal:
        """Let a verified token in from this address, without the accounts barred from there.

        Of its own limits and its subject's the smaller ones hold.

        Raises Problem UNAUTHORIZED, the same as for a token that is not valid; UNAVAILABLE before
        the lists were read once.
        """
        if not self.is_loaded:
            raise Problem(
                Reason.UNAVAILABLE, "The lists of denied tokens are being loaded: try again."
            )
        lists = self._lists
        if (
            lists.denies(principal, clock.now())
            or lists.is_elsewhere(principal.sub, address)
            or not verifier().trusts(principal.key_id)
        ):
            raise Problem(Reason.UNAUTHORIZED, NOT_VALID)
        self._seen.add(principal.sub)
        limits = lists.rate_limits.get(principal.sub)
        if limits:
            principal = replace(principal, rate_limits=_smaller(principal.rate_limits, limits))
        barred = lists.barred(address) if lists.accounts else frozenset()
        return _without(principal, barred) if barred else principal

    # The loop

    def start(self) -> None:
        """Begin polling, and listening for the hint that makes the poll come sooner."""
        self._listener = get_bus().listen(Topic.ACCESS, lambda _: self._wanted.set())
        self._thread.start()

    def stop(self) -> None:
        """End the loop and wait for it."""
        self._closing.set()
        self._wanted.set()
        if self._listener is not None:
            self._listener.close()
        if self._thread.is_alive():
            self._thread.join(timeout=3)

    def _run(self) -> None:
        # It is started while Django still sets up, when nobody may ask the database.
        apps.ready_event.wait()
        next_note = clock.monotonic()
        while not self._closing.is_set():
            self._wanted.clear()
            self._step(self.refresh)
            if clock.monotonic() >= next_note:
                self._step(self.note_seen)
                next_note = clock.monotonic() + self._config.timers.pool_row
            self._wanted.wait(self._config.timers.access_poll)

    def _step(self, step: Callable[[], object]) -> None:
        try:
            step()
        except DatabaseError as error:
            logger.warning("the gate cannot reach postgres", error=str(error))
        except Exception:  # nobody starts it again: without it no denial would arrive
            logger.exception("the gate failed a round")
        finally:
            database.release()

    def refresh(self) -> bool:
        """Read the lists where they are newer than ours; True if they were.

        The number is read first: what changes meanwhile is read again by the next poll.
        """
        row = database.row("SELECT version FROM accounts_accessversion")
        version = 0 if row is None else row["version"]
        if version == self._lists.version:
            return False
        self._lists = read_lists(version)
        self._loaded.set()
        return True

    def note_seen(self) -> None:
        """Write which subjects came since the last time."""
        seen, self._seen = self._seen, set()
        if seen:
            about = {"subs": sorted(seen), "seconds": SEEN_SECONDS}
            database.rows(_SEEN, about)


def read_lists(version: int) -> Lists:
    """Read all of the lists from their tables."""
    denied: dict[str, dict[str, datetime | None]] = {"jti": {}, "sub": {}}
    for kind, value, until in DeniedToken.objects.values_list("kind", "value", "until"):
        denied[kind][value] = until
    subjects = list(Subject.objects.exclude(allowed_ips=[], rate_limits=None))
    return Lists(
        version=version,
        denied_jtis=denied["jti"],
        denied_subs=denied["sub"],
        subjects={
            row.sub: _networks(row.sub, row.allowed_ips) for row in subjects if row.allowed_ips
        },
        accounts={
            row.account_id: _networks(row.account_id, row.allowed_ips)
            for row in AccountNetworks.objects.all()
        },
        rate_limits={row.sub: row.rate_limits for row in subjects if row.rate_limits is not None},
    )


def _networks(name: str, texts: list[str]) -> tuple[Network, ...]:
    try:
        return client_address.read_networks(texts)
    except ValueError:
        # Written past our commands. It must not keep newer denials out: nobody comes in by it.
        logger.exception("a list of networks cannot be read", of=name)
        return ()


def _smaller(told: Mapping[str, int] | None, ours: Mapping[str, int]) -> Mapping[str, int]:
    claimed = told or {}
    return {**claimed, **{name: min(n, claimed.get(name, n)) for name, n in ours.items()}}


def _without(principal: Principal, barred: frozenset[str]) -> Principal:
    if principal.accounts is None:
        return replace(principal, barred=barred)
    if principal.accounts.isdisjoint(barred):
        return principal
    return replace(principal, accounts=principal.accounts - barred)


@lru_cache(maxsize=1)
def get_gate() -> Gate:
    """The gate of this process."""
    return Gate(get_config())


def principal_from(token: str, address: str | None) -> Principal:
    """Find out who asks, from this address. Raises Problem UNAUTHORIZED, UNAVAILABLE; else nothing.

    The lists are asked each time: a token that was verified before may have been denied since.
    """
    return get_gate().admit(verifier().principal(token), address)


def known_principal(token: str, address: str | None) -> Principal | None:
    """Do as principal_from for a token that was verified here before; None for any other."""
    known = verifier().remembered(token)
    return None if known is None else get_gate().admit(known, address)
