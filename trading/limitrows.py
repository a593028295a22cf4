"""Trading's part of `GET limits`: an account's risk limits, and the orders of a token's day."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from accounts.claims import Principal
from accounts.limits import LimitRow
from accounts.models import DEFAULT_LIMITS, Limits
from accounts.pages import NEW_YORK
from opitios.core import clock, database
from trading import limits
from trading.lifecycle import text_of
from trading.limits import Held
from trading.risk import RiskLimits, merged

# A minute that slides has no end of its own.
MINUTE = 60.0

# As they were counted where an order was accepted, else as they would be (order_count).
_COUNTED = """
SELECT a.id AS account_id, CASE WHEN c.day = day.today AND c.stamp = a.stamp THEN c.orders
    ELSE (SELECT count(*) FROM trading_order o WHERE o.account_id = a.id AND o.source = 'api'
          AND o.status <> 'denied' AND o.created_at >= day.midnight) END AS today,
    (SELECT count(*) FROM trading_order o WHERE o.account_id = a.id AND o.source = 'api'
     AND o.status <> 'denied' AND o.created_at > clock_timestamp() - interval '1 minute') AS minute
FROM unnest(%s::text[], %s::bigint[]) AS a(id, stamp)
CROSS JOIN (SELECT d.today, d.today::timestamp AT TIME ZONE 'America/New_York' AS midnight
    FROM (SELECT (clock_timestamp() AT TIME ZONE 'America/New_York')::date AS today) d) day
LEFT JOIN trading_ordercount c ON c."of" = 'account' AND c.name = a.id
"""

_OF_SUBJECT = """
SELECT orders FROM trading_ordercount WHERE "of" = 'subject' AND name = %s
AND day = (clock_timestamp() AT TIME ZONE 'America/New_York')::date
"""


def rows(principal: Principal, account_ids: Sequence[str]) -> Iterator[LimitRow]:
    """Tell the token's own limit without accounts, else those of each account that has some."""
    if not account_ids:
        yield from _of_token(principal)
        return
    held = {name: each for name, each in _held(account_ids).items() if each.limits != RiskLimits()}
    counted = _counts({name: each for name, each in held.items() if each.limits.counts})
    for account_id, each in held.items():
        yield from _of_account(account_id, each.limits, counted.get(account_id))


def _of_token(principal: Principal) -> Iterator[LimitRow]:
    most = limits.orders_a_day(principal)
    if most is None:
        return
    found = database.row(_OF_SUBJECT, (principal.sub,))
    used = 0 if found is None else found["orders"]
    yield _counted_row("token-orders-per-day", most, used, level="token")


def _held(account_ids: Sequence[str]) -> dict[str, Held]:
    found = Limits.objects.filter(account_id__in=[*account_ids, DEFAULT_LIMITS])
    told = {row.account_id: Held(limits.of_row(row), row.version) for row in found}
    default = told.get(DEFAULT_LIMITS, Held())
    return {name: _both(default, told.get(name, Held())) for name in account_ids}


def _both(default: Held, own: Held) -> Held:
    return Held(merged(default.limits, own.limits), default.stamp + own.stamp)


def _counts(held: dict[str, Held]) -> dict[str, Any]:
    if not held:
        return {}
    found = database.rows(_COUNTED, (list(held), [each.stamp for each in held.values()]))
    return {row["account_id"]: row for row in found}


def _of_account(account_id: str, held: RiskLimits, counted: Any) -> Iterator[LimitRow]:
    for name in ("max_quantity", "max_notional", "duplicate_seconds"):
        value = getattr(held, name)
        if value is not None:
            shown = name.replace("_", "-")
            yield LimitRow(name=shown, level="order", value=text_of(value), account_id=account_id)
    if held.orders_per_minute is not None:
        yield LimitRow(
            name="orders-per-minute",
            level="account",
            account_id=account_id,
            value=held.orders_per_minute,
            used=counted["minute"],
            left=max(0, held.orders_per_minute - counted["minute"]),
            per_seconds=MINUTE,
        )
    if held.orders_per_day is not None:
        yield _counted_row(
            "orders-per-day", held.orders_per_day, counted["today"],
            level="account", account_id=account_id,
        )  # fmt: skip


def _counted_row(
    name: str, most: int, used: int, *, level: str, account_id: str | None = None
) -> LimitRow:
    return LimitRow(
        name=name,
        level=level,
        account_id=account_id,
        value=most,
        used=used,
        left=max(0, most - used),
        resets_at=next_day(clock.now()),
    )


def next_day(now: datetime) -> datetime:
    """The beginning of New York's next day."""
    there = now.astimezone(NEW_YORK)
    return (there + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
