"""What happened: the only things that change the books, and what the ledger stores.

`event_id` is the id of the `trade_updates` message (a ULID); None where no message is sent.
"""

from decimal import Decimal

import msgspec

from sandbox.orders import Order


class AccountOpened(msgspec.Struct, tag="account_opened", frozen=True):
    """An account was used for the first time."""

    account_id: str
    at: int
    cash: Decimal


class AccountChanged(msgspec.Struct, tag="account_changed", frozen=True):
    """The sandbox's operator set an account's cash or its right to sell short (None: as is)."""

    account_id: str
    at: int
    cash: Decimal | None
    shorting_enabled: bool | None


class Placed(msgspec.Struct, tag="placed", frozen=True, omit_defaults=True):
    """An order was accepted; its client_order_id is spent from here on."""

    order: Order
    at: int
    event_id: str | None = None


class Moved(msgspec.Struct, tag="moved", frozen=True):
    """An order changed its status without trading."""

    order_id: str
    status: str
    at: int
    event_id: str


class Trailed(msgspec.Struct, tag="trailed", frozen=True):
    """A trailing stop followed the market: its high water mark, and the stop made of it."""

    order_id: str
    hwm: Decimal
    stop_price: Decimal
    at: int


class Triggered(msgspec.Struct, tag="triggered", frozen=True):
    """An order's stop price was reached: it may trade from now on."""

    order_id: str
    at: int


class Filled(msgspec.Struct, tag="filled", frozen=True):
    """An order traded: `qty` shares at `price`; `final` where nothing of it remains."""

    order_id: str
    execution_id: str
    price: Decimal
    qty: Decimal
    final: bool
    at: int
    event_id: str


Event = AccountOpened | AccountChanged | Placed | Moved | Trailed | Triggered | Filled
