"""Pre-trade checks on values: what an account may order at most, and what reduces a position. Pure.

What must be counted (orders a minute and a day, repeats) is counted where an order is accepted, by
the SQL function `order_check`. Every limit ships off.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any

from opitios.core.errors import Reason
from trading.commands import OrderCommand
from trading.lifecycle import plain

# The prices that say what an order costs at most, by side and type: a buy's limit, a sell's stop.
# Any other may be filled at a better or worse price than it names: the market's counts too.
_CEILING = {
    ("buy", "limit"): "limit_price",
    ("buy", "stop_limit"): "limit_price",
    ("sell", "stop"): "stop_price",
}


@dataclass(frozen=True, slots=True)
class RiskLimits:
    """What one account may order at most; None is no limit.

    max_quantity in shares, max_notional in USD, both for one order. symbols_allowed: only these.
    duplicate_seconds: the same symbol, side, size and prices not again within so many seconds.
    """

    max_quantity: Decimal | None = None
    max_notional: Decimal | None = None
    orders_per_minute: int | None = None
    orders_per_day: int | None = None
    symbols_allowed: frozenset[str] | None = None
    symbols_denied: frozenset[str] | None = None
    duplicate_seconds: int | None = None

    @property
    def counts(self) -> bool:
        """Whether an order must be compared with earlier ones."""
        counted = (self.orders_per_minute, self.orders_per_day, self.duplicate_seconds)
        return any(limit is not None for limit in counted)


NO_LIMITS = RiskLimits()


def merged(default: RiskLimits, own: RiskLimits) -> RiskLimits:
    """Take each limit from the account's own where it has one, else from everybody's."""
    chosen = {}
    for each in fields(RiskLimits):
        value = getattr(own, each.name)
        chosen[each.name] = getattr(default, each.name) if value is None else value
    return RiskLimits(**chosen)


@dataclass(frozen=True, slots=True)
class Denial:
    """Why an order is denied: the stable reason, and a sentence with the figures."""

    reason: Reason
    detail: str


def breach(
    limits: RiskLimits, command: OrderCommand, reference: Decimal | None = None
) -> Denial | None:
    """Say which limit on a single order this one breaks; None: none of them.

    reference: the market's price in USD; None: it is not known. Where only that could say, the
    denial is `no-reference-price`.
    """
    if (denial := _symbol_breach(limits, command.symbol)) is not None:
        return denial
    most = limits.max_quantity
    if most is not None and command.qty is not None and command.qty > most:
        detail = f"qty {plain(command.qty)} is over the account's limit of {plain(most)} an order."
        return Denial(Reason.RISK_MAX_QUANTITY, detail)
    return _notional_breach(limits, command, reference)


def _symbol_breach(limits: RiskLimits, symbol: str) -> Denial | None:
    allowed, denied = limits.symbols_allowed, limits.symbols_denied
    if (allowed is None or symbol in allowed) and (denied is None or symbol not in denied):
        return None
    return Denial(Reason.RISK_SYMBOL, f"The account may not trade {symbol}.")


def _notional_breach(
    limits: RiskLimits, command: OrderCommand, reference: Decimal | None
) -> Denial | None:
    most = limits.max_notional
    if most is None:
        return None
    notional = notional_of(command, reference)
    if notional is None:
        detail = f"The market's price of {command.symbol} is not known: its notional cannot be."
        return Denial(Reason.NO_REFERENCE_PRICE, detail)
    if notional <= most:
        return None
    detail = f"About USD {notional:.2f} is over the account's limit of USD {plain(most)} an order."
    return Denial(Reason.RISK_MAX_NOTIONAL, detail)


def notional_of(command: OrderCommand, reference: Decimal | None) -> Decimal | None:
    """What the order costs at most, in USD; None where only the market could say, and did not.

    A sell's limit is the least it takes, a buy's stop the least it pays: the market's price counts
    where it is higher.
    """
    if command.notional is not None:
        return command.notional
    quantity = command.qty or Decimal(0)
    ceiling = _CEILING.get((command.side, command.type))
    if ceiling is not None:
        return quantity * Decimal(getattr(command, ceiling))
    if reference is None:
        return None
    own = [price for price in (command.limit_price, command.stop_price) if price is not None]
    return quantity * max([reference, *own])


def denial_of(found: Mapping[str, Any]) -> Denial:
    """Read what `order_check` found: `reason`, and its figures."""
    reason = next(each for each in Reason if each.slug == found["reason"])
    return Denial(reason, _sentence(reason, found))


def _sentence(reason: Reason, found: Mapping[str, Any]) -> str:
    whose = "the token's subject" if found.get("of") == "subject" else "the account"
    match reason:
        case Reason.HALTED:
            return halted(found["scope"], found["symbol"])
        case Reason.RISK_DUPLICATE:
            return f"The same order came less than {found['limit']} s ago."
        case Reason.RISK_ORDERS_PER_MINUTE:
            return f"{found['used']} orders of {whose} in a minute; its limit is {found['limit']}."
        case _:
            return f"{found['used']} orders of {whose} today; its limit is {found['limit']}."


def halted(scope: str, symbol: str | None) -> str:
    """Say what is halted."""
    match scope:
        case "global":
            return "Trading is halted."
        case "account":
            return "The account is halted."
        case _:
            return f"{symbol} is halted."


@dataclass(frozen=True, slots=True)
class Exposure:
    """A position (negative: short), and how much of it orders at the broker may close already.

    open_closing None: one of them does not say how much.
    """

    position: Decimal
    open_closing: Decimal | None


def reduces(side: str, quantity: Decimal | None, exposure: Exposure) -> bool:
    """Whether an order can only make the position smaller, whatever else fills meanwhile.

    design.md §4: opposite to the position, and quantity + open closing quantity ≤ |position|.
    """
    if quantity is None or exposure.open_closing is None:
        return False
    opposite = exposure.position > 0 if side == "sell" else exposure.position < 0
    return opposite and quantity + exposure.open_closing <= abs(exposure.position)
