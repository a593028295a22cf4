"""Risk limits as they are set: read by those who accept orders, changed with actor and reason.

A process keeps what it has read. Whether it is still so is compared in the statement that accepts
the order (its stamp): nothing is asked before, and no order is accepted by limits of yesterday.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from functools import lru_cache
from typing import Any

from django.db import transaction
from django.db.models.functions import Now

from accounts import custody, journal
from accounts.claims import Principal
from accounts.journal import Actor
from accounts.models import DEFAULT_LIMITS, SYSTEM_JOURNAL, Limits
from opitios.core import database
from trading.lifecycle import text_of
from trading.risk import NO_LIMITS, RiskLimits, merged

COLUMNS = tuple(each.name for each in fields(RiskLimits))
_SETS = ("symbols_allowed", "symbols_denied")

# No limit above these says anything: the table holds no more, nor does a symbol list.
MOST_ORDERS = 1_000_000
MOST_SECONDS = 3600
MOST_SYMBOLS = 1000


@dataclass(frozen=True, slots=True)
class Held:
    """An account's limits, and the stamp by which an order's acceptance knows them."""

    limits: RiskLimits = NO_LIMITS
    stamp: int = 0


_NOTHING = Held()


class LimitsKept:
    """The limits this process has read. Safe to use from any thread."""

    def __init__(self) -> None:
        self._rows: dict[str, Held] = {}
        self._lock = threading.Lock()

    def of(self, account_id: str) -> Held:
        """The account's limits as far as they are known here; nothing is read."""
        default, own = self._rows.get(DEFAULT_LIMITS), self._rows.get(account_id)
        if default is None or own is None:
            return default or own or _NOTHING
        return Held(merged(default.limits, own.limits), default.stamp + own.stamp)

    def read(self, account_id: str) -> Held:
        """Read what holds for the account now."""
        with self._lock:
            self._rows |= rows_of(account_id)
        return self.of(account_id)


def rows_of(account_id: str) -> dict[str, Held]:
    """Read the account's own row and everybody's, where there are such."""
    found = Limits.objects.filter(account_id__in=(account_id, DEFAULT_LIMITS))
    return {row.account_id: Held(of_row(row), row.version) for row in found}


def of_row(row: Limits) -> RiskLimits:
    """Take the limits from their row."""
    values = {name: getattr(row, name) for name in COLUMNS}
    return RiskLimits(**values | {name: _frozen(values[name]) for name in _SETS})


def _frozen(symbols: list[str] | None) -> frozenset[str] | None:
    return None if symbols is None else frozenset(symbols)


def effective(account_id: str) -> RiskLimits:
    """Read what holds for an account now, everybody's limits included."""
    found = rows_of(account_id)
    default, own = (found.get(name, _NOTHING).limits for name in (DEFAULT_LIMITS, account_id))
    return merged(default, own)


def orders_a_day(principal: Principal) -> int | None:
    """How many orders a day the subject may place: its token's word or staff's, the smaller one."""
    return (principal.rate_limits or {}).get("orders_per_day")


_HELD = """
INSERT INTO accounts_limits (account_id, version, changed_by, reason) VALUES (%s, 0, '', '')
ON CONFLICT (account_id) DO NOTHING
"""


def change(
    account_id: str, changed: Mapping[str, Any], *, actor: Actor, reason: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Set limits of an account (DEFAULT_LIMITS: of all); None takes one away. Old and new ones.

    1. Hold the row. 2. Change it; every order accepted from the commit on is judged by it.
    3. Append `limits.changed` to the system's journal. Raises custody.Refused.
    """
    said = custody.reason_of(reason)
    if account_id != DEFAULT_LIMITS:
        custody.account_of(account_id)
    with transaction.atomic():
        database.rows(_HELD, (account_id,))
        row = Limits.objects.select_for_update().get(pk=account_id)
        before = as_json(row)
        for name, value in checked(changed).items():
            setattr(row, name, value)
        row.version += 1
        row.changed_by, row.reason = actor.name, said
        row.changed_at = Now()
        row.save()
        after = as_json(row)
        entry = journal.body(
            actor=actor, reason=said,
            before={"account_id": account_id, **before},
            after={"account_id": account_id, **after},
        )  # fmt: skip
        journal.append(SYSTEM_JOURNAL, "limits.changed", entry)
    get_limits().read(account_id)
    return before, after


def as_json(row: Limits | RiskLimits) -> dict[str, Any]:
    """Write limits as text and numbers."""
    return {name: _plain(getattr(row, name)) for name in COLUMNS}


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, list | frozenset) else text_of(value)


def line(told: Mapping[str, Any]) -> str:
    """Write limits (as_json) in a line, for people."""
    shown = [
        f"{name} {', '.join(value) if isinstance(value, list) else value}"
        for name, value in told.items()
        if value is not None
    ]
    return "; ".join(shown) or "no limits"


def checked(changed: Mapping[str, Any]) -> dict[str, Any]:
    """Judge new limits. Raises custody.Refused naming the first that cannot be one."""
    for name, value in changed.items():
        if name not in COLUMNS:
            raise custody.Refused(f"there is no limit {name}")
        if value is not None:
            _check(name, value)
    return {name: sorted(v) if name in _SETS and v is not None else v
            for name, v in changed.items()}  # fmt: skip


def _check(name: str, value: Any) -> None:
    if name in _SETS:
        if len(value) > MOST_SYMBOLS:
            raise custody.Refused(f"{name} holds at most {MOST_SYMBOLS} symbols")
    elif name.startswith("max_"):
        if not (isinstance(value, Decimal) and value.is_finite() and 0 <= value < 10**12):
            raise custody.Refused(f"{name} is a decimal from 0 to 999999999999")
    else:
        most = MOST_SECONDS if name == "duplicate_seconds" else MOST_ORDERS
        if not 0 <= value <= most:
            raise custody.Refused(f"{name} is a whole number from 0 to {most}")


@lru_cache(maxsize=1)
def get_limits() -> LimitsKept:
    """The limits this process keeps."""
    return LimitsKept()
