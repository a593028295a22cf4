"""May this order be accepted? The checks that need the books, in the order Alpaca's bodies show.

Pure: the answer is an event or a refusal; the books are changed by whoever applies the event.
"""

from decimal import Decimal
from typing import NamedTuple

from sandbox.amounts import NANO, cut
from sandbox.events import Moved, Placed
from sandbox.exchange import Account
from sandbox.ids import Ids
from sandbox.market import Market, Quote
from sandbox.order_request import OrderRequest
from sandbox.orders import Intent, Order, worst_price
from sandbox.refusals import (
    DuplicateClientOrderIdError,
    forbidden,
    insufficient_buying_power,
    insufficient_qty,
    unprocessable,
    wash_trade,
)
from sandbox.stops import trailed_stop, watched_price
from sandbox.universe import Listing
from sandbox.valuation import appraise

# Alpaca reserves 3 % above the ask for a short sale ([DOC] orders-at-alpaca).
SHORT_CUSHION = Decimal("1.03")
MIN_NOTIONAL = 1
# An order under cancellation is already asked to go; asking again changes nothing.
CANCEL_ASKED = "pending_cancel"


class Arrival(NamedTuple):
    """What the venue knows about a submit besides its body."""

    at: int
    expires_at: int
    is_open: bool
    ids: Ids


def accept_order(
    account: Account, request: OrderRequest, *, market: Market, arrival: Arrival
) -> Placed:
    """Decide on a submit: `pending_new` while the market is open, else `accepted`.

    Raises:
        RefusedError: the order breaks a rule; nothing is spent, not even its client_order_id.
    """
    _check_unspent(account, request)
    listing = market.listing(request.symbol)
    if listing is None:
        raise unprocessable(f'asset "{request.symbol}" not found')
    intent = _infer_intent(account, request, listing.symbol)
    quote = market.quote(listing.symbol, arrival.at)
    price = _expected_price(request, quote, intent)
    order = _draft(account, request, listing, price, intent, arrival)
    if arrival.is_open and order.type == "trailing_stop":
        _begin_trail(order, quote)
    _check_asset(account, request, listing, order)
    _check_wash_trade(account, order)
    if order.is_closing:
        _check_shares(account, order)
    else:
        _check_buying_power(account, order, market, arrival.at)
    # A closed market tells the stream that it took the order; an open one says `new` next.
    event_id = None if arrival.is_open else arrival.ids.event_id(arrival.at)
    return Placed(order, arrival.at, event_id)


def request_cancel(order: Order, *, at: int, ids: Ids) -> Moved | None:
    """Decide on a cancel; None where one is already under way.

    Raises:
        RefusedError: the order is final.
    """
    if order.is_final:
        raise unprocessable(f'order is already in "{order.status}" state')
    if order.status == CANCEL_ASKED:
        return None
    return Moved(order.id, CANCEL_ASKED, at, ids.event_id(at))


def _check_unspent(account: Account, request: OrderRequest) -> None:
    spent = account.by_client_order_id.get(request.client_order_id or "")
    if spent is not None:
        raise DuplicateClientOrderIdError(spent.id)


def _infer_intent(account: Account, request: OrderRequest, symbol: str) -> Intent:
    held = account.position_qty(symbol)
    inferred: Intent
    if request.side == "buy":
        inferred = "buy_to_close" if held < 0 else "buy_to_open"
    else:
        inferred = "sell_to_close" if held > 0 else "sell_to_open"
    if request.position_intent not in (None, inferred):
        raise unprocessable(
            f"position intent mismatch, inferred: {inferred}, specified: {request.position_intent}"
        )
    return inferred


