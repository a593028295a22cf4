"""What holds an account's new orders back: told by its desk, known to every process that accepts.

The desk writes what changed; the others read what is newer than they know. Nothing of this is asked
on an order's way: acceptance looks at its process's own copy.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

from accounts.models import AccountState
from opitios.core import database, jsontext

# A change that committed a little late is older than what was read before it: read again.
OVERLAP = timedelta(seconds=5)

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)

_CHANGED = """
SELECT s.account_id, s.state, s.breaker, s.rests_until, s.waiting, s.submits_left,
    s.overdue, s.told_at,
    a.suspended_at IS NOT NULL AS is_suspended
FROM accounts_accountstate s JOIN accounts_account a USING (account_id)
WHERE s.told_at > %s ORDER BY s.told_at
"""

# Only the owner tells: a desk that woke from a freeze has nothing to say any more.
_TELL = """
UPDATE accounts_accountstate s SET breaker = t.breaker, rests_until = t.rests_until,
    waiting = t.waiting, submits_left = t.submits_left, overdue = t.overdue,
    told_at = clock_timestamp()
FROM jsonb_to_recordset(%s::jsonb) AS t(account_id text, breaker text, rests_until timestamptz,
    waiting integer, submits_left integer, overdue real)
WHERE s.account_id = t.account_id AND EXISTS (SELECT 1 FROM accounts_lease l
    WHERE l.account_id = s.account_id AND l.owner = %s AND l.expires_at > clock_timestamp())
RETURNING s.account_id
"""

# A message is heard once: whoever heard it may say so, the lease may have moved meanwhile.
_HEARD = """
UPDATE accounts_accountstate s SET stream_last_message_at = t.at
FROM (SELECT key AS account_id, to_timestamp(value::float8) AS at FROM jsonb_each_text(%s::jsonb)) t
WHERE s.account_id = t.account_id
    AND (s.stream_last_message_at IS NULL OR s.stream_last_message_at < t.at)
"""


@dataclass(frozen=True, slots=True)
class Pressure:
    """What the desk knows of one account's orders.

    rests_until: nothing goes before, whatever the budget has left. submits_left: orders that may go
    at once, None for plenty. waiting: orders queued. overdue: the share of its deadline that one of
    them has waited though nothing of the account's held it back; None where that is no matter.
    """

    account_id: str
    breaker: str = AccountState.Breaker.CLOSED
    rests_until: datetime | None = None
    waiting: int = 0
    submits_left: int | None = None
    overdue: float | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """What every process knows of one account: its key's state, and the pressure on its orders.

    is_suspended: whether the operator lets it send nothing new (custody.py).
    """

    state: str
    pressure: Pressure
    told_at: datetime
    is_suspended: bool = False

    @property
    def is_quarantined(self) -> bool:
        """Whether the broker refused the account's key again and again."""
        return self.state == AccountState.State.QUARANTINED


def changed_since(told_at: datetime) -> dict[str, Standing]:
    """Read the standings that were written since."""
    return {
        row["account_id"]: Standing(
            state=row.pop("state"),
            told_at=row.pop("told_at"),
            is_suspended=row.pop("is_suspended"),
            pressure=Pressure(**row),
        )
        for row in database.rows(_CHANGED, (told_at,))
    }


def of(account_ids: list[str]) -> dict[str, Pressure]:
    """Read what was last told of these accounts' orders, whoever told it."""
    found = changed_since(BEGINNING)
    return {key: found[key].pressure for key in account_ids if key in found}


def tell(owner: str, pressures: Iterable[Pressure]) -> frozenset[str]:
    """Write what this desk knows of the orders of its accounts; of which ones it was written.

    Nothing is written of one whose lease is not this desk's, or ran out a moment ago.
    """
    rows = [asdict(pressure) for pressure in pressures]
    if not rows:
        return frozenset()
    told = database.rows(_TELL, (jsontext.canonical(rows), owner))
    return frozenset(row["account_id"] for row in told)


def note_messages(heard: Mapping[str, float]) -> None:
    """Write when each account's stream last told something (epoch seconds)."""
    if heard:
        database.rows(_HEARD, (jsontext.canonical(heard),))
