"""The broker's books: accounts, positions, orders. Pure: no clock, no I/O, no chance.

Only `apply` changes them, and only by an event. Deciding which event may happen is the work of
`acceptance` (requests) and `matching` (the market); replaying the ledger rebuilds the books.
"""

from collections.abc import Iterable
from decimal import Decimal
from hashlib import sha256
from typing import NamedTuple
from uuid import NAMESPACE_DNS, UUID, uuid5

import msgspec

from sandbox.amounts import ZERO
from sandbox.events import (
    AccountChanged,
    AccountOpened,
    Event,
    Filled,
    Moved,
    Placed,
    Trailed,
    Triggered,
)
from sandbox.orders import FOLLOWING, Order

_IDS = uuid5(NAMESPACE_DNS, "accounts.sandbox.opitios")


class Position(msgspec.Struct):
    """Shares held (negative when short) and what they cost (USD, the same sign)."""

    symbol: str
    qty: Decimal
    cost: Decimal
    opened_at: int

    @property
    def avg_entry_price(self) -> Decimal:
        """What a share cost on average (USD, positive)."""
        return self.cost / self.qty

    def trade(self, *, qty: Decimal, price: Decimal) -> None:
        """Add a signed quantity at a price. Closing shares leaves the average as it was."""
        after = self.qty + qty
        if self.qty * qty >= 0:
            self.cost += qty * price
        elif self.qty * after >= 0:
            self.cost = after * self.avg_entry_price
        else:
            # Closed and turned round: the rest was entered at this price.
            self.cost = after * price
        self.qty = after


class Execution(NamedTuple):
    """One fill of an order; `cum_qty` is what the order then had."""

    at: int
    id: str
    order: Order
    qty: Decimal
    price: Decimal
    cum_qty: Decimal
    final: bool


class Transfer(NamedTuple):
    """Cash that came (USD, negative: that went) without a trade."""

    at: int
    id: str
    amount: Decimal


class Account:
    """One account's books, in USD. `deposited` is the cash it was opened with.

    `reserved` is the buying power its open orders hold: kept up with every event, because adding
    it up anew for each submit would cost more than the submit.
    """

    def __init__(self, opened: AccountOpened) -> None:
        self.account_id = opened.account_id
        self.created_at = opened.at
        self.deposited = opened.cash
        self.cash = opened.cash
        self.reserved = ZERO
        self.shorting_enabled = True
        self.id = str(uuid5(_IDS, opened.account_id))
        digits = int.from_bytes(sha256(opened.account_id.encode()).digest()[:8])
        self.number = f"PA{digits % 10**10:010d}"
        self.positions: dict[str, Position] = {}
        self.orders: list[Order] = []
        self.open_orders: dict[str, Order] = {}
        self.by_client_order_id: dict[str, Order] = {}
        self.executions: list[Execution] = []
        self.transfers: list[Transfer] = []
        self._transfer(opened.at, opened.cash)

    def change(self, changed: AccountChanged) -> None:
        """Set cash (the difference counts as deposited) and the right to sell short."""
        if changed.cash is not None:
            self._transfer(changed.at, changed.cash - self.cash)
            self.deposited += changed.cash - self.cash
            self.cash = changed.cash
        if changed.shorting_enabled is not None:
            self.shorting_enabled = changed.shorting_enabled

    def _transfer(self, at: int, amount: Decimal) -> None:
        if amount:
            number = len(self.transfers) + 1
            self.transfers.append(Transfer(at, str(uuid5(UUID(self.id), str(number))), amount))

    def position_qty(self, symbol: str) -> Decimal:
        """Shares held of a symbol: negative when short, 0 when none."""
        position = self.positions.get(symbol)
        return ZERO if position is None else position.qty

    def reserving_orders(self, symbol: str) -> list[Order]:
        """The open orders that hold shares of the position in a symbol."""
        return [
            order
            for order in self.open_orders.values()
            if order.symbol == symbol and order.is_closing
        ]

    def held_qty(self, symbol: str) -> Decimal:
        """How many shares of a position its open closing orders hold (never negative)."""
        return sum((order.remaining_qty for order in self.reserving_orders(symbol)), ZERO)


