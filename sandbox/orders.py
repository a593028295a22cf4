"""An order as the broker holds it: its fields, its states, its JSON."""

from decimal import Decimal
from typing import Literal

import msgspec

from sandbox.amounts import ZERO, text, text_or_none
from sandbox.instants import rfc3339, rfc3339_or_none

Side = Literal["buy", "sell"]
OrderType = Literal["market", "limit", "stop", "stop_limit", "trailing_stop"]
TimeInForce = Literal["day", "gtc", "ioc", "fok", "opg", "cls"]
Intent = Literal["buy_to_open", "buy_to_close", "sell_to_open", "sell_to_close"]

FINAL = frozenset({"filled", "canceled", "expired", "replaced", "rejected"})
# What `status=closed` lists besides the final states.
CLOSED = FINAL | {"done_for_day"}

# Which state may follow which. `pending_cancel` still fills: the cancel is only a request.
FOLLOWING: dict[str, frozenset[str]] = {
    "accepted": frozenset({"new", "pending_cancel", "canceled", "expired", "rejected"}),
    "pending_new": frozenset({"new", "pending_cancel", "canceled", "rejected"}),
    "new": frozenset({"partially_filled", "filled", "pending_cancel", "canceled", "expired"}),
    "partially_filled": frozenset(
        {"partially_filled", "filled", "pending_cancel", "canceled", "expired"}
    ),
    "pending_cancel": frozenset({"canceled", "partially_filled", "filled", "expired"}),
}

# They wait for a price before they may trade at all.
STOP_TYPES = ("stop", "stop_limit", "trailing_stop")
# A buy stop becomes a limit order, so much above its stop: 4 % below 50 USD, 2.5 % from there on
# ([DOC] orders-at-alpaca). What the order's JSON then says is not recorded: here it stays a stop.
STOP_SPLIT = 50
STOP_CUSHIONS = (Decimal("1.04"), Decimal("1.025"))

# Average prices are shown to six decimals.
AVERAGE_STEP = Decimal("0.000001")


class Order(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One order; instants are nanoseconds since 1970, amounts USD or shares.

    `sized_qty` is the quantity the books reckon with: `qty`, or for a notional order what its
    dollars buy at the price of acceptance. `reserve_price` is what a share was expected to cost.
    A trailing stop's `hwm` and `stop_price` follow the market from its first open moment on.
    """

    id: str
    account_id: str
    client_order_id: str
    asset_id: str
    symbol: str
    side: Side
    type: OrderType
    time_in_force: TimeInForce
    position_intent: Intent
    sized_qty: Decimal
    reserve_price: Decimal
    created_at: int
    updated_at: int
    expires_at: int
    status: str
    qty: Decimal | None = None
    notional: Decimal | None = None
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    trail_price: Decimal | None = None
    trail_percent: Decimal | None = None
    hwm: Decimal | None = None
    triggered_at: int | None = None
    extended_hours: bool = False
    order_class: str = ""
    filled_qty: Decimal = ZERO
    filled_cost: Decimal = ZERO
    filled_at: int | None = None
    canceled_at: int | None = None
    expired_at: int | None = None
    failed_at: int | None = None
    cancel_requested_at: int | None = None

    @property
    def is_final(self) -> bool:
        """Whether nothing more can happen to the order."""
        return self.status in FINAL

    @property
    def is_closing(self) -> bool:
        """Whether the order reduces a position (and holds its shares rather than cash)."""
        return self.position_intent in ("buy_to_close", "sell_to_close")

    @property
    def awaits_stop(self) -> bool:
        """Whether its stop price has to come before it may trade."""
        return self.type in STOP_TYPES and self.triggered_at is None

    @property
    def bound(self) -> Decimal | None:
        """The worst price it trades at; None for any."""
        return worst_price(self.type, self.side, self.limit_price, self.stop_price)

    @property
    def remaining_qty(self) -> Decimal:
        """Shares not filled yet (for a notional order: about so many)."""
        return self.sized_qty - self.filled_qty

    @property
    def reserved_cash(self) -> Decimal:
        """Buying power the open rest of the order holds."""
        return ZERO if self.is_closing else self.remaining_qty * self.reserve_price


def worst_price(
    order_type: OrderType, side: Side, limit_price: Decimal | None, stop_price: Decimal | None
) -> Decimal | None:
    """The limit an order of these fields trades within; None where it takes any price."""
    if limit_price is None and order_type == "stop" and side == "buy" and stop_price is not None:
        return stop_price * STOP_CUSHIONS[stop_price >= STOP_SPLIT]
    return limit_price


def average_price(order: Order) -> Decimal | None:
    """The mean price of the order's executions, or None before the first."""
    if not order.filled_qty:
        return None
    return (order.filled_cost / order.filled_qty).quantize(AVERAGE_STEP)


def render_order(order: Order) -> dict[str, object]:
    """The order as Alpaca's REST answers it: every key present, null when unset."""
    return {
        "id": order.id,
        "client_order_id": order.client_order_id,
        "created_at": rfc3339(order.created_at),
        "updated_at": rfc3339(order.updated_at),
        "submitted_at": rfc3339(order.created_at),
        "filled_at": rfc3339_or_none(order.filled_at),
        "expired_at": rfc3339_or_none(order.expired_at),
        "expires_at": rfc3339(order.expires_at),
        "canceled_at": rfc3339_or_none(order.canceled_at),
        "failed_at": rfc3339_or_none(order.failed_at),
        "replaced_at": None,
        "replaced_by": None,
        "replaces": None,
        "asset_id": order.asset_id,
        "symbol": order.symbol,
        "asset_class": "us_equity",
        "notional": text_or_none(order.notional),
        "qty": text_or_none(order.qty),
        "filled_qty": text(order.filled_qty),
        "filled_avg_price": text_or_none(average_price(order)),
        "order_class": order.order_class,
        "order_type": order.type,
        "type": order.type,
        "side": order.side,
        "position_intent": order.position_intent,
        "time_in_force": order.time_in_force,
        "limit_price": text_or_none(order.limit_price),
        "stop_price": text_or_none(order.stop_price),
        "status": order.status,
        "extended_hours": order.extended_hours,
        "legs": None,
        "trail_percent": text_or_none(order.trail_percent),
        "trail_price": text_or_none(order.trail_price),
        "hwm": text_or_none(order.hwm),
        "subtag": None,
        "source": None,
    }