def _expected_price(request: OrderRequest, quote: Quote, intent: Intent) -> Decimal:
    if intent == "sell_to_open":
        return max(request.limit_price or quote.ask, quote.ask * SHORT_CUSHION)
    bound = worst_price(request.type, request.side, request.limit_price, request.stop_price)
    if bound is not None:
        return bound
    price = watched_price(request.side, quote)
    if request.type == "trailing_stop":
        # A buy costs what its stop is at the worst: the mark only comes down from here.
        return trailed_stop(request.side, price, request.trail_price, request.trail_percent)
    return price


def _begin_trail(order: Order, quote: Quote) -> None:
    order.hwm = watched_price(order.side, quote)
    order.stop_price = trailed_stop(order.side, order.hwm, order.trail_price, order.trail_percent)


def _draft(
    account: Account,
    request: OrderRequest,
    listing: Listing,
    price: Decimal,
    intent: Intent,
    arrival: Arrival,
) -> Order:
    sized = request.qty if request.qty is not None else cut((request.notional or 0) / price, NANO)
    return Order(
        id=arrival.ids.uuid(),
        account_id=account.account_id,
        client_order_id=request.client_order_id or arrival.ids.uuid(),
        asset_id=listing.asset_id,
        symbol=listing.symbol,
        side=request.side,
        type=request.type,
        time_in_force=request.time_in_force,
        position_intent=intent,
        sized_qty=sized,
        reserve_price=price,
        created_at=arrival.at,
        updated_at=arrival.at,
        expires_at=arrival.expires_at,
        status="pending_new" if arrival.is_open else "accepted",
        qty=request.qty,
        notional=request.notional,
        limit_price=request.limit_price,
        stop_price=request.stop_price,
        trail_price=request.trail_price,
        trail_percent=request.trail_percent,
        extended_hours=request.extended_hours,
        order_class=request.order_class,
    )


def _check_asset(account: Account, request: OrderRequest, listing: Listing, order: Order) -> None:
    if request.is_fractional and not listing.fractionable:
        raise forbidden(f'asset "{listing.symbol}" is not fractionable')
    if request.notional is not None and request.notional < MIN_NOTIONAL:
        raise forbidden(f"cost basis must be >= minimal amount of order {MIN_NOTIONAL}")
    if order.position_intent == "sell_to_open":
        _check_short(account, request, listing)


def _check_short(account: Account, request: OrderRequest, listing: Listing) -> None:
    if request.is_fractional:
        raise unprocessable("fractional orders cannot be sold short")
    if not account.shorting_enabled:
        raise forbidden("account is not allowed to short")
    if not listing.shortable:
        raise unprocessable(f'asset "{listing.symbol}" cannot be sold short')


def _check_wash_trade(account: Account, order: Order) -> None:
    """Refuse an order that could trade with another of the account; trailing stops are exempt."""
    for other in account.open_orders.values():
        if other.symbol == order.symbol and other.side != order.side and _would_meet(other, order):
            raise wash_trade(
                existing_order_id=other.id, existing_is_limit=other.limit_price is not None
            )


def _would_meet(one: Order, other: Order) -> bool:
    """Opposite orders meet unless both have limits and the buyer's is below the seller's."""
    if "trailing_stop" in (one.type, other.type):
        return False
    buy, sell = (one, other) if one.side == "buy" else (other, one)
    if buy.limit_price is None or sell.limit_price is None:
        return True
    return buy.limit_price >= sell.limit_price


def _check_shares(account: Account, order: Order) -> None:
    existing = abs(account.position_qty(order.symbol))
    held = account.held_qty(order.symbol)
    if order.sized_qty > existing - held:
        raise insufficient_qty(
            symbol=order.symbol,
            requested=order.sized_qty,
            existing=existing,
            held=held,
            related=[other.id for other in account.reserving_orders(order.symbol)],
        )


def _check_buying_power(account: Account, order: Order, market: Market, at: int) -> None:
    buying_power = appraise(account, market, at).buying_power
    cost = order.reserved_cash
    if cost > buying_power:
        raise insufficient_buying_power(buying_power=buying_power, cost_basis=cost)
