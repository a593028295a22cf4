"""`GET pool`: the processes' rows and the owners' findings merged into one view (api.md §7)."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from accounts.models import Account, AccountState, Credential, Lease, ProcessRow
from opitios.core import clock
from opitios.core.config import get_config

# A process writes its row each 5 s; one that missed three is gone.
GONE_AFTER = timedelta(seconds=15)

# design.md §6: what the desk keeps of the account's 200 a minute for cancels.
CANCEL_RESERVE = 20


def merged(held: frozenset[str] | None, now: datetime) -> dict[str, Any]:
    """Write the pool as it is, with the accounts of `held` (None: all of them)."""
    rows = Account.objects.select_related("state", "lease").order_by("account_id")
    if held is not None:
        rows = rows.filter(account_id__in=held)
    keys = {key.account_id: key for key in Credential.objects.order_by("version")}
    accounts = [_account_json(row, keys.get(row.account_id), now) for row in rows]
    states = Counter(account["state"] for account in accounts)
    return {
        "as_of": clock.rfc3339(now),
        "summary": {
            "accounts": len(accounts) - states["disabled"],
            **{state: states[state] for state in ("ready", "warming", "suspect", "quarantined")},
            "disabled": states["disabled"],
            "connections": {"open": None, "max": get_config().connections_in_all},
        },
        "processes": [_process_json(row) for row in _alive(now)],
        "upstreams": [],
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
        **row.snapshot,
    }


def _account_json(row: Account, key: Credential | None, now: datetime) -> dict[str, Any]:
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
        "in_flight": None,
        "breaker": None,
        "budget": {"trading": _budget_json(state)},
        "stream": _stream_json(state, lease.owner if owned and lease is not None else None),
        "orders": None,
        "halt": None,
        "key": _key_json(key, now),
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


def _budget_json(state: AccountState | None) -> dict[str, Any] | None:
    if state is None or state.budget is None:
        return None
    resets_at = datetime.fromtimestamp(state.budget["resets_at"], tz=state.state_since.tzinfo)
    return {
        "limit": state.budget["limit"],
        "remaining": state.budget["remaining"],
        "reserve": CANCEL_RESERVE,
        "resets_at": clock.rfc3339(resets_at),
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


def _text(instant: datetime | None) -> str | None:
    return None if instant is None else clock.rfc3339(instant)
