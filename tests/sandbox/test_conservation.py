"""Whatever is done, cash and shares are neither made nor lost."""

from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sandbox.amounts import ZERO
from sandbox.events import Filled
from sandbox.instants import rfc3339
from sandbox.orders import render_order
from sandbox.refusals import RefusedError
from sandbox.valuation import appraise
from tests.sandbox.books import Books

CASH = Decimal(50_000)
CENTS = st.integers(min_value=5_000, max_value=20_000)


class Trading(RuleBasedStateMachine):
    """Orders, cancels, price moves and market steps in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.books = Books(cash=str(CASH))
        self.fills: list[tuple[str, Filled]] = []

    @rule(
        side=st.sampled_from(["buy", "sell"]),
        qty=st.integers(min_value=1, max_value=400),
        limit=st.none() | CENTS,
        tif=st.sampled_from(["day", "gtc", "ioc", "fok", "opg", "cls"]),
    )
    def submit(self, side: str, qty: int, limit: int | None, tif: str) -> None:
        price = {} if limit is None else {"limit_price": str(Decimal(limit).scaleb(-2))}
        self._try(side=side, qty=str(qty), time_in_force=tif, **price)

    @rule(
        side=st.sampled_from(["buy", "sell"]),
        qty=st.integers(min_value=1, max_value=400),
        stop=CENTS,
        limit=st.none() | CENTS,
    )
    def submit_stop(self, side: str, qty: int, stop: int, limit: int | None) -> None:
        price = {} if limit is None else {"limit_price": str(Decimal(limit).scaleb(-2))}
        kind = "stop" if limit is None else "stop_limit"
        self._try(
            side=side, qty=str(qty), type=kind, stop_price=str(Decimal(stop).scaleb(-2)), **price
        )

    @rule(
        side=st.sampled_from(["buy", "sell"]),
        qty=st.integers(min_value=1, max_value=400),
        tenths=st.integers(min_value=1, max_value=500),
        name=st.sampled_from(["trail_price", "trail_percent"]),
    )
    def submit_trail(self, side: str, qty: int, tenths: int, name: str) -> None:
        away = str(Decimal(tenths).scaleb(-1))
        self._try(side=side, qty=str(qty), type="trailing_stop", **{name: away})

    @rule(side=st.sampled_from(["buy", "sell"]), dollars=st.integers(min_value=1, max_value=20_000))
    def submit_dollars(self, side: str, dollars: int) -> None:
        self._try(side=side, qty=None, notional=str(dollars))

    @rule(which=st.integers(min_value=0), mode=st.sampled_from(["full", "partial", "hold"]))
    def step(self, which: int, mode: str) -> None:
        open_orders = self.books.exchange.open_orders()
        if not open_orders:
            return
        order = open_orders[which % len(open_orders)]
        event = self.books.step(order, mode=mode)
        if isinstance(event, Filled):
            self.fills.append((order.side, event))

    @rule(which=st.integers(min_value=0))
    def cancel(self, which: int) -> None:
        open_orders = self.books.exchange.open_orders()
        if open_orders:
            self.books.cancel(open_orders[which % len(open_orders)])

    @rule(cents=CENTS, spread=st.integers(min_value=1, max_value=50))
    def move_price(self, cents: int, spread: int) -> None:
        bid = Decimal(cents).scaleb(-2)
        self.books.market.pin("AAPL", bid=bid, ask=bid + Decimal(spread).scaleb(-2))

    @invariant()
    def cash_is_what_the_fills_left(self) -> None:
        spent = sum((_signed(side) * f.qty * f.price for side, f in self.fills), ZERO)
        assert self.books.account.cash == CASH - spent

    @invariant()
    def shares_are_what_the_fills_brought(self) -> None:
        bought = sum((_signed(side) * f.qty for side, f in self.fills), ZERO)
        assert self.books.account.position_qty("AAPL") == bought

    @invariant()
    def the_reserve_is_what_open_orders_hold(self) -> None:
        account = self.books.account
        held = sum((order.reserved_cash for order in account.open_orders.values()), ZERO)
        assert account.reserved == held
        assert appraise(account, self.books.market, self.books.at).buying_power >= 0

    @invariant()
    def open_orders_are_the_orders_that_are_not_final(self) -> None:
        exchange = self.books.exchange
        open_ids = {order.id for order in exchange.orders.values() if not order.is_final}
        assert set(self.books.account.open_orders) == open_ids
        assert {order.id for order in exchange.open_orders()} == open_ids

    @invariant()
    def no_stop_trades_before_its_price(self) -> None:
        for order in self.books.exchange.orders.values():
            assert not (order.awaits_stop and order.filled_qty)

    @invariant()
    def every_order_filled_what_its_fills_say(self) -> None:
        for order in self.books.exchange.orders.values():
            filled = sum((f.qty for _, f in self.fills if f.order_id == order.id), ZERO)
            assert order.filled_qty == filled
            assert order.qty is None or filled <= order.qty
            assert (order.status == "filled") == (order.filled_at is not None)
            assert render_order(order)["created_at"] == rfc3339(order.created_at)

    def _try(self, **fields: Any) -> None:
        before = len(self.books.exchange.orders)
        try:
            self.books.place(**fields)
        except RefusedError:
            assert len(self.books.exchange.orders) == before


def _signed(side: str) -> int:
    return 1 if side == "buy" else -1


TestTrading = Trading.TestCase
TestTrading.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


@given(qty=st.integers(min_value=1, max_value=300), cents=CENTS)
@settings(max_examples=50, deadline=None)
def test_a_round_trip_loses_exactly_the_spread(qty: int, cents: int) -> None:
    books = Books(cash="100000")
    bid = Decimal(cents).scaleb(-2)
    books.market.pin("AAPL", bid=bid, ask=bid + Decimal("0.02"))

    books.settle(books.place(qty=str(qty)))
    books.settle(books.place(qty=str(qty), side="sell"))

    assert books.account.cash == Decimal(100_000) - qty * Decimal("0.02")
    assert books.account.positions == {}
