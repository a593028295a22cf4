"""The running broker: decides, writes to the ledger, changes the books, tells the stream.

Everything here runs on one event loop and never waits, so each method is one indivisible step.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson

from sandbox.acceptance import Arrival, accept_order, request_cancel
from sandbox.conditions import Conditions, Terms
from sandbox.events import AccountChanged, AccountOpened, Filled, Moved, Placed
from sandbox.exchange import Account, Exchange
from sandbox.hours import Hours
from sandbox.ids import random_ids
from sandbox.instants import RisingClock
from sandbox.ledger import Ledger, Received, Stepped, Switched
from sandbox.market import Market
from sandbox.matching import Moment, can_only_wait, closing_event, next_event
from sandbox.order_request import read_order_request
from sandbox.orders import Order
from sandbox.refusals import (
    DuplicateClientOrderIdError,
    RefusedError,
    malformed_body,
    not_found,
)
from sandbox.sessions import new_york
from sandbox.switches import AccountSwitch
from sandbox.timeframes import Days
from sandbox.updates import render_update

# From acceptance to `new`, and from a cancel request to `canceled`.
ROUTING_SECONDS = 0.002
# How often resting orders are compared with moving prices, and the clock with the bells.
SWEEP_SECONDS = 0.25
# Bodies that are not JSON are kept as text, up to here.
MAX_KEPT_TEXT = 4096

Publish = Callable[[str, bytes], None]
Decision = TypeVar("Decision")


@dataclass(frozen=True, slots=True)
class Visit:
    """One request that could change something, before it is decided on."""

    request_id: str
    account: str | None
    method: str
    path: str
    body: bytes
    fault: str | None = None


class Venue:
    """The broker's books in motion."""

    def __init__(self, ledger: Ledger, terms: Terms, publish: Publish) -> None:
        self.exchange = Exchange()
        self.conditions = Conditions(terms)
        self.ledger = ledger
        self.clock = RisingClock()
        self._cash = terms.cash
        self._publish = publish
        self._ids = random_ids()
        self._was_open = False

    def recover(self) -> None:
        """Rebuild books and switches from the ledger; nothing is written or told.

        Raises:
            LedgerError: the ledger is damaged.
        """
        for line in self.ledger.recover():
            self.clock.hear_of(line.at)
            if isinstance(line, Switched):
                self.conditions.turn(line.name, line.body)
            else:
                self.exchange.apply_all(line.events)
        self._was_open = self.hours.is_open(self.clock.now())

    @property
    def market(self) -> Market:
        """The prices."""
        return self.conditions.market

    @property
    def hours(self) -> Hours:
        """The opening hours in force."""
        return self.conditions.hours

    def trading_days(self) -> Days:
        """The days that have bars: where the market never closes, today is one of them."""
        now = self.clock.now()
        is_endless = self.hours.mode == "always-open"
        return Days(new_york(now).date() if is_endless else None)

    def account(self, account_id: str) -> Account:
        """The account's books; its first use opens it with the starting cash."""
        account = self.exchange.accounts.get(account_id)
        if account is None:
            at = self.clock.now()
            self._commit(Stepped(at, [AccountOpened(account_id, at, self._cash)]))
            account = self.exchange.accounts[account_id]
        return account

    def place_order(self, visit: Visit) -> Order:
        """Decide on a submit, write it down, and let the market have the order.

        Raises:
            RefusedError: refused (and written down as such).
        """
        line = self._line(visit)
        placed = self._decide(line, lambda: self._accept(line))
        line.status, line.order_id = 200, placed.order.id
        line.events = [placed]
        self._commit(line)
        self._wake(placed.order.id, ROUTING_SECONDS)
        return placed.order

    def cancel_order(self, visit: Visit, order_id: str) -> None:
        """Decide on a cancel and write it down; the order is `pending_cancel` for a moment.

        Raises:
            RefusedError: refused (and written down as such).
        """
        line = self._line(visit)
        line.order_id = order_id
        moved = self._decide(line, lambda: self._cancel(line.account, order_id, line.at))
        line.status = 204
        line.events = [moved] if moved is not None else []
        self._commit(line)
        self._wake(order_id, ROUTING_SECONDS)

    def cancel_all(self, visit: Visit) -> list[str]:
        """Ask for the cancel of every open order of the account; returns their ids."""
        line = self._line(visit)
        open_orders = list(self.account(line.account or "").open_orders.values())
        asked = [request_cancel(order, at=line.at, ids=self._ids) for order in open_orders]
        line.status = 207
        line.events = [moved for moved in asked if moved is not None]
        self._commit(line)
        for order in open_orders:
            self._wake(order.id, ROUTING_SECONDS)
        return [order.id for order in open_orders]

    def note_unheard(self, visit: Visit, status: int | None) -> None:
        """Write down a request that a fault or a limit answered (None: nobody answered)."""
        line = self._line(visit)
        line.status = status
        self.ledger.append(line)

    def find_order(self, account_id: str, order_id: str) -> Order:
        """The account's order of that id.

        Raises:
            RefusedError: 404, for an unknown id and for another account's.
        """
        order = self.exchange.order_of(account_id, order_id)
        if order is None:
            raise not_found(f"order not found for {order_id}")
        return order

    def turn(self, name: str, body: object) -> None:
        """Turn the switch `market`, `fills` or `prices`; it stays so after a restart.

        Raises:
            RefusedError: 422, the body is wrong; nothing was turned.
        """
        self.conditions.turn(name, body)
        self.ledger.append(Switched(self.clock.now(), name, body))
        self.sweep()

    def change_account(self, switch: AccountSwitch) -> None:
        """Set an account's cash or its right to sell short."""
        self.account(switch.account)
        at = self.clock.now()
        changed = AccountChanged(switch.account, at, switch.cash, switch.shorting_enabled)
        self._commit(Stepped(at, [changed]))

    async def watch_market(self) -> None:
        """Compare resting orders with the moving market, for ever."""
        while True:
            self.sweep()
            await asyncio.sleep(SWEEP_SECONDS)

    def sweep(self) -> None:
        """One look at every open order: what the market does to it now, and what a bell does."""
        at = self.clock.now()
        is_open = self.hours.is_open(at)
        rings_out = self._was_open and not is_open
        self._was_open = is_open
        for symbol, orders in list(self.exchange.working.items()):
            quote = self.market.quote(symbol, at)
            for order in list(orders.values()):
                if rings_out or self.conditions.is_over(order, at):
                    self._close(order)
                elif not can_only_wait(order, quote) and self.conditions.is_due(order, at):
                    self._step(order.id)

    def _close(self, order: Order) -> None:
        event = closing_event(order, self._moment(order))
        if event is not None:
            self._commit(Stepped(event.at, [event]))

    def _step(self, order_id: str) -> None:
        order = self.exchange.orders[order_id]
        event = None if order.is_final else next_event(order, self._moment(order))
        if event is None:
            return
        self._commit(Stepped(event.at, [event]))
        if not order.is_final:
            self._wake(order_id, self.conditions.rules_of(order).delay_ms / 1000)

    def _wake(self, order_id: str, seconds: float) -> None:
        asyncio.get_running_loop().call_later(seconds, self._step, order_id)

    def _moment(self, order: Order) -> Moment:
        at = self.clock.now()
        return Moment(
            at=at,
            quote=self.market.quote(order.symbol, at),
            is_open=self.hours.is_open(at),
            has_auctions=self.hours.has_auctions,
            rules=self.conditions.rules_of(order),
            ids=self._ids,
        )

    def _line(self, visit: Visit) -> Received:
        body = _kept(visit.body)
        client_order_id = body.get("client_order_id") if isinstance(body, dict) else None
        return Received(
            at=self.clock.now(),
            request_id=visit.request_id,
            account=visit.account,
            method=visit.method,
            path=visit.path,
            client_order_id=client_order_id if isinstance(client_order_id, str) else None,
            body=body,
            fault=visit.fault,
        )

    def _accept(self, line: Received) -> Placed:
        if not isinstance(line.body, dict):
            raise malformed_body()
        request = read_order_request(line.body)
        self.hours.check_auction(request.time_in_force, line.at)
        arrival = Arrival(
            at=line.at,
            expires_at=self.hours.expiry(request.time_in_force, line.at),
            is_open=self.hours.is_open(line.at),
            ids=self._ids,
        )
        account = self.account(line.account or "")
        return accept_order(account, request, market=self.market, arrival=arrival)

    def _cancel(self, account_id: str | None, order_id: str, at: int) -> Moved | None:
        order = self.find_order(account_id or "", order_id)
        return request_cancel(order, at=at, ids=self._ids)

    def _decide(self, line: Received, decide: Callable[[], Decision]) -> Decision:
        """Decide; a refusal is written down before it is answered."""
        try:
            return decide()
        except RefusedError as refusal:
            line.status = refusal.status
            line.duplicate = isinstance(refusal, DuplicateClientOrderIdError)
            self.ledger.append(line)
            raise

    def _commit(self, line: Received | Stepped) -> None:
        """Write first, then change the books and tell the stream: what was told is never lost."""
        self.ledger.append(line)
        for event in line.events:
            self.exchange.apply(event)
            if isinstance(event, Placed | Moved | Filled):
                self._tell(event)

    def _tell(self, event: Placed | Moved | Filled) -> None:
        order = event.order if isinstance(event, Placed) else self.exchange.orders[event.order_id]
        position_qty = self.exchange.accounts[order.account_id].position_qty(order.symbol)
        message = render_update(event, order, position_qty)
        if message is not None:
            self._publish(order.account_id, message)


def _kept(body: bytes) -> Any:
    """The body as the ledger keeps it: parsed JSON, else text, else None."""
    if not body:
        return None
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return body[:MAX_KEPT_TEXT].decode(errors="replace")
