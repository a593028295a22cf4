"""The accounts of a token as their desks last saw them: one statement, however many they are."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from opitios.core import clock, database

# What an account is whose desk has not looked at it, or which the roster no longer names.
STATE = "CASE WHEN NOT a.enabled THEN 'disabled' ELSE coalesce(s.state, 'warming') END"
REASON = "CASE WHEN a.enabled THEN s.state_reason ELSE 'not in the roster' END"

# The strictest halt that stands over the whole account; those of single symbols are in `GET halts`.
HALT_COLUMNS = """halt.mode AS halt_mode, halt.scope AS halt_scope, halt.set_at AS halted_at,
    halt.reason AS halt_reason"""
HALT_JOIN = """LEFT JOIN LATERAL (
    SELECT * FROM accounts_halt h WHERE h.lifted_at IS NULL AND h.symbol IS NULL
        AND (h.account_id IS NULL OR h.account_id = a.account_id)
    ORDER BY h.mode, h.set_at LIMIT 1
) halt ON true"""

_LIST = f"""
SELECT * FROM (
    SELECT a.account_id, a.account_type, a.environment, {STATE} AS state,
        {REASON} AS state_reason, s.broker_account ->> 'equity' AS equity,
        s.broker_account ->> 'buying_power' AS buying_power, s.checked_at, {HALT_COLUMNS}
    FROM accounts_account a LEFT JOIN accounts_accountstate s USING (account_id)
    {HALT_JOIN}
    WHERE (%(held)s::text[] IS NULL OR a.account_id = ANY(%(held)s))
        AND (%(environment)s::text IS NULL OR a.environment = %(environment)s)
        AND a.account_id > %(after)s
) found
WHERE %(state)s::text IS NULL OR state = %(state)s
ORDER BY account_id LIMIT %(limit)s
"""  # noqa: S608 - put together of constants


@dataclass(frozen=True, slots=True)
class Listing:
    """What is asked for; None is no filter. `after`: the account id a page begins behind."""

    held: frozenset[str] | None
    limit: int
    after: str = ""
    state: str | None = None
    environment: str | None = None


def list_accounts(asked: Listing) -> tuple[list[dict[str, Any]], str | None]:
    """Read one page by account id, and the token of the next one. No call upstream."""
    found = database.rows(
        _LIST,
        {
            "held": held_list(asked.held),
            "environment": asked.environment,
            "after": asked.after,
            "state": asked.state,
            "limit": asked.limit + 1,
        },
    )
    token = found[asked.limit - 1]["account_id"] if len(found) > asked.limit else None
    return [_account_json(row) for row in found[: asked.limit]], token


def held_list(held: frozenset[str] | None) -> list[str] | None:
    """A token's accounts as a parameter; None is every account."""
    return None if held is None else sorted(held)


def halt_json(row: Mapping[str, Any]) -> dict[str, Any] | None:
    """Write the halt that a row of HALT_COLUMNS tells of; None: none stands."""
    if row["halt_mode"] is None:
        return None
    return {
        "mode": row["halt_mode"],
        "scope": row["halt_scope"],
        "since": clock.rfc3339(row["halted_at"]),
        "reason": row["halt_reason"],
    }


def _account_json(row: Mapping[str, Any]) -> dict[str, Any]:
    checked_at = row["checked_at"]
    return {
        "account_id": row["account_id"],
        "account_type": row["account_type"],
        "environment": row["environment"],
        "state": row["state"],
        "state_reason": row["state_reason"],
        "halt": halt_json(row),
        "equity": row["equity"],
        "buying_power": row["buying_power"],
        "as_of": None if checked_at is None else clock.rfc3339(checked_at),
    }
