"""`GET pool`: the processes' rows and the owners' findings merged into one view (api.md §7).

Two statements, however many accounts and processes there are: a page of accounts with the count of
all of them, then the processes with what they say of that page.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from accounts.listing import HALT_COLUMNS, HALT_JOIN, REASON, STATE, halt_json, held_list
from accounts.models import AccountState
from accounts.presence import GONE_AFTER, METRICS
from opitios.broker.budget import CANCEL_RESERVE, MINUTE
from opitios.core import clock, database
from opitios.core.config import get_config

_SEVERITY = {word: number for number, word in enumerate(("closed", "half-open", "open"))}

# Without an owner nobody listens or sends, whatever was last written.
_ACCOUNTS = f"""
WITH held AS MATERIALIZED (
    SELECT a.account_id, {STATE} AS state
    FROM accounts_account a LEFT JOIN accounts_accountstate s USING (account_id)
    WHERE %(held)s::text[] IS NULL OR a.account_id = ANY(%(held)s)
), page AS (
    SELECT * FROM held WHERE account_id > %(after)s ORDER BY account_id LIMIT %(limit)s
)
SELECT counted.states, page.account_id, page.state, a.account_type, a.environment, a.priority,
    a.max_connections, a.data_plan, a.suspended_at, a.suspended_reason, {REASON} AS state_reason,
    CASE WHEN a.enabled THEN s.state_since ELSE a.updated_at END AS state_since,
    s.checked_at, s.check_ms, s.budget, s.breaker, s.stream_state, s.stream_last_message_at,
    s.reconciled_at, l.owner, k.hint, k.version AS key_version, k.created_at AS key_created_at,
    (SELECT json_object_agg(f.kind, json_build_object('state', f.state, 'reason', f.reason,
        'since', extract(epoch FROM f.state_since)::float8, 'owner', f.owner, 'feed', f.feed,
        'symbols', f.symbols, 'heard_at', extract(epoch FROM f.last_message_at)::float8))
     FROM accounts_feedlease f
     WHERE f.account_id = page.account_id AND f.expires_at > clock_timestamp()) AS data_streams,
    {HALT_COLUMNS}
FROM (SELECT json_object_agg(state, accounts) AS states
      FROM (SELECT state, count(*) AS accounts FROM held GROUP BY state) by_state) counted
LEFT JOIN page ON true
LEFT JOIN accounts_account a ON a.account_id = page.account_id
LEFT JOIN accounts_accountstate s ON s.account_id = page.account_id
LEFT JOIN accounts_lease l ON l.account_id = page.account_id AND l.expires_at > clock_timestamp()
LEFT JOIN accounts_credential k ON k.account_id = a.account_id AND k.version = a.key_version
{HALT_JOIN}
ORDER BY page.account_id
"""  # noqa: S608 - put together of constants

# What a row says by account is cut to the page: a desk's may hold a thousand of them.
_BY_ACCOUNT = ("accounts", "orders", "data")
_PROCESSES = """
SELECT name, role, pid, started_at, seen_at, snapshot - %(apart)s::text[] AS snapshot,
    (SELECT json_object_agg(part, told) FROM (
        SELECT part, json_object_agg(key, value) AS told
        FROM unnest(%(by_account)s::text[]) AS part, jsonb_each(
            CASE WHEN jsonb_typeof(snapshot -> part) = 'object' THEN snapshot -> part END)
        WHERE key = ANY(%(page)s) GROUP BY part) parts) AS by_account
FROM accounts_processrow WHERE seen_at > clock_timestamp() - %(gone_after)s ORDER BY name
"""


@dataclass(frozen=True, slots=True)
class _Process:
    """One living process; `accounts`, `orders` and `data` are what it says of the page's accounts.

    `data`: of those it asks for market data (marketdata/routing.py).
    """

    row: Mapping[str, Any]
    snapshot: Mapping[str, Any]
    accounts: Mapping[str, Any]
    orders: Mapping[str, Any]
    data: Mapping[str, Any]

    @property
    def is_desk(self) -> bool:
        return bool(self.row["role"] == "desk")

    @property
    def connections(self) -> int:
        """Sockets it holds open to the broker: for calls, and the accounts' streams."""
        own = ("connections", "streams")
        heard = self.snapshot.get("feed", {}).get("sockets", 0)
        return int(sum(self.snapshot.get(name, 0) for name in own) + heard)


