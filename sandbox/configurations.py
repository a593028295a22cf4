"""An account's settings, as GET /v2/account/configurations tells them."""

from sandbox.exchange import Account
from sandbox.valuation import MULTIPLIER, OPTIONS_LEVEL


def render_configurations(account: Account) -> dict[str, object]:
    """The whole object; shorting alone can be switched here (POST /sandbox/accounts)."""
    return {
        "disable_overnight_trading": False,
        "fractional_trading": True,
        "max_margin_multiplier": str(MULTIPLIER),
        "max_options_trading_level": OPTIONS_LEVEL,
        "no_shorting": not account.shorting_enabled,
        "ptp_no_exception_entry": False,
        "suspend_trade": False,
        "trade_confirm_email": "all",
    }
