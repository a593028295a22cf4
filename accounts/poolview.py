"""`GET pool`: the processes' rows and the owners' findings merged into one view (api.md §7)."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from accounts.models import Account, AccountState, Credential, Lease, ProcessRow
from accounts.pool import GONE_AFTER
from opitios.broker.budget import CANCEL_RESERVE
from opitios.core import clock
from opitios.core.config import get_config

_SEVERITY = {word: number for number, word in enumerate(("closed", "half-open", "open"))}


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the processes wrote of one account: its key, and what its desk saw in its last row."""

    key: Credential | None
    at_desk: Mapping[str, Any] = field(default_factory=dict)


def merged(held: frozenset[str] | None, now: datetime) -> dict[str, Any]:
    """Write the pool as it is, with the accounts of `held` (None: all of them)."""
    rows = Account.objects.select_related("state", "lease").order_by("account_id")
    if held is not None:
        rows = rows.filter(account_id__in=held)
    keys = {key.account_id: key for key in Credential.objects.order_by("version")}
    alive = _alive(now)
    at_desk = _at_desks(alive)
    accounts = [
        _account_json(row, _Seen(keys.get(row.account_id), at_desk.get(row.account_id, {})), now)
        for row in rows
    ]
    states = Counter(account["state"] for account in accounts)
    return {
        "as_of": clock.rfc3339(now),
        "summary": {
            "accounts": len(accounts) - states["disabled"],
            **{state: states[state] for state in ("ready", "warming", "suspect", "quarantined")},
            "disabled": states["disabled"],
            "connections": {"open": None, "max": get_config().connections_in_all},
        },
        "processes": [_process_json(row) for row in alive],
        "upstreams": _upstreams_json(alive),
        "accounts": accounts,
        "next_page_token": None,
    }


def page(view: dict[str, Any], limit: int, query: Mapping[str, str]) -> dict[str, Any]:
    """Cut the accounts to one page that begins after `page_token` (an account id)."""
    after = query.get("page_token", "")
    rest = [account for account in view["accounts"] if account["account_id"] > after]
    token = rest[limit - 1]["account_id"] if len(rest) > limit else None
    return {**view, "accounts": rest[:limit], "next_page_token": token}


def _alive(now: datetime) -> list[ProcessRow]:
    return list(ProcessRow.objects.filter(seen_at__gt=now - GONE_AFTER).order_by("name"))


def _process_json(row: ProcessRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "role": row.role,
        "pid": row.pid,
        "started_at": clock.rfc3339(row.started_at),
        "seen_at": clock.rfc3339(row.seen_at),
        **{key: value for key, value in row.snapshot.items() if key not in _MERGED},
    }


# What the view shows by host and by account instead of by process.
_MERGED = frozenset({"upstreams", "accounts"})


def _at_desks(alive: list[ProcessRow]) -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for row in alive:
        if row.role == "desk":
            found.update(row.snapshot.get("accounts", {}))
    return found


def _upstreams_json(alive: list[ProcessRow]) -> list[dict[str, Any]]:
    """Each host once, as the desks see it; where several do, as the worst of them."""
    shown: dict[str, tuple[tuple[bool, int], dict[str, Any]]] = {}
    for row in alive:
        for told in row.snapshot.get("upstreams", []):
            weight = (row.role == "desk", _SEVERITY[told["breaker"]])
            if told["host"] not in shown or weight > shown[told["host"]][0]:
                shown[told["host"]] = (weight, told)
    return [_upstream_json(told) for _, told in shown.values()]


def _upstream_json(told: dict[str, Any]) -> dict[str, Any]:
    shown = {key: value for key, value in told.items() if key != "last_success"}
    return {**shown, "last_success_at": _epoch_text(told["last_success"])}


def _account_json(row: Account, seen: _Seen, now: datetime) -> dict[str, Any]:
    state: AccountState | None = getattr(row, "state", None)
    lease: Lease | None = getattr(row, "lease", None)
    owned = lease is not None and lease.expires_at > now
    return {
        "account_id": row.account_id,
        "account_type": row.account_type,
        "environment": row.environment,
        "priority": row.priority,
        **_state_json(row, state),
        "connections": {"open": None, "max": row.max_connections},
        # Without an owner nobody calls for it.
        "in_flight": seen.at_desk.get("in_flight", 0) if owned else None,
        "breaker": state.breaker if state is not None and owned else None,
        "budget": {"trading": _budget_json(seen.at_desk.get("budget") or _told_budget(state))},
        "stream": _stream_json(state, lease.owner if owned and lease is not None else None),
        "orders": None,
        "halt": None,
        "key": _key_json(seen.key, now),
    }


def _state_json(row: Account, state: AccountState | None) -> dict[str, Any]:
    if not row.enabled:
        return {
            "state": AccountState.State.DISABLED,
            "state_reason": "not in the roster",
            "state_since": clock.rfc3339(row.updated_at),
            "checked_at": None,
            "check_ms": None,
        }
    if state is None:
        return dict.fromkeys(("state_reason", "state_since", "checked_at", "check_ms")) | {
            "state": AccountState.State.WARMING
        }
    return {
        "state": state.state,
        "state_reason": state.state_reason,
        "state_since": clock.rfc3339(state.state_since),
        "checked_at": _text(state.checked_at),
        "check_ms": state.check_ms,
    }


def _told_budget(state: AccountState | None) -> Mapping[str, Any] | None:
    return None if state is None else state.budget


def _budget_json(told: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if told is None:
        return None
    return {
        "limit": told["limit"],
        "remaining": told["remaining"],
        "reserve": CANCEL_RESERVE,
        "resets_at": _epoch_text(told["resets_at"]),
    }


def _stream_json(state: AccountState | None, owner: str | None) -> dict[str, Any]:
    return {
        # Without an owner nobody listens, whatever was last written.
        "state": state.stream_state if state is not None and owner else "closed",
        "owner": owner.partition("/")[0] if owner else None,
        "last_message_at": _text(state.stream_last_message_at) if state else None,
        "reconciled_at": _text(state.reconciled_at) if state else None,
    }


def _key_json(key: Credential | None, now: datetime) -> dict[str, Any] | None:
    if key is None:
        return None
    return {
        "hint": key.hint,
        "version": key.version,
        "age_days": (now - key.created_at).days,
    }


def _epoch_text(seconds: float | None) -> str | None:
    return None if seconds is None else clock.rfc3339(datetime.fromtimestamp(seconds, tz=UTC))


def _text(instant: datetime | None) -> str | None:
    return None if instant is None else clock.rfc3339(instant)
