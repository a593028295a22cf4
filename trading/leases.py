"""Which accounts this desk owns. Times are the database's: no clock of ours decides (design.md §1).

A lease is renewed each second and dead after three; its fence grows with every new owner. What
nobody holds, the desk that sees it first takes, all of it: an account without an owner does not
trade. Even shares come afterwards, by gifts: a desk with more than its share gives accounts on
which it does nothing to desks that live and have less, so that none is without an owner meanwhile.
An account that left the roster is leased until its orders are final.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from opitios.core import database

# Desks that have long been dead are forgotten on the way.
_FORGOTTEN_AFTER = "interval '1 hour'"

# Keep what is still ours, then take what nobody holds; one that is ending only keeps.
_HOLD = f"""
WITH me AS (
    INSERT INTO accounts_deskpresence AS d (owner, expires_at)
    SELECT %(owner)s, clock_timestamp() + %(valid)s * interval '1 second' WHERE %(stays)s
    ON CONFLICT (owner) DO UPDATE SET expires_at = excluded.expires_at
), forgotten AS (
    DELETE FROM accounts_deskpresence WHERE owner IN (SELECT owner FROM accounts_deskpresence
        WHERE expires_at < clock_timestamp() - {_FORGOTTEN_AFTER} FOR UPDATE SKIP LOCKED)
), kept AS (
    UPDATE accounts_lease l SET expires_at = clock_timestamp() + %(valid)s * interval '1 second'
    FROM accounts_account a WHERE a.account_id = l.account_id
    AND (a.enabled OR a.closing) AND l.owner = %(owner)s AND l.expires_at > clock_timestamp()
    RETURNING l.account_id
), taken AS (
    INSERT INTO accounts_lease AS l (account_id, owner, fence, expires_at)
    SELECT a.account_id, %(owner)s, 1, clock_timestamp() + %(valid)s * interval '1 second'
        FROM accounts_account a WHERE %(stays)s AND (a.enabled OR a.closing)
        AND NOT EXISTS (SELECT 1 FROM accounts_lease h
                        WHERE h.account_id = a.account_id AND h.expires_at > clock_timestamp())
        ORDER BY a.account_id
    ON CONFLICT (account_id) DO UPDATE SET owner = excluded.owner, fence = l.fence + 1,
        expires_at = excluded.expires_at WHERE l.expires_at <= clock_timestamp()
    RETURNING account_id
)
SELECT account_id FROM kept UNION SELECT account_id FROM taken
"""  # noqa: S608 - put together of constants

# How many accounts each living desk holds, and when the first lease of somebody else runs out:
# living desks renew theirs long before.
_DESKS = """
SELECT d.owner, count(a.account_id) AS held,
    (SELECT count(*) FROM accounts_account WHERE enabled OR closing) AS accounts,
    (SELECT extract(epoch FROM min(l.expires_at) - clock_timestamp())::float8
     FROM accounts_lease l JOIN accounts_account a ON a.account_id = l.account_id
     WHERE (a.enabled OR a.closing) AND l.owner <> %(owner)s
     AND l.expires_at > clock_timestamp()) AS next_free
FROM accounts_deskpresence d
LEFT JOIN accounts_lease l ON l.owner = d.owner AND l.expires_at > clock_timestamp()
LEFT JOIN accounts_account a ON a.account_id = l.account_id AND (a.enabled OR a.closing)
WHERE d.expires_at > clock_timestamp() GROUP BY d.owner
"""

# To desks that renewed lately: one that has just died would let the account wait.
_GIVE = """
UPDATE accounts_lease l SET owner = g.receiver, fence = l.fence + 1,
    expires_at = clock_timestamp() + %(valid)s * interval '1 second'
FROM unnest(%(accounts)s::text[], %(receivers)s::text[]) AS g(account_id, receiver)
JOIN accounts_deskpresence d ON d.owner = g.receiver
    AND d.expires_at > clock_timestamp() + %(valid)s / 2 * interval '1 second'
WHERE l.account_id = g.account_id AND l.owner = %(owner)s AND l.expires_at > clock_timestamp()
RETURNING l.account_id
"""

_RELEASE = """
UPDATE accounts_lease SET expires_at = clock_timestamp()
WHERE owner = %s AND expires_at > clock_timestamp()
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
    """What a desk owns from now on.

    desks: how many accounts each living desk holds, this one among them unless it is ending.
    in_all: how many accounts there are to be held. next_free: seconds until a lease of another desk
    runs out, unless it is renewed; None: none is held.
    """

    accounts: frozenset[str]
    desks: Mapping[str, int] = field(default_factory=dict)
    in_all: int = 0
    next_free: float | None = None

    def lacks(self, owner: str) -> bool:
        """Whether this desk has less than its share: others are about to give it some."""
        return len(self.accounts) < shares(self.desks, self.in_all).get(owner, 0)


def hold(owner: str, *, valid_seconds: float, stays: bool = True) -> Holding:
    """Show that we are alive, renew our leases, and take what nobody holds.

    stays: False for a desk that is ending: it keeps what it has, and is counted no more.
    """
    about = {"owner": owner, "valid": valid_seconds, "stays": stays}
    held = frozenset(row["account_id"] for row in database.rows(_HOLD, about))
    desks = database.rows(_DESKS, about)
    if not desks:
        return Holding(held)
    counts = {row["owner"]: row["held"] for row in desks}
    return Holding(held, counts, desks[0]["accounts"], desks[0]["next_free"])


def shares(desks: Mapping[str, int], in_all: int) -> dict[str, int]:
    """How many of all accounts each desk should hold: as many as any other, or one more.

    The odd ones stay with those who hold the most: nothing is moved for nothing.
    """
    each, more = divmod(in_all, max(1, len(desks)))
    ranked = sorted(desks, key=lambda owner: (-desks[owner], owner))
    return {owner: each + (rank < more) for rank, owner in enumerate(ranked)}


def gifts(owner: str, holding: Holding) -> list[str]:
    """To whom this desk gives one account each: a name as often as that desk lacks some.

    Those with too many stand in line by name, opposite to those with too few: all who see the same
    agree who gives to whom. A desk that is ending gives all it can.
    """
    desks, fair = holding.desks, shares(holding.desks, holding.in_all)
    lacking = [name for name in sorted(desks) for _ in range(fair[name] - desks[name])]
    begin = sum(max(0, desks[name] - fair[name]) for name in desks if name < owner)
    return lacking[begin : begin + max(0, len(holding.accounts) - fair.get(owner, 0))]


def give(owner: str, to: Mapping[str, str], *, valid_seconds: float) -> frozenset[str]:
    """Make other desks the owners of these accounts, at once; the accounts that found theirs.

    `to` maps each account to its receiver. Nothing of these accounts may be being sent here.
    """
    if not to:
        return frozenset()
    accounts, receivers = zip(*sorted(to.items()), strict=True)
    about = {"accounts": list(accounts), "receivers": list(receivers)}
    moved = database.rows(_GIVE, {**about, "owner": owner, "valid": valid_seconds})
    return frozenset(row["account_id"] for row in moved)


def close_settled(account_ids: list[str]) -> None:
    """Let accounts that left the roster go for good, where no order of them is open any more."""
    if account_ids:
        database.rows(_CLOSE, (account_ids,))


def retire(owner: str) -> None:
    """Be counted no more: what this desk holds is to be shared by the others."""
    database.rows("DELETE FROM accounts_deskpresence WHERE owner = %s", (owner,))


def leave(owner: str) -> None:
    """Let everything go, and be counted no more."""
    retire(owner)
    database.rows(_RELEASE, (owner,))
