"""What the market does next to an open order. Pure: one step at a time, as events."""

from decimal import Decimal
from typing import Literal, NamedTuple

import msgspec

from sandbox.amounts import NANO, cut
from sandbox.events import Filled, Moved, Trailed, Triggered
from sandbox.ids import Ids
from sandbox.market import Quote
from sandbox.orders import Order
from sandbox.stops import is_reached, new_mark, trailed_stop

FillMode = Literal["full", "partial", "hold"]

# Milliseconds from acceptance to fill; with `new` before it, an order fills within 50 ms.
DEFAULT_DELAY_MS = 15
MAX_DELAY_MS = 60_000
# What of these does not trade at once is canceled; an on-open order has one auction, its open.
IMMEDIATE = ("ioc", "fok", "opg")
TRADABLE = ("new", "partially_filled")


class FillRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How orders fill: `full` at once, `partial` in two executions, `hold` not at all."""

    mode: FillMode = "full"
    delay_ms: int = DEFAULT_DELAY_MS


class Moment(NamedTuple):
    """The market around one order at one instant."""

    at: int
    quote: Quote
    is_open: bool
    has_auctions: bool
    rules: FillRules
    ids: Ids


def is_marketable(order: Order, quote: Quote) -> bool:
    """Whether the quote satisfies the order's limit (a market order takes any price)."""
    bound = order.bound
    if order.awaits_stop:
        return False
    if bound is None:
        return True
    return bound >= quote.ask if order.side == "buy" else bound <= quote.bid


def _is_stirred(order: Order, quote: Quote) -> bool:
    """Whether the quote changes anything about an order that waits for its stop price."""
    return order.awaits_stop and (new_mark(order, quote) is not None or is_reached(order, quote))


def can_only_wait(order: Order, quote: Quote) -> bool:
    """Whether the order rests in the market and its price is not there (the common case)."""
    return (
        order.status in TRADABLE
        and order.time_in_force not in IMMEDIATE
        and not is_marketable(order, quote)
        and not _is_stirred(order, quote)
    )


def next_event(order: Order, moment: Moment) -> Moved | Trailed | Triggered | Filled | None:
    """The order's next step at this moment, or None where it rests as it is."""
    if order.status == "pending_cancel":
        return _move(order, "canceled", moment)
    if not moment.is_open:
        return None
    if order.status in ("accepted", "pending_new"):
        return _move(order, "new", moment)
    if order.status not in TRADABLE:
        return None
    if order.awaits_stop:
        return _watch(order, moment)
    return None if moment.rules.mode == "hold" else _trade(order, moment)


def closing_event(order: Order, moment: Moment) -> Moved | Filled | None:
    """What the closing bell does: on-close orders trade or are canceled, day orders expire."""
    if order.status == "pending_cancel":
        return _move(order, "canceled", moment)
    if order.status not in TRADABLE:
        return None
    if order.time_in_force == "gtc" and moment.at < order.expires_at:
        return None
    if order.time_in_force == "cls":
        if is_marketable(order, moment.quote):
            return _fill(order, moment, final=True)
        return _move(order, "canceled", moment)
    return _move(order, "expired", moment)


def _move(order: Order, status: str, moment: Moment) -> Moved:
    return Moved(order.id, status, moment.at, moment.ids.event_id(moment.at))


def _watch(order: Order, moment: Moment) -> Trailed | Triggered | None:
    hwm = new_mark(order, moment.quote)
    if hwm is not None:
        stop_price = trailed_stop(order.side, hwm, order.trail_price, order.trail_percent)
        return Trailed(order.id, hwm, stop_price, moment.at)
    return Triggered(order.id, moment.at) if is_reached(order, moment.quote) else None


def _trade(order: Order, moment: Moment) -> Moved | Filled | None:
    if order.time_in_force == "cls" and moment.has_auctions:
        return None
    is_over = order.time_in_force in IMMEDIATE and order.status == "partially_filled"
    if not is_over and is_marketable(order, moment.quote):
        in_parts = moment.rules.mode == "partial" and order.status == "new"
        return _fill(order, moment, final=not (in_parts and _first_part(order)))
    if order.time_in_force in IMMEDIATE:
        return _move(order, "canceled", moment)
    return None


def _first_part(order: Order) -> Decimal:
    """Half of the order in whole shares; 0 where it cannot or may not be divided."""
    if order.qty is None or order.time_in_force == "fok":
        return Decimal(0)
    return order.qty // 2


def _fill(order: Order, moment: Moment, *, final: bool) -> Filled:
    price = moment.quote.ask if order.side == "buy" else moment.quote.bid
    return Filled(
        order_id=order.id,
        execution_id=moment.ids.uuid(),
        price=price,
        qty=_remaining_at(order, price) if final else _first_part(order),
        final=final,
        at=moment.at,
        event_id=moment.ids.event_id(moment.at),
    )


def _remaining_at(order: Order, price: Decimal) -> Decimal:
    if order.qty is not None:
        return order.qty - order.filled_qty
    # Dollars buy what they buy at this price, to nine decimals; and sell no more than is held.
    bought = cut((order.notional or Decimal(0)) / price, NANO)
    return min(bought, order.sized_qty) if order.is_closing else bought
