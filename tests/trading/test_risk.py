"""R17: what one order may be at most, on values alone."""

from decimal import Decimal
from typing import Any

import pytest

from opitios.core.errors import Reason
from tests.support.orders import command
from trading.risk import NO_LIMITS, Exposure, RiskLimits, breach, merged, notional_of, reduces

MARKET = {"type": "market", "limit_price": None}


def reason(limits: RiskLimits, reference: str | None = None, **changed: Any) -> Reason | None:
    """Why an order is denied: 10 AAPL to buy at 187.25 unless changed."""
    price = None if reference is None else Decimal(reference)
    denial = breach(limits, command(**changed), price)
    return None if denial is None else denial.reason


def test_without_limits_everything_may_come() -> None:
    assert reason(NO_LIMITS, qty=Decimal(10**11)) is None
    assert not NO_LIMITS.counts


def test_quantity_may_be_the_limit_and_not_more() -> None:
    limits = RiskLimits(max_quantity=Decimal(10))

    assert reason(limits, qty=Decimal(10)) is None
    assert reason(limits, qty=Decimal("10.000000001")) is Reason.RISK_MAX_QUANTITY
    assert reason(limits, **MARKET, qty=None, notional=Decimal(10**9)) is None


def test_symbol_lists_allow_and_deny() -> None:
    assert reason(RiskLimits(symbols_allowed=frozenset({"AAPL"}))) is None
    assert reason(RiskLimits(symbols_allowed=frozenset())) is Reason.RISK_SYMBOL
    assert reason(RiskLimits(symbols_denied=frozenset({"AAPL"}))) is Reason.RISK_SYMBOL
    both = RiskLimits(symbols_allowed=frozenset({"AAPL"}), symbols_denied=frozenset({"AAPL"}))
    assert reason(both) is Reason.RISK_SYMBOL


TEN = {"qty": Decimal(10)}
ASKED: list[tuple[dict[str, Any], str | None, str | None]] = [
    # What is asked, the market's price, what it costs at most.
    (TEN | {"limit_price": Decimal(20)}, None, "200"),
    (TEN | {"limit_price": Decimal(20)}, "50", "200"),
    (TEN | {"side": "sell", "limit_price": Decimal("0.01")}, "50", "500"),
    (TEN | {"side": "sell", "limit_price": Decimal(60)}, "50", "600"),
    (TEN | {"side": "sell", "limit_price": Decimal(60)}, None, None),
    (TEN | MARKET, "50", "500"),
    (TEN | MARKET, None, None),
    (TEN | {"type": "stop", "limit_price": None, "stop_price": Decimal("0.01")}, "50", "500"),
    (TEN | {"type": "stop", "side": "sell", "limit_price": None, "stop_price": Decimal(40)},
     None, "400"),
    (TEN | {"type": "stop_limit", "stop_price": Decimal(30), "limit_price": Decimal(31)},
     None, "310"),
    (TEN | {"type": "trailing_stop", "limit_price": None, "trail_percent": Decimal(1)},
     "50", "500"),
    ({"qty": None, "notional": Decimal(77), **MARKET}, None, "77"),
]  # fmt: skip


@pytest.mark.parametrize(("asked", "market", "costs"), ASKED)
def test_a_notional_is_what_the_order_costs_at_most(
    asked: dict[str, Any], market: str | None, costs: str | None
) -> None:
    price = None if market is None else Decimal(market)

    found = notional_of(command(**asked), price)

    assert found == (None if costs is None else Decimal(costs))
    if found is None:
        limits = RiskLimits(max_notional=Decimal(10**9))
        assert reason(limits, market, **asked) is Reason.NO_REFERENCE_PRICE
        return
    assert reason(RiskLimits(max_notional=found), market, **asked) is None
    less = RiskLimits(max_notional=found - Decimal("0.01"))
    assert reason(less, market, **asked) is Reason.RISK_MAX_NOTIONAL


def test_an_account_s_own_limit_wins_value_by_value() -> None:
    default = RiskLimits(max_quantity=Decimal(5), orders_per_day=7)
    own = RiskLimits(max_quantity=Decimal(9), duplicate_seconds=0)

    both = merged(default, own)

    assert both == RiskLimits(max_quantity=Decimal(9), orders_per_day=7, duplicate_seconds=0)
    assert merged(NO_LIMITS, NO_LIMITS) == NO_LIMITS


REDUCING: list[tuple[str, str, str | None, str | None, bool]] = [
    # Position, side, quantity, open closing quantity, whether it reduces.
    ("100", "sell", "100", "0", True),
    ("100", "sell", "60", "40", True),
    ("100", "sell", "60.000000001", "40", False),
    ("100", "buy", "1", "0", False),
    ("-100", "buy", "100", "0", True),
    ("-100", "sell", "1", "0", False),
    ("-100", "buy", "1", "100", False),
    ("0", "sell", "1", "0", False),
    ("0", "buy", "1", "0", False),
    ("100", "sell", None, "0", False),
    ("100", "sell", "1", None, False),
]


@pytest.mark.parametrize(("position", "side", "quantity", "closing", "holds"), REDUCING)
def test_an_order_reduces_if_it_cannot_turn_the_position_around(
    position: str, side: str, quantity: str | None, closing: str | None, holds: bool
) -> None:
    asked = None if quantity is None else Decimal(quantity)
    exposure = Exposure(Decimal(position), None if closing is None else Decimal(closing))

    assert reduces(side, asked, exposure) is holds
