"""Which accounts this desk owns. Times are the database's: no clock of ours decides (design.md §1).

A lease is renewed each second and dead after three; the fence grows with every new owner.
"""

from opitios.core import database

# One statement: keep what is still ours, take what nobody holds, and say what we hold now.
_RENEW = """
WITH kept AS (
    UPDATE accounts_lease l SET expires_at = clock_timestamp() + %(valid)s * interval '1 second'
    FROM accounts_account a WHERE a.account_id = l.account_id AND a.enabled
    AND l.owner = %(owner)s AND l.expires_at > clock_timestamp() RETURNING l.account_id
), taken AS (
    INSERT INTO accounts_lease AS l (account_id, owner, fence, expires_at)
    SELECT a.account_id, %(owner)s, 1, clock_timestamp() + %(valid)s * interval '1 second'
        FROM accounts_account a WHERE a.enabled
        AND NOT EXISTS (SELECT 1 FROM accounts_lease h
                        WHERE h.account_id = a.account_id AND h.expires_at > clock_timestamp())
    ON CONFLICT (account_id) DO UPDATE SET owner = excluded.owner, fence = l.fence + 1,
        expires_at = excluded.expires_at WHERE l.expires_at <= clock_timestamp()
    RETURNING account_id
)
SELECT account_id FROM kept UNION SELECT account_id FROM taken
"""


def hold(owner: str, *, valid_seconds: float) -> set[str]:
    """Renew our leases, take free ones, and return every account we own from now on."""
    found = database.rows(_RENEW, {"owner": owner, "valid": valid_seconds})
    return {row["account_id"] for row in found}


def release(owner: str) -> None:
    """Let everything go at once, so that another desk need not wait for the leases to die."""
    database.rows(
        "UPDATE accounts_lease SET expires_at = clock_timestamp()"
        " WHERE owner = %s AND expires_at > clock_timestamp()",
        (owner,),
    )
