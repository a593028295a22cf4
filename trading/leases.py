"""Which accounts this desk owns. Times are the database's: no clock of ours decides (design.md §1).

A lease is renewed each second and dead after three; its fence grows with every new owner. Desks
share the accounts evenly: one that holds more than its share lets the surplus go, one that holds
less takes what is free. An account that left the roster is leased until its orders are final.
"""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from opitios.core import database

_PRESENT = """
WITH me AS (
    INSERT INTO accounts_deskpresence AS d (owner, expires_at)
    VALUES (%(owner)s, clock_timestamp() + %(valid)s * interval '1 second')
    ON CONFLICT (owner) DO UPDATE SET expires_at = excluded.expires_at RETURNING owner
)
SELECT (SELECT count(*) FROM accounts_account WHERE enabled OR closing) AS accounts,
    1 + (SELECT count(*) FROM accounts_deskpresence
         WHERE owner <> %(owner)s AND expires_at > clock_timestamp()) AS desks FROM me
"""

# Keep what is still ours, then take what nobody holds, up to our share.
_HOLD = """
WITH kept AS (
    UPDATE accounts_lease l SET expires_at = clock_timestamp() + %(valid)s * interval '1 second'
    FROM accounts_account a WHERE a.account_id = l.account_id
    AND (a.enabled OR a.closing) AND l.owner = %(owner)s AND l.expires_at > clock_timestamp()
    AND NOT l.account_id = ANY(%(surplus)s) RETURNING l.account_id
), taken AS (
    INSERT INTO accounts_lease AS l (account_id, owner, fence, expires_at)
    SELECT a.account_id, %(owner)s, 1, clock_timestamp() + %(valid)s * interval '1 second'
        FROM accounts_account a WHERE (a.enabled OR a.closing)
        AND NOT EXISTS (SELECT 1 FROM accounts_lease h
                        WHERE h.account_id = a.account_id AND h.expires_at > clock_timestamp())
        ORDER BY a.account_id LIMIT greatest(0, %(share)s - (SELECT count(*) FROM kept))
    ON CONFLICT (account_id) DO UPDATE SET owner = excluded.owner, fence = l.fence + 1,
        expires_at = excluded.expires_at WHERE l.expires_at <= clock_timestamp()
    RETURNING account_id
)
SELECT account_id FROM kept UNION SELECT account_id FROM taken
"""

_RELEASE = """
UPDATE accounts_lease SET expires_at = clock_timestamp()
WHERE owner = %(owner)s AND expires_at > clock_timestamp()
AND (%(only)s::text[] IS NULL OR account_id = ANY(%(only)s))
"""

# Every process knows within two seconds that the account is gone; one that did not may have
# accepted an order until then.
_CLOSE = """
UPDATE accounts_account a SET closing = false
WHERE closing AND NOT enabled AND account_id = ANY(%s)
AND updated_at < clock_timestamp() - interval '2 seconds'
AND NOT EXISTS (SELECT 1 FROM trading_order o WHERE o.account_id = a.account_id AND NOT o.final)
"""


@dataclass(frozen=True, slots=True)
class Holding:
    """What a desk owns from now on, and how many accounts are its fair share."""

    accounts: frozenset[str]
    share: int


def hold(owner: str, *, valid_seconds: float, surplus: AbstractSet[str] = frozenset()) -> Holding:
    """Show that we are alive, renew our leases but for `surplus`, and take what is free.

    `surplus` is let go at once: nothing of these accounts is being sent any more.
    """
    if surplus:
        release(owner, only=surplus)
    about = {"owner": owner, "valid": valid_seconds, "surplus": sorted(surplus)}
    counted = database.row(_PRESENT, about)
    if counted is None:
        raise RuntimeError("no row came back from counting the desks")
    # Rounded up: every account has an owner, and the shares differ by one at most.
    share = -(-counted["accounts"] // counted["desks"])
    found = database.rows(_HOLD, {**about, "share": share})
    return Holding(frozenset(row["account_id"] for row in found), share)


def close_settled(account_ids: list[str]) -> None:
    """Let accounts that left the roster go for good, where no order of them is open any more."""
    if account_ids:
        database.rows(_CLOSE, (account_ids,))


def release(owner: str, *, only: AbstractSet[str] | None = None) -> None:
    """Let leases go at once, so that another desk need not wait for them to die."""
    accounts = None if only is None else sorted(only)
    database.rows(_RELEASE, {"owner": owner, "only": accounts})


def leave(owner: str) -> None:
    """Let everything go, and be counted no more."""
    release(owner)
    database.rows("DELETE FROM accounts_deskpresence WHERE owner = %s", (owner,))
