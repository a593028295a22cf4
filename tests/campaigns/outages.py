"""When nothing could be sent: no desk held the accounts, or Postgres or the broker was away.

The broker is away for an account too while its desk has shut the way (a breaker): after a kill
that is for five seconds, and on until a call came back, which a fault may hold up.

Measured while the campaign runs, and not derived from its kills: an order may lapse only because
its deadline fell into one of these.
"""

import threading
from dataclasses import dataclass, field

import psycopg

from opitios.core import clock
from opitios.core.embedded import ports

LOOK_SECONDS = 0.1
# A killed desk's leases live on for so long (Timers.lease_valid): it sent nothing meanwhile.
LEASE_SECONDS = 3.0

_HOLDERS = """
SELECT l.account_id, l.owner FROM accounts_lease l LEFT JOIN accounts_accountstate s
    ON s.account_id = l.account_id
WHERE l.expires_at > clock_timestamp() AND s.breaker IS DISTINCT FROM 'open'
"""

# Which desk holds an account.
Holders = dict[str, str]


@dataclass(frozen=True, slots=True)
class Outage:
    """A time in which nothing of an account could be sent, in seconds since 1970."""

    account_id: str
    began: float
    ended: float

    def meets(self, since: float, until: float) -> bool:
        """Whether the two times have a moment in common."""
        return self.began <= until and since <= self.ended


@dataclass(slots=True)
class OutageWatch:
    """Looks ten times a second, in a thread of its own, until it is closed."""

    database_url: str
    sandbox_port: int
    accounts: list[str]
    outages: list[Outage] = field(default_factory=list)
    _holders: Holders = field(default_factory=dict)
    _down_since: dict[str, float] = field(default_factory=dict)
    _closing: threading.Event = field(default_factory=threading.Event)
    _connection: "psycopg.Connection | None" = None
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to look."""
        self._thread = threading.Thread(target=self._run, name="outages", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Look no more; an outage that still lasts ends here."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join()
        self.note(clock.now().timestamp(), dict(self._holders))

    def _run(self) -> None:
        while not self._closing.wait(LOOK_SECONDS):
            self.note(clock.now().timestamp(), self._look())
        self._hang_up()

    def note(self, now: float, holders: Holders) -> None:
        """Take one look: which desk holds which account; none where nothing could be sent."""
        for account_id in self.accounts:
            if account_id in holders:
                self._note_held(now, account_id, holders)
            else:
                self._down_since.setdefault(account_id, now)

    def _note_held(self, now: float, account_id: str, holders: Holders) -> None:
        before = self._holders.get(account_id)
        # A desk that is gone was gone before its leases were; one that lives has handed it over.
        is_gone = before is not None and before not in holders.values()
        down_since = self._down_since.pop(account_id, None)
        if down_since is not None or is_gone:
            began = (down_since or now) - (LEASE_SECONDS if is_gone else 0.0)
            self.outages.append(Outage(account_id, began, now))
        self._holders[account_id] = holders[account_id]

    def _look(self) -> Holders:
        if not ports.listens(self.sandbox_port):
            return {}
        try:
            return self._leases()
        except psycopg.OperationalError:
            self._hang_up()
            return {}

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _leases(self) -> Holders:
        if self._connection is None:
            self._connection = psycopg.connect(
                self.database_url, autocommit=True, connect_timeout=2
            )
        return dict(self._connection.execute(_HOLDERS).fetchall())