def merged(
    held: frozenset[str] | None, now: datetime, *, limit: int | None = None, after: str = ""
) -> dict[str, Any]:
    """Write the pool as it is: all of `held` (None: every account) counted, a page of it shown.

    limit None shows all. The page begins behind the account id `after`.
    """
    asked = {"held": held_list(held), "after": after, "limit": limit and limit + 1}
    rows = database.rows(_ACCOUNTS, asked)
    found = [row for row in rows if row["account_id"] is not None]
    shown = found[:limit]
    processes = _processes([row["account_id"] for row in shown])
    return {
        "as_of": clock.rfc3339(now),
        "summary": _summary(_parsed(rows[0]["states"]) or {}, processes),
        "processes": [_process_json(each) for each in processes],
        "upstreams": _upstreams_json(processes),
        "accounts": [_account_json(row, processes, now) for row in shown],
        "next_page_token": shown[-1]["account_id"] if len(found) > len(shown) else None,
    }


def _summary(states: Mapping[str, int], processes: Sequence[_Process]) -> dict[str, Any]:
    counts = {state: states.get(state, 0) for state in AccountState.State.values}
    return {
        "accounts": sum(counts.values()) - counts[AccountState.State.DISABLED],
        **counts,
        "connections": {
            "open": sum(each.connections for each in processes),
            "max": get_config().connections_in_all,
        },
    }


def _processes(page: list[str]) -> list[_Process]:
    asked = {
        "by_account": list(_BY_ACCOUNT),
        "apart": [*_BY_ACCOUNT, METRICS],
        "page": page,
        "gone_after": GONE_AFTER,
    }
    return [_process(row) for row in database.rows(_PROCESSES, asked)]


def _process(row: Mapping[str, Any]) -> _Process:
    by_account = _parsed(row["by_account"]) or {}
    return _Process(
        row=row,
        snapshot=_parsed(row["snapshot"]),
        accounts=by_account.get("accounts", {}),
        orders=by_account.get("orders", {}),
        data=by_account.get("data", {}),
    )


def _parsed(told: Any) -> Any:
    # Django hands JSON over as its text.
    return orjson.loads(told) if isinstance(told, str) else told


# Shown by host, and what processes tell each other alone; all else of a row is for GET pool too.
_INNER = frozenset({"upstreams", "master_keys"})


def _process_json(process: _Process) -> dict[str, Any]:
    row = process.row
    return {
        "name": row["name"],
        "role": row["role"],
        "pid": row["pid"],
        "started_at": clock.rfc3339(row["started_at"]),
        "seen_at": clock.rfc3339(row["seen_at"]),
        **{key: value for key, value in process.snapshot.items() if key not in _INNER},
    }


def _upstreams_json(processes: Sequence[_Process]) -> list[dict[str, Any]]:
    """Each host once, as the desks see it; where several do, as the worst of them."""
    shown: dict[str, tuple[tuple[bool, int], dict[str, Any]]] = {}
    for process in processes:
        for told in process.snapshot.get("upstreams", []):
            weight = (process.is_desk, _SEVERITY[told["breaker"]])
            if told["host"] not in shown or weight > shown[told["host"]][0]:
                shown[told["host"]] = (weight, told)
    return [_upstream_json(told) for _, told in shown.values()]


def _upstream_json(told: dict[str, Any]) -> dict[str, Any]:
    shown = {key: value for key, value in told.items() if key != "last_success"}
    return {**shown, "last_success_at": _epoch_text(told["last_success"])}


_ROSTER = ("account_id", "account_type", "environment", "priority", "data_plan")


def _account_json(
    row: Mapping[str, Any], processes: Sequence[_Process], now: datetime
) -> dict[str, Any]:
    account_id, owned = row["account_id"], row["owner"] is not None
    calls = sum(each.accounts.get(account_id, {}).get("in_flight", 0) for each in processes)
    listening = owned and row["stream_state"] == AccountState.Stream.LISTENING
    asked_for_data = [each.data[account_id] for each in processes if account_id in each.data]
    return {
        **{name: row[name] for name in _ROSTER},
        **{name: row[name] for name in ("state", "state_reason")},
        "state_since": _text(row["state_since"]),
        "checked_at": _text(row["checked_at"]),
        "check_ms": row["check_ms"],
        # Its stream, and one for each call: connections for calls are the whole process's.
        "connections": {"open": listening + calls, "max": row["max_connections"]},
        "in_flight": calls,
        "breaker": row["breaker"] if owned else None,
        "budget": {
            "trading": _budget_json(_told_budget(row, processes)),
            "data": _data_budget_json(asked_for_data, now),
        },
        "market_data": _market_data_json(asked_for_data, now),
        "stream": _stream_json(row),
        "data_streams": _data_streams_json(_parsed(row["data_streams"])),
        "orders": _orders_json(row, processes),
        "halt": halt_json(row),
        "suspended": _suspended_json(row),
        "key": _key_json(row, now),
    }


