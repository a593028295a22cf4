"""Books in memory for tests of the pure rules: predictable ids, a still market, a set clock."""

from collections.abc import Iterator
from decimal import Decimal
from itertools import count
from typing import Any

from sandbox.acceptance import Arrival, accept_order, request_cancel
from sandbox.events import AccountOpened, Filled, Moved, Trailed, Triggered
from sandbox.exchange import Account, Exchange
from sandbox.ids import Ids
from sandbox.instants import SECOND
from sandbox.market import Market
from sandbox.matching import FillRules, Moment, closing_event, next_event
from sandbox.order_request import read_order_request
from sandbox.orders import Order

ACCOUNT = "account_001"
# A Wednesday, 15:00 in New York.
NOON = 1_790_000_000 * SECOND
BID, ASK = Decimal("99.99"), Decimal("100.01")


def numbered_ids() -> Ids:
    """Ids that count: 1, 2, 3."""
    numbers: Iterator[int] = count(1)
    return Ids(uuid=lambda: f"id-{next(numbers)}", event_id=lambda _: f"event-{next(numbers)}")


class Books:
    """One account in an exchange whose AAPL stands at 99.99 to 100.01."""

    def __init__(self, cash: str = "100000") -> None:
        self.exchange = Exchange()
        self.market = Market()
        self.market.pin("AAPL", bid=BID, ask=ASK)
        self.ids = numbered_ids()
        self.at = NOON
        self.exchange.apply(AccountOpened(ACCOUNT, NOON, Decimal(cash)))

    @property
    def account(self) -> Account:
        """The account."""
        return self.exchange.accounts[ACCOUNT]

    def place(self, *, is_open: bool = True, **fields: Any) -> Order:
        """Accept an order (1 AAPL, buy, market, day unless told otherwise)."""
        body = {
            "symbol": "AAPL",
            "qty": "1",
            "side": "buy",
            "type": "limit" if "limit_price" in fields else "market",
            "time_in_force": "day",
            **fields,
        }
        arrival = Arrival(self._tick(), NOON + 3600 * SECOND, is_open, self.ids)
        request = read_order_request({k: v for k, v in body.items() if v is not None})
        placed = accept_order(self.account, request, market=self.market, arrival=arrival)
        self.exchange.apply(placed)
        return placed.order

    def cancel(self, order: Order) -> Moved | None:
        """Ask for a cancel."""
        moved = request_cancel(order, at=self._tick(), ids=self.ids)
        if moved is not None:
            self.exchange.apply(moved)
        return moved

    def step(
        self, order: Order, *, mode: str = "full", is_open: bool = True, has_auctions: bool = False
    ) -> Moved | Trailed | Triggered | Filled | None:
        """What the market does next to the order, done."""
        moment = self.moment(mode=mode, is_open=is_open, has_auctions=has_auctions)
        event = next_event(order, moment)
        if event is not None:
            self.exchange.apply(event)
        return event

    def ring_out(self, order: Order) -> Moved | Filled | None:
        """What the closing bell does to the order, done."""
        event = closing_event(order, self.moment(has_auctions=True, is_open=False))
        if event is not None:
            self.exchange.apply(event)
        return event

    def settle(self, order: Order, mode: str = "full") -> Order:
        """Step until nothing more happens."""
        while not order.is_final and self.step(order, mode=mode) is not None:
            pass
        return order

    def moment(
        self, *, mode: str = "full", is_open: bool = True, has_auctions: bool = False
    ) -> Moment:
        """The market around AAPL now."""
        at = self._tick()
        return Moment(
            at=at,
            quote=self.market.quote("AAPL", at),
            is_open=is_open,
            has_auctions=has_auctions,
            rules=FillRules(mode=mode),  # type: ignore[arg-type] # tests name the modes
            ids=self.ids,
        )

    def _tick(self) -> int:
        self.at += 1
        return self.at
