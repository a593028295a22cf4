"""When a stop order awakes, and how a trailing one follows the market. Pure.

A stop watches the price its order would trade at: the ask for a buy, the bid for a sell.
"""

from decimal import Decimal

from sandbox.market import Quote
from sandbox.orders import Order, Side

PERCENT = 100


def watched_price(side: Side, quote: Quote) -> Decimal:
    """The price a stop of this side waits for (USD)."""
    return quote.ask if side == "buy" else quote.bid


def trailed_stop(
    side: Side, hwm: Decimal, trail_price: Decimal | None, trail_percent: Decimal | None
) -> Decimal:
    """The stop so many dollars, or per cent of the high water mark, away from that mark."""
    away = hwm * (trail_percent or 0) / PERCENT if trail_price is None else trail_price
    return hwm + away if side == "buy" else hwm - away


def new_mark(order: Order, quote: Quote) -> Decimal | None:
    """The high water mark a trailing stop moves to; None where it stays."""
    if order.type != "trailing_stop":
        return None
    price = watched_price(order.side, quote)
    if order.hwm is None:
        return price
    is_better = price < order.hwm if order.side == "buy" else price > order.hwm
    return price if is_better else None


def is_reached(order: Order, quote: Quote) -> bool:
    """Whether the market has come to the order's stop price."""
    if order.stop_price is None:
        return False
    price = watched_price(order.side, quote)
    return price >= order.stop_price if order.side == "buy" else price <= order.stop_price
