"""What limits a token: every room's part of `GET limits` (api.md §2), put together.

A room above registers its part when it starts: trading its risk limits and the orders of the day.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from accounts.claims import Principal
from opitios.core import clock
from opitios.core.admission import Allowance, get_admission
from opitios.core.permits import Limit


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitRow:
    """One limit as it stands now.

    level: global, account, subject, endpoint, token or order. account_id: whose it is, None where
    it holds for every account alike. value, used and left: counts, or decimals as strings; used,
    left and resets_at are None where nothing is counted (an order's largest quantity, say).
    resets_at: when everything is free again. per_seconds: the window, None where it is no rate.
    """

    name: str
    level: str
    value: int | str
    account_id: str | None = None
    used: int | str | None = None
    left: int | str | None = None
    per_seconds: float | None = None
    resets_at: datetime | None = None

    def as_json(self) -> dict[str, Any]:
        """The element of `limits`."""
        return {
            "name": self.name,
            "level": self.level,
            "account_id": self.account_id,
            "value": self.value,
            "used": self.used,
            "left": self.left,
            "per_seconds": self.per_seconds,
            "resets_at": None if self.resets_at is None else clock.rfc3339(self.resets_at),
        }


# Who asks, and which of its accounts; without any: the limits that no account has for itself.
Part = Callable[[Principal, Sequence[str]], Iterable[LimitRow]]


def inbound(principal: Principal, account_ids: Sequence[str]) -> list[LimitRow]:
    """How often it may ask (opitios.core.admission); counted here, no query."""
    admission, subject = get_admission(), principal.sub
    rules = admission.rules
    if not account_ids:
        per_minute = (principal.rate_limits or {}).get("requests_per_minute")
        named: list[tuple[str | None, Limit, str]] = [
            (None, *each) for each in rules.of_subject(subject, per_minute)
        ]
    else:
        named = [(one, *each) for one in account_ids for each in rules.of_account(subject, one)]
    told = admission.standing([(limit, key) for _, limit, key in named])
    return [_row(each, whose) for (whose, _, _), each in zip(named, told, strict=True)]


def _row(told: Allowance, account_id: str | None) -> LimitRow:
    limit = told.limit
    return LimitRow(
        name=limit.name,
        level=limit.level,
        account_id=account_id,
        value=limit.quota,
        used=limit.quota - told.left,
        left=told.left,
        per_seconds=limit.window,
        resets_at=clock.now() + timedelta(seconds=told.full_in),
    )


def of_token(principal: Principal) -> list[LimitRow]:
    """What limits the token without a look at its accounts: no query."""
    counted = inbound(principal, ())
    claimed = principal.rate_limits or {}
    return counted + [
        LimitRow(name=name.replace("_", "-"), level="token", value=value)
        for name, value in claimed.items()
        if name != "requests_per_minute"
    ]


_parts: dict[str, Part] = {"inbound": inbound}


def register(name: str, part: Part) -> None:
    """Let a room show its limits; under a name it used before, in place of that part."""
    _parts[name] = part


def rows_of(principal: Principal, account_ids: Sequence[str]) -> list[LimitRow]:
    """Ask every part. Raises what a part raises."""
    return [each for part in _parts.values() for each in part(principal, account_ids)]
