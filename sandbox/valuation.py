"""What an account and its positions are worth at an instant: equity, margin, buying power.

Regulation T with a multiplier of 2: half of a position's value is its initial margin, and
`buying_power` is twice the excess over it, less what open orders reserve.
"""

from decimal import Decimal
from typing import NamedTuple

from sandbox.amounts import ZERO, text
from sandbox.exchange import Account, Position
from sandbox.instants import rfc3339
from sandbox.market import Market
from sandbox.sessions import new_york, previous_closing

MULTIPLIER = 2
INITIAL_MARGIN = Decimal("0.5")
MAINTENANCE_MARGIN = Decimal("0.3")
OPTIONS_LEVEL = 3
# Ratios (`unrealized_plpc`, `change_today`) are shown to ten decimals.
RATIO_STEP = Decimal("0.0000000001")
MONEY_STEP = Decimal("0.000001")


class Worth(NamedTuple):
    """An account in dollars; `short` is negative, `reserved` is held by open orders."""

    cash: Decimal
    long: Decimal
    short: Decimal
    reserved: Decimal

    @property
    def equity(self) -> Decimal:
        """Cash and positions together."""
        return self.cash + self.long + self.short

    @property
    def exposure(self) -> Decimal:
        """The positions' value, long and short added up."""
        return self.long - self.short

    @property
    def buying_power(self) -> Decimal:
        """What new orders may cost, never negative."""
        excess = self.equity - self.exposure * INITIAL_MARGIN
        return max(excess * MULTIPLIER - self.reserved, ZERO)

    @property
    def non_marginable_buying_power(self) -> Decimal:
        """What may be spent without borrowing, never negative."""
        return max(self.equity - self.exposure * INITIAL_MARGIN - self.reserved, ZERO)


def appraise(account: Account, market: Market, at: int) -> Worth:
    """The account's worth at the market's last trades."""
    values = [
        position.qty * market.trade(position.symbol, at).price
        for position in account.positions.values()
    ]
    return Worth(
        cash=account.cash,
        long=sum((value for value in values if value > 0), ZERO),
        short=sum((value for value in values if value < 0), ZERO),
        reserved=account.reserved,
    )


def _money(amount: Decimal) -> str:
    return text(amount.quantize(MONEY_STEP))


def _ratio(part: Decimal, whole: Decimal) -> str:
    return text((part / whole).quantize(RATIO_STEP)) if whole else "0"


def render_account(account: Account, market: Market, at: int) -> dict[str, object]:
    """The body of GET /v2/account. `last_equity` is what was deposited: no day is settled here."""
    return {
        "id": account.id,
        "account_number": account.number,
        "status": "ACTIVE",
        "crypto_status": "ACTIVE",
        "currency": "USD",
        **_render_worth(appraise(account, market, at)),
        "last_equity": text(account.deposited),
        "last_maintenance_margin": "0",
        "multiplier": str(MULTIPLIER),
        "options_approved_level": OPTIONS_LEVEL,
        "options_trading_level": OPTIONS_LEVEL,
        "shorting_enabled": account.shorting_enabled,
        "trading_blocked": False,
        "transfers_blocked": False,
        "account_blocked": False,
        "trade_suspended_by_user": False,
        "accrued_fees": "0",
        "pending_reg_taf_fees": "0",
        "pending_transfer_in": "0",
        "pending_transfer_out": "0",
        "intraday_adjustments": "0",
        "balance_asof": _last_closing_day(at),
        "crypto_tier": 0,
        "user_configurations": None,
        "admin_configurations": {},
        "created_at": rfc3339(account.created_at),
    }


def _last_closing_day(at: int) -> str:
    return new_york(previous_closing(at)).date().isoformat()


def _render_worth(worth: Worth) -> dict[str, object]:
    buying_power = _money(worth.buying_power)
    return {
        "cash": _money(worth.cash),
        "equity": _money(worth.equity),
        "portfolio_value": _money(worth.equity),
        "long_market_value": _money(worth.long),
        "short_market_value": _money(worth.short),
        "position_market_value": _money(worth.exposure),
        "buying_power": buying_power,
        "regt_buying_power": buying_power,
        "effective_buying_power": buying_power,
        "non_marginable_buying_power": _money(worth.non_marginable_buying_power),
        "options_buying_power": _money(worth.non_marginable_buying_power),
        "initial_margin": _money(worth.exposure * INITIAL_MARGIN),
        "maintenance_margin": _money(worth.exposure * MAINTENANCE_MARGIN),
        "sma": _money(worth.equity),
    }


def render_positions(account: Account, market: Market, at: int) -> list[dict[str, object]]:
    """The body of GET /v2/positions, by symbol."""
    return [
        render_position(account, account.positions[symbol], market, at)
        for symbol in sorted(account.positions)
    ]


def render_position(
    account: Account, position: Position, market: Market, at: int
) -> dict[str, object]:
    """One position as Alpaca's REST answers it."""
    listing = market.listing(position.symbol)
    if listing is None:
        raise KeyError(position.symbol)
    return {
        "asset_id": listing.asset_id,
        "symbol": position.symbol,
        "exchange": listing.exchange,
        "asset_class": "us_equity",
        "asset_marginable": True,
        "qty": text(position.qty),
        "qty_available": text(_available(account, position)),
        "avg_entry_price": _money(position.avg_entry_price),
        "side": "long" if position.qty > 0 else "short",
        **_render_performance(position, market, at),
    }


def _available(account: Account, position: Position) -> Decimal:
    held = account.held_qty(position.symbol)
    return position.qty - held if position.qty > 0 else position.qty + held


def _render_performance(position: Position, market: Market, at: int) -> dict[str, object]:
    price = market.trade(position.symbol, at).price
    lastday = market.lastday_price(position.symbol, at)
    profit = position.qty * price - position.cost
    # A position opened today has gained since its entry, an older one since yesterday's close.
    since = position.cost if _is_of_today(position, at) else position.qty * lastday
    intraday = position.qty * price - since
    return {
        "market_value": _money(position.qty * price),
        "cost_basis": _money(position.cost),
        "unrealized_pl": _money(profit),
        "unrealized_plpc": _ratio(profit, abs(position.cost)),
        "unrealized_intraday_pl": _money(intraday),
        "unrealized_intraday_plpc": _ratio(intraday, abs(since)),
        "current_price": text(price),
        "lastday_price": text(lastday),
        "change_today": _ratio(price - lastday, lastday),
    }


def _is_of_today(position: Position, at: int) -> bool:
    return new_york(position.opened_at).date() == new_york(at).date()
