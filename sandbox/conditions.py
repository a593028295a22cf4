"""What holds around the books: prices, opening hours and how orders fill. Set by switches."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from sandbox.hours import Hours, Mode
from sandbox.instants import MILLISECOND
from sandbox.market import Market
from sandbox.matching import FillRules
from sandbox.orders import Order
from sandbox.refusals import RefusedError
from sandbox.switches import FillsSwitch, MarketSwitch, read_pins, read_switch

DEFAULT_RULES = FillRules()


@dataclass(frozen=True, slots=True)
class Terms:
    """How the sandbox was started: the market's mode, an account's first cash, the price seed."""

    mode: Mode = "always-open"
    cash: Decimal = Decimal(10_000_000)
    seed: str = "opitios"
    rules: FillRules = DEFAULT_RULES


class Conditions:
    """The conditions in force: the terms of the start, changed by every switch since."""

    def __init__(self, terms: Terms) -> None:
        self.market = Market(terms.seed)
        self.hours = Hours(terms.mode)
        self._rules = {"*": terms.rules}
        self._switches: dict[str, Callable[[object], None]] = {
            "market": self._turn_market,
            "fills": self._turn_fills,
            "prices": self._turn_prices,
        }

    def turn(self, name: str, body: object) -> None:
        """Turn the switch `market`, `fills` or `prices`.

        Raises:
            RefusedError: 422, the body is wrong; nothing was turned.
        """
        self._switches[name](body)

    def rules_of(self, order: Order) -> FillRules:
        """How the order fills: its account's rules, else everybody's."""
        return self._rules.get(order.account_id) or self._rules["*"]

    def is_due(self, order: Order, at: int) -> bool:
        """Whether the order's own timer has had its time (or was lost with a killed process)."""
        return at - order.updated_at >= self.rules_of(order).delay_ms * MILLISECOND

    def is_over(self, order: Order, at: int) -> bool:
        """Whether the order's last bell rang, perhaps while no process was there to hear it."""
        return self.hours.mode == "real" and order.expires_at <= at

    def _turn_market(self, body: object) -> None:
        switch = read_switch(body, MarketSwitch)
        self.hours = Hours(switch.wanted, auctions=switch.auctions)

    def _turn_fills(self, body: object) -> None:
        switch = read_switch(body, FillsSwitch)
        rules = FillRules(switch.mode, switch.delay_ms)
        if switch.account == "*":
            # What is said to all replaces what was said to one.
            self._rules = {"*": rules}
        else:
            self._rules[switch.account] = rules

    def _turn_prices(self, body: object) -> None:
        pins = read_pins(body)
        unknown = [symbol for symbol in pins if self.market.listing(symbol) is None]
        if unknown:
            raise RefusedError(422, None, f"no such symbol: {', '.join(unknown)}")
        for symbol, pin in pins.items():
            if pin is None:
                self.market.unpin(symbol)
            else:
                self.market.pin(symbol, bid=pin.bid, ask=pin.ask)
