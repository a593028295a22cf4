"""Account, clock, calendar, assets: the published shapes, through the real alpaca-py."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from alpaca.common.exceptions import APIError
from alpaca.trading.enums import AssetClass, AssetExchange
from alpaca.trading.requests import GetAssetsRequest, GetCalendarRequest

from tests.support.openapi import TRADING, check, properties

pytestmark = pytest.mark.contract

# Beside the schema's own: fields the recorded answers have.
ACCOUNT_EXTRAS = {
    "crypto_tier",
    "effective_buying_power",
    "position_market_value",
    "user_configurations",
    "admin_configurations",
    "portfolio_value",
}
# Only crypto assets carry these.
CRYPTO_ONLY = {"min_order_size", "min_trade_increment", "price_increment"}
GONE = {"pattern_day_trader", "daytrade_count", "daytrading_buying_power"}


def test_an_account_has_every_field_and_the_published_shape(raw: Any) -> None:
    account = raw.get_account()

    check(TRADING, "/v2/account", account)
    assert properties(TRADING, "Account") | ACCOUNT_EXTRAS <= set(account)
    assert not GONE & set(account)


def test_a_new_account_holds_ten_million_dollars_in_cash(parsed: Any) -> None:
    account = parsed.get_account()

    assert account.cash == account.equity == "10000000"
    assert account.buying_power == "20000000"
    assert account.account_number.startswith("PA")
    assert account.options_trading_level == 3
    assert account.status.value == "ACTIVE"


def test_the_clock_is_open_and_in_new_york_time(raw: Any, parsed: Any) -> None:
    clock = raw.get_clock()

    check(TRADING, "/v2/clock", clock)
    assert clock["is_open"] is True
    assert clock["timestamp"][-6:] in ("-05:00", "-04:00")
    assert parsed.get_clock().next_close > parsed.get_clock().timestamp


def test_the_calendar_knows_holidays_and_early_closings(raw: Any) -> None:
    days = raw.get_calendar(GetCalendarRequest(start=date(2026, 11, 25), end=date(2026, 11, 30)))

    check(TRADING, "/v2/calendar", days)
    assert [(day["date"], day["close"]) for day in days] == [
        ("2026-11-25", "16:00"),
        ("2026-11-27", "13:00"),
        ("2026-11-30", "16:00"),
    ]
    assert days[0]["settlement_date"] == "2026-11-27"


def test_the_calendar_parses(parsed: Any) -> None:
    days = parsed.get_calendar(GetCalendarRequest(start=date(2026, 1, 5), end=date(2026, 1, 5)))

    assert [day.open.hour for day in days] == [9]


def test_the_whole_calendar_is_answered_without_bounds(raw: Any) -> None:
    days = raw.get_calendar()

    assert days[0]["date"].startswith("1970-01")
    assert days[-1]["date"].startswith("2029-12")


def test_assets_have_every_field_and_the_published_shape(raw: Any) -> None:
    assets = raw.get_all_assets()

    check(TRADING, "/v2/assets", assets)
    assert len(assets) > 55
    for asset in assets:
        assert properties(TRADING, "Assets") - CRYPTO_ONLY <= set(asset)
        assert "easy_to_borrow" in asset


def test_assets_parse_and_filter(parsed: Any) -> None:
    arca = parsed.get_all_assets(GetAssetsRequest(exchange=AssetExchange.ARCA))
    crypto = parsed.get_all_assets(GetAssetsRequest(asset_class=AssetClass.CRYPTO))

    assert "SPY" in {asset.symbol for asset in arca}
    assert {asset.exchange for asset in arca} == {AssetExchange.ARCA}
    assert crypto == []


@pytest.mark.parametrize("symbol", ["AAPL", "BRK.B", "QWXYZ"])
def test_an_asset_is_found_by_symbol_and_by_id(parsed: Any, symbol: str) -> None:
    by_symbol = parsed.get_asset(symbol)
    by_id = parsed.get_asset(by_symbol.id)

    assert by_symbol == by_id
    assert by_symbol.symbol == symbol


def test_one_asset_has_the_published_shape(raw: Any) -> None:
    check(TRADING, "/v2/assets/{symbol_or_asset_id}", raw.get_asset("MSFT"))


def test_an_unknown_asset_is_404(raw: Any) -> None:
    with pytest.raises(APIError) as refused:
        raw.get_asset("ZZZZ")

    assert refused.value.status_code == 404
    assert refused.value.code == 40410000
    assert refused.value.message == "asset not found for ZZZZ"


def test_an_account_without_trades_has_no_positions(raw: Any) -> None:
    assert raw.get_all_positions() == []
    with pytest.raises(APIError, match="position does not exist") as refused:
        raw.get_open_position("AAPL")
    assert refused.value.status_code == 404


def test_money_is_text_without_idle_zeros(raw: Any) -> None:
    account = raw.get_account()

    for name in ("cash", "equity", "buying_power", "initial_margin", "sma"):
        assert isinstance(account[name], str)
        assert format(Decimal(account[name]).normalize(), "f") == account[name]
