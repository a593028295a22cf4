"""What the broker says of an account now: read through, kept for a second, never a second truth."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from decimal import Decimal
from http import HTTPStatus
from typing import Any

from accounts.models import AccountState
from accounts.pool import PooledAccount, get_pool
from opitios.broker.errors import AccessDenied, BrokerError, NotFound, NotSent, Refused
from opitios.broker.port import Answer
from opitios.core import clock, database, jsontext
from opitios.core.coalesce import Coalesced
from opitios.core.errors import BrokerRefusal, Problem, Reason

# design.md §4: positions are the broker's, cached at most a second.
KEEP_SECONDS = 1.0
# A caller waits for somebody else's read at most as long as a read may take.
WAIT_SECONDS = 5.0

_kept: Coalesced[Any] = Coalesced(size=20_000, keep_seconds=KEEP_SECONDS)

Read = tuple[Any, str]


def _read(account: PooledAccount, what: str, call: Callable[[], Answer]) -> Read:
    """Read through the cache: the broker's JSON, and as of when (RFC 3339).

    Raises BrokerError, and Problem 503 where an earlier reader's call takes too long.
    """
    standing = get_pool().standing(account.account_id)
    if standing is not None and standing.is_quarantined:
        # The broker would only say so once more; the account's desk finds out when it may be asked.
        raise AccessDenied(message="the account is in quarantine")
    database.release()
    try:
        kept = _kept.get(
            f"{account.account_id} {account.key_version} {what}",
            lambda: call().body,
            wait_seconds=WAIT_SECONDS,
        )
    except TimeoutError as error:
        raise _unavailable(account, "The broker does not answer in time.") from error
    return kept.value, clock.rfc3339(clock.now() - timedelta(milliseconds=kept.age_ms))


def account(pooled: PooledAccount) -> Read:
    """Alpaca's account object; where the broker is away, the desk's last one with its age.

    Raises Problem 503 where there is neither.
    """
    try:
        return _read(pooled, "account", pooled.trading.account)
    except BrokerError as error:
        seen = AccountState.objects.filter(account_id=pooled.account_id).first()
        if seen is None or seen.broker_account is None or seen.checked_at is None:
            raise unreadable(pooled, error) from error
        return seen.broker_account, clock.rfc3339(seen.checked_at)


def positions(pooled: PooledAccount) -> Read:
    """The open positions as Alpaca lists them. Raises Problem 503."""
    try:
        return _read(pooled, "positions", pooled.trading.positions)
    except BrokerError as error:
        raise unreadable(pooled, error) from error


def position(pooled: PooledAccount, symbol: str) -> Read:
    """One position. Raises Problem 404 where there is none, 503 where the broker is away."""
    try:
        return _read(pooled, f"position {symbol}", lambda: pooled.trading.position(symbol))
    except NotFound as error:
        raise Problem(
            Reason.NOT_FOUND,
            f"There is no open position in {symbol}.",
            account_id=pooled.account_id,
        ) from error
    except BrokerError as error:
        raise unreadable(pooled, error) from error


def configurations(pooled: PooledAccount) -> Read:
    """Alpaca's account configurations. Raises Problem: its refusal, or 503."""
    return _asked(pooled, "configurations", pooled.trading.configurations)


def portfolio_history(pooled: PooledAccount, filters: Mapping[str, str]) -> Read:
    """Equity and profit over time, numbers as Alpaca's. Raises Problem: its refusal, or 503."""
    what = f"history {jsontext.canonical(filters)}"
    body, at = _asked(pooled, what, lambda: pooled.trading.portfolio_history(**filters))
    return _numbers(body), at


def activities(pooled: PooledAccount, filters: Mapping[str, str]) -> Read:
    """A page of what changed cash and positions. Raises Problem: Alpaca's refusal, or 503."""
    what = f"activities {jsontext.canonical(filters)}"
    return _asked(pooled, what, lambda: pooled.trading.activities(**filters))


def _asked(pooled: PooledAccount, what: str, call: Callable[[], Answer]) -> Read:
    try:
        return _read(pooled, what, call)
    except Refused as error:
        raise Problem(
            Reason.INVALID_PARAMETER,
            f"The broker refused: {error.message}",
            broker=refusal_of(error),
            account_id=pooled.account_id,
        ) from error
    except BrokerError as error:
        raise unreadable(pooled, error) from error


def _numbers(value: Any) -> Any:
    """Make exact fractions the JSON numbers they were; a chart needs no more digits."""
    match value:
        case Decimal():
            return float(value)
        case list():
            return [_numbers(each) for each in value]
        case dict():
            return {key: _numbers(each) for key, each in value.items()}
        case _:
            return value


def refusal_of(error: Refused | AccessDenied) -> BrokerRefusal:
    """Keep what the broker said, its extra fields verbatim."""
    extra = {k: v for k, v in (error.body or {}).items() if k not in {"code", "message"}}
    return BrokerRefusal(
        http_status=error.http_status or HTTPStatus.UNPROCESSABLE_ENTITY,
        code=error.code,
        message=error.message,
        request_id=error.request_id,
        extra=extra,
    )


def unreadable(pooled: PooledAccount, error: BrokerError) -> Problem:
    """Make the refusal for a read that the broker did not answer."""
    if isinstance(error, AccessDenied):
        return Problem(
            Reason.ACCOUNT_QUARANTINED,
            "The broker does not accept this account's key.",
            retry_after_seconds=30,
            account_id=pooled.account_id,
        )
    wait = error.retry_after_seconds if isinstance(error, NotSent) else None
    if isinstance(error, NotSent) and error.reason == "no-budget":
        return Problem(
            Reason.TOO_MANY_REQUESTS,
            "The account's reads of this minute are used up.",
            retry_after_seconds=wait,
            account_id=pooled.account_id,
        )
    return _unavailable(pooled, f"The broker could not be read: {error.outcome}.", wait)


def _unavailable(pooled: PooledAccount, detail: str, wait: float | None = None) -> Problem:
    return Problem(
        Reason.BROKER_UNAVAILABLE,
        detail,
        retry_after_seconds=max(1.0, wait or 1.0),
        account_id=pooled.account_id,
    )
