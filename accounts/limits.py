"""What limits a token: every room's part of `GET limits` (api.md §2), put together.

A room above registers its part when it starts: trading its risk limits and the orders of the day.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from accounts.claims import Principal
from opitios.core import clock


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

_parts: dict[str, Part] = {}


def register(name: str, part: Part) -> None:
    """Let a room show its limits; under a name it used before, in place of that part."""
    _parts[name] = part


def rows_of(principal: Principal, account_ids: Sequence[str]) -> list[LimitRow]:
    """Ask every part. Raises what a part raises."""
    return [each for part in _parts.values() for each in part(principal, account_ids)]
