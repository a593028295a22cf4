"""Accounts as their desks left them. Import late, as tests/support."""

from datetime import timedelta
from typing import Any

from accounts.models import AccountState, ProcessRow
from opitios.core import clock
from tests.support.accounts import lease


def told(account_id: str, desk: str | None = "desk-1", **changed: Any) -> None:
    """Write what a desk told of an account; None: nobody owns it."""
    now = clock.now()
    fields = {
        "state": "ready", "state_since": now, "checked_at": now, "check_ms": 22.1,
        "stream_state": "listening", "breaker": "closed",
        "budget": {"limit": 200, "remaining": 50, "resets_at": now.timestamp() + 60},
        "broker_account": {"equity": "1234567.5", "buying_power": "2469135"},
    }  # fmt: skip
    AccountState.objects.update_or_create(account_id=account_id, defaults=fields | changed)
    if desk is not None:
        lease(account_id, f"{desk}/7")


def process(name: str, role: str, *, seen: float = 0.0, **snapshot: Any) -> ProcessRow:
    """Write a process's row, last seen so many seconds ago."""
    now = clock.now()
    about = {
        "role": role, "pid": 7, "started_at": now - timedelta(hours=1),
        "seen_at": now - timedelta(seconds=seen), "snapshot": snapshot,
    }  # fmt: skip
    row, _ = ProcessRow.objects.update_or_create(name=name, defaults=about)
    return row
