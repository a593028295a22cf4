"""Which data sockets this market process owns. Times are the database's (design.md §1).

There is a lease for each account that may carry market data, and each kind of socket: the broker
allows an account one connection to each. All leases of a kind have one owner, because symbols are
shared among the sockets of a kind. The other market processes stand by: what is renewed each second
is free three seconds after its owner died.
"""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from accounts.models import Account, FeedLease
from opitios.core import database, jsontext

# An account's id and a kind of FeedLease.
Socket = tuple[str, str]

KINDS = tuple(FeedLease.Kind.values)
# Whose key may read market data (requirements.md R4).
TYPES = (Account.Type.DATA.value, Account.Type.MASTER.value, Account.Type.BACKUP.value)

# Keep what is still ours, then take each kind that nobody else holds anything of, all of it. Of two
# who see the same kind free, the first takes all rows: both go through them in one order.
_HOLD = """
WITH able AS (
    SELECT account_id FROM accounts_account WHERE enabled AND account_type = ANY(%(types)s)
), kept AS (
    UPDATE accounts_feedlease l SET expires_at = clock_timestamp() + %(valid)s * interval '1 second'
    FROM able WHERE able.account_id = l.account_id
    AND l.owner = %(owner)s AND l.expires_at > clock_timestamp()
    RETURNING l.account_id, l.kind, l.fence
), free AS (
    SELECT kind FROM unnest(%(kinds)s::text[]) AS k(kind)
    WHERE NOT EXISTS (SELECT 1 FROM accounts_feedlease h WHERE h.kind = k.kind
                      AND h.owner <> %(owner)s AND h.expires_at > clock_timestamp())
), taken AS (
    INSERT INTO accounts_feedlease AS l
        (account_id, kind, owner, fence, expires_at, state, symbols)
    SELECT account_id, kind, %(owner)s, 1,
        clock_timestamp() + %(valid)s * interval '1 second', 'closed', 0
        FROM able CROSS JOIN free
        WHERE NOT EXISTS (SELECT 1 FROM accounts_feedlease h WHERE h.account_id = able.account_id
                          AND h.kind = free.kind AND h.expires_at > clock_timestamp())
        ORDER BY account_id, kind
    ON CONFLICT (account_id, kind) DO UPDATE SET owner = excluded.owner, fence = l.fence + 1,
        expires_at = excluded.expires_at, state = excluded.state, symbols = 0, reason = NULL,
        feed = NULL, state_since = clock_timestamp()
        WHERE l.expires_at <= clock_timestamp()
    RETURNING account_id, kind, fence
)
SELECT account_id, kind, fence FROM kept UNION SELECT account_id, kind, fence FROM taken
"""

# What is left in order leaves no trace: whoever comes next need not wait for its sockets.
_RELEASE = "DELETE FROM accounts_feedlease WHERE owner = %s AND expires_at > clock_timestamp()"

# Only the owner tells: one that woke from a freeze has nothing to say any more.
_TELL = """
UPDATE accounts_feedlease l SET state = t.state, reason = left(t.reason, 200), feed = t.feed,
    symbols = t.symbols, state_since = coalesce(t.since, l.state_since),
    last_message_at = coalesce(t.heard_at, l.last_message_at)
FROM jsonb_to_recordset(%s::jsonb) AS t(account_id text, kind text, state text, reason text,
    feed text, symbols integer, since timestamptz, heard_at timestamptz)
WHERE l.account_id = t.account_id AND l.kind = t.kind AND l.owner = %s
    AND l.expires_at > clock_timestamp()
"""


@dataclass(frozen=True, slots=True)
class Told:
    """What others are to know of a socket. feed: None where it is not used."""

    state: str
    reason: str | None = None
    feed: str | None = None
    symbols: int = 0
    since: datetime | None = None
    heard_at: datetime | None = None


def hold(owner: str, *, valid_seconds: float) -> dict[Socket, int]:
    """Renew our leases and take what nobody holds: the sockets that are ours from now on.

    With each its fence: 1 where nobody had it, or who had it left it in order.
    """
    about = {
        "owner": owner,
        "valid": valid_seconds,
        "types": list(TYPES),
        "kinds": list(KINDS),
    }
    rows = database.rows(_HOLD, about)
    return {(row["account_id"], row["kind"]): row["fence"] for row in rows}


def release(owner: str) -> None:
    """Let everything go: another market process may connect at once."""
    database.rows(_RELEASE, (owner,))


def tell(owner: str, sockets: Mapping[Socket, Told]) -> None:
    """Store how these sockets are, as far as they are still ours."""
    rows = [
        {"account_id": account_id, "kind": kind, **asdict(told)}
        for (account_id, kind), told in sockets.items()
    ]
    if rows:
        database.rows(_TELL, (jsontext.canonical(rows), owner))


def instant(seconds: float | None) -> datetime | None:
    """Make an instant of epoch seconds."""
    return None if seconds is None else datetime.fromtimestamp(seconds, tz=UTC)


def of_kinds(sockets: Collection[Socket]) -> frozenset[str]:
    """The kinds of which anything is held."""
    return frozenset(kind for _, kind in sockets)