class Exchange:
    """All accounts and orders, and the open orders by symbol."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.orders: dict[str, Order] = {}
        self.working: dict[str, dict[str, Order]] = {}

    def apply(self, event: Event) -> None:
        """Write one event into the books.

        Raises:
            ValueError: the event cannot follow what the books say.
        """
        match event:
            case AccountOpened():
                self.accounts[event.account_id] = Account(event)
            case AccountChanged():
                self.accounts[event.account_id].change(event)
            case Placed():
                self._place(event.order)
            case Moved():
                self._move(self.orders[event.order_id], event.status, event.at)
            case Trailed():
                _trail(self.orders[event.order_id], event)
            case Triggered():
                self.orders[event.order_id].triggered_at = event.at
            case Filled():
                self._fill(self.orders[event.order_id], event)

    def apply_all(self, events: Iterable[Event]) -> None:
        """Write events into the books, in order."""
        for event in events:
            self.apply(event)

    def order_of(self, account_id: str, order_id: str) -> Order | None:
        """The account's order of that id; None for an unknown one and for another account's."""
        order = self.orders.get(order_id)
        return order if order is not None and order.account_id == account_id else None

    def open_orders(self) -> list[Order]:
        """Every order that is not final, of all accounts."""
        return [order for orders in self.working.values() for order in orders.values()]

    def _place(self, order: Order) -> None:
        account = self.accounts[order.account_id]
        if order.client_order_id in account.by_client_order_id:
            raise ValueError(f"client_order_id {order.client_order_id} is spent")
        self.orders[order.id] = order
        account.orders.append(order)
        account.by_client_order_id[order.client_order_id] = order
        account.open_orders[order.id] = order
        account.reserved += order.reserved_cash
        self.working.setdefault(order.symbol, {})[order.id] = order

    def _move(self, order: Order, status: str, at: int) -> None:
        if status not in FOLLOWING.get(order.status, ()):
            raise ValueError(f"order {order.id}: {status} cannot follow {order.status}")
        order.status = status
        order.updated_at = at
        if status == "pending_cancel":
            order.cancel_requested_at = at
        elif status == "canceled":
            order.canceled_at = at
        elif status == "expired":
            order.expired_at = at
        elif status == "rejected":
            order.failed_at = at
        if order.is_final:
            self._retire(order)

    def _fill(self, order: Order, fill: Filled) -> None:
        account = self.accounts[order.account_id]
        _settle(account, order, fill)
        account.reserved -= order.reserved_cash
        order.filled_qty += fill.qty
        order.filled_cost += fill.qty * fill.price
        account.reserved += order.reserved_cash
        account.executions.append(
            Execution(
                fill.at,
                fill.execution_id,
                order,
                fill.qty,
                fill.price,
                order.filled_qty,
                fill.final,
            )
        )
        if fill.final:
            order.filled_at = fill.at
            self._move(order, "filled", fill.at)
        elif order.status == "pending_cancel":
            # A partial execution does not call the cancel off.
            order.updated_at = fill.at
        else:
            self._move(order, "partially_filled", fill.at)

    def _retire(self, order: Order) -> None:
        account = self.accounts[order.account_id]
        account.reserved -= order.reserved_cash
        del account.open_orders[order.id]
        working = self.working[order.symbol]
        del working[order.id]
        if not working:
            del self.working[order.symbol]


def _trail(order: Order, event: Trailed) -> None:
    order.hwm = event.hwm
    order.stop_price = event.stop_price


def _settle(account: Account, order: Order, fill: Filled) -> None:
    """Move cash and shares; a position closed to the last share is gone."""
    signed = fill.qty if order.side == "buy" else -fill.qty
    account.cash -= signed * fill.price
    position = account.positions.get(order.symbol)
    if position is None:
        position = Position(order.symbol, ZERO, ZERO, fill.at)
        account.positions[order.symbol] = position
    position.trade(qty=signed, price=fill.price)
    if not position.qty:
        del account.positions[order.symbol]