def _data_budget_json(told: Sequence[Mapping[str, Any]], now: datetime) -> dict[str, Any] | None:
    """The shares of all who ask it, together; each knows only what it used itself."""
    if not told:
        return None
    limit = sum(each["budget"]["limit"] for each in told)
    left = sum(each["budget"]["remaining"] for each in told)
    # It refills evenly: so long until all of it is there again.
    whole_at = now.timestamp() + MINUTE * max(0.0, 1 - left / limit)
    return {"limit": round(limit), "remaining": left, "resets_at": _epoch_text(whole_at)}


def _market_data_json(told: Sequence[Mapping[str, Any]], now: datetime) -> dict[str, Any] | None:
    """How whoever asks it for market data finds it; None where nobody does.

    It rests where any of them passes it over.
    """
    if not told:
        return None
    failures = [each["last_failure"] for each in told if each["last_failure"]]
    failure = max(failures, key=lambda each: float(each["at"]), default=None)
    rests_until = max(each["rests_until"] or 0.0 for each in told)
    resting = rests_until > now.timestamp()
    return {
        "state": "resting" if resting else "serving",
        "resting_until": _epoch_text(rests_until) if resting else None,
        "last_answer_at": _epoch_text(max(each["answered_at"] or 0.0 for each in told) or None),
        "last_failure": failure and {**failure, "at": _epoch_text(failure["at"])},
    }


def _orders_json(row: Mapping[str, Any], processes: Sequence[_Process]) -> dict[str, int] | None:
    """How many are open, as its desk counted them; None where no living desk owns it."""
    named = (row["owner"] or "").partition("/")[0]
    desk = next((each for each in processes if each.row["name"] == named), None)
    if desk is None:
        return None
    counted = desk.orders.get(row["account_id"], {})
    return {name: counted.get(name, 0) for name in ("open", "unknown")}


def _told_budget(row: Mapping[str, Any], processes: Sequence[_Process]) -> Mapping[str, Any] | None:
    """The broker's last word of it: a desk's in its row, else the last check's."""
    told = [each.accounts.get(row["account_id"], {}).get("budget") for each in processes]
    found: Mapping[str, Any] | None = next(filter(None, told), None) or _parsed(row["budget"])
    return found


def _budget_json(told: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if told is None:
        return None
    return {
        "limit": told["limit"],
        "remaining": told["remaining"],
        "reserve": CANCEL_RESERVE,
        "resets_at": _epoch_text(told["resets_at"]),
    }


def _stream_json(row: Mapping[str, Any]) -> dict[str, Any]:
    owner = row["owner"]
    return {
        "state": row["stream_state"] if owner else AccountState.Stream.CLOSED,
        "owner": owner.partition("/")[0] if owner else None,
        "last_message_at": _text(row["stream_last_message_at"]),
        "reconciled_at": _text(row["reconciled_at"]),
    }


def _data_streams_json(told: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Its sockets of market data by kind, as their owner tells; None: nobody owns them."""
    if told is None:
        return None
    return {
        kind: {
            "state": each["state"],
            "reason": each["reason"],
            "since": _epoch_text(each["since"]),
            "owner": each["owner"].partition("/")[0],
            "feed": each["feed"],
            "symbols": each["symbols"],
            "last_message_at": _epoch_text(each["heard_at"]),
        }
        for kind, each in sorted(told.items())
    }


def _suspended_json(row: Mapping[str, Any]) -> dict[str, Any] | None:
    if row["suspended_at"] is None:
        return None
    return {"since": _text(row["suspended_at"]), "reason": row["suspended_reason"]}


def _key_json(row: Mapping[str, Any], now: datetime) -> dict[str, Any] | None:
    if row["key_version"] is None:
        return None
    return {
        "hint": row["hint"],
        "version": row["key_version"],
        "age_days": (now - row["key_created_at"]).days,
    }


def _epoch_text(seconds: float | None) -> str | None:
    return None if seconds is None else clock.rfc3339(datetime.fromtimestamp(seconds, tz=UTC))


def _text(instant: datetime | None) -> str | None:
    return None if instant is None else clock.rfc3339(instant)
