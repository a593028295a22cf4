"""Requests per minute: counted always, enforced on demand."""

from typing import NamedTuple

from sandbox.instants import SECOND

MINUTE = 60 * SECOND
# [DOC] Alpaca's limit for one account, trading and market data counted apart.
DEFAULT_PER_MINUTE = 200


class Allowance(NamedTuple):
    """What an account may still send in this minute; `resets_at` in epoch seconds."""

    limit: int
    remaining: int
    resets_at: int
    is_exceeded: bool

    @property
    def headers(self) -> dict[str, str]:
        """The headers that tell it."""
        return {
            "X-Ratelimit-Limit": str(self.limit),
            "X-Ratelimit-Remaining": str(self.remaining),
            "X-Ratelimit-Reset": str(self.resets_at),
        }


class RateLimits:
    """A window of one clock minute for each account and API."""

    def __init__(self, *, enforced: bool = False, per_minute: int = DEFAULT_PER_MINUTE) -> None:
        self.enforced = enforced
        self.per_minute = per_minute
        self._minute = 0
        self._used: dict[tuple[str, str], int] = {}

    def count(self, account: str, api: str, at: int) -> Allowance:
        """Count one request of the account to an API ("trading" or "data")."""
        minute = at // MINUTE
        if minute != self._minute:
            self._minute = minute
            self._used.clear()
        used = self._used.get((account, api), 0) + 1
        self._used[account, api] = used
        return Allowance(
            limit=self.per_minute,
            remaining=max(self.per_minute - used, 0),
            resets_at=(minute + 1) * 60,
            is_exceeded=self.enforced and used > self.per_minute,
        )
