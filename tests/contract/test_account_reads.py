"""Configurations, portfolio history and activities: the published shapes, by real alpaca-py."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from alpaca.common.exceptions import APIError
from alpaca.trading.requests import GetPortfolioHistoryRequest

from sandbox.activities import TYPES
from tests.support.openapi import TRADING, check, enumeration, properties
from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until

pytestmark = pytest.mark.contract

ACTIVITIES = "/v2/account/activities"


def activities(raw: Any, **query: object) -> list[dict[str, Any]]:
    """A page of activities: alpaca-py's client has no method of its own for it."""
    found: list[dict[str, Any]] = raw.get("/account/activities", query)
    return found


@pytest.fixture
def traded(broker: SandboxProcess, account: str, raw: Any) -> Any:
    """A client whose account bought 3 AAPL in two fills, then sold 1."""
    broker.post("fills", {"mode": "partial", "account": account})
    bought = raw.post("/orders", order("3", "buy"))
    until(lambda: raw.get_order_by_id(bought["id"])["status"] == "filled")
    broker.release_fills(account)
    sold = raw.post("/orders", order("1", "sell"))
    until(lambda: raw.get_order_by_id(sold["id"])["status"] == "filled")
    return raw


def order(qty: str, side: str) -> dict[str, str]:
    """A market order for AAPL."""
    body = {"symbol": "AAPL", "type": "market", "time_in_force": "day"}
    return body | {"qty": qty, "side": side}


def refused(call: Any) -> APIError:
    """What the call is refused with."""
    with pytest.raises(APIError) as error:
        call()
    return error.value


def test_configurations_have_every_field_and_parse(raw: Any, parsed: Any) -> None:
    told = raw.get_account_configurations()

    check(TRADING, "/v2/account/configurations", told)
    assert properties(TRADING, "AccountConfigurations") <= set(told)
    assert parsed.get_account_configurations().no_shorting is False


def test_an_account_that_may_not_sell_short_says_so(
    broker: SandboxProcess, account: str, raw: Any
) -> None:
    broker.post("accounts", {"account": account, "shorting_enabled": False})

    assert raw.get_account_configurations()["no_shorting"] is True


def test_a_new_account_s_history_is_its_opening_cash(raw: Any, parsed: Any) -> None:
    told = raw.get_portfolio_history()

    check(TRADING, "/v2/account/portfolio/history", told)
    assert told["timeframe"] == "1D"
    assert told["equity"] == [10_000_000.0]
    assert (told["profit_loss"], told["profit_loss_pct"]) == ([0.0], [0.0])
    assert told["base_value"] == 10_000_000.0
    assert "base_value_asof" not in told
    assert parsed.get_portfolio_history().equity == [10_000_000.0]


@pytest.mark.parametrize(
    ("asked", "timeframe"),
    [
        ({"period": "1D"}, "1Min"),
        ({"period": "2W"}, "15Min"),
        ({"period": "1A"}, "1D"),
        ({"period": "3D", "timeframe": "1H"}, "1H"),
    ],
)
def test_the_timeframe_goes_by_the_period(raw: Any, asked: dict[str, str], timeframe: str) -> None:
    told = raw.get_portfolio_history(GetPortfolioHistoryRequest(**asked))

    check(TRADING, "/v2/account/portfolio/history", told)
    assert told["timeframe"] == timeframe
    sizes = {len(told[name]) for name in ("timestamp", "equity", "profit_loss", "profit_loss_pct")}
    assert sizes == {1}


def test_profit_is_what_the_shares_gained(broker: SandboxProcess, raw: Any) -> None:
    broker.pin_price("KO", "59.99", "60.00")
    bought = raw.post("/orders", order("100", "buy") | {"symbol": "KO"})
    until(lambda: raw.get_order_by_id(bought["id"])["status"] == "filled")
    broker.pin_price("KO", "62.99", "63.00")

    told = raw.get_portfolio_history(GetPortfolioHistoryRequest(period="1D"))

    # The last trade is at the bid or at the ask.
    assert told["profit_loss"][-1] in (299.0, 300.0)
    assert told["equity"][-1] == 10_000_000.0 + told["profit_loss"][-1]
    assert abs(told["equity"][-1] - float(raw.get_account()["equity"])) <= 1
    broker.post("prices", {"KO": None})


def test_cash_paid_in_is_a_flow_and_no_profit(
    broker: SandboxProcess, account: str, raw: Any
) -> None:
    raw.get_account()
    broker.post("accounts", {"account": account, "cash": "10000500"})

    told = raw.get_portfolio_history(
        GetPortfolioHistoryRequest(period="1D", cashflow_types="ALL", timeframe="1H")
    )
    without = raw.get_portfolio_history(GetPortfolioHistoryRequest(period="1D"))

    assert sum(told["cashflow"]["CSD"]) == 10_000_500.0
    assert (told["equity"][-1], told["profit_loss"][-1]) == (10_000_500.0, 0.0)
    assert without["cashflow"] == {}


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"period": "1Y"}, "invalid period"),
        ({"period": "0D"}, "invalid period"),
        ({"timeframe": "2Min"}, "invalid timeframe"),
        ({"start": "yesterday"}, "invalid start"),
        ({"intraday_reporting": "always"}, "invalid intraday_reporting"),
        ({"start": "2026-01-01", "end": "2026-02-01", "period": "1D"}, "only two of"),
        ({"start": "2026-02-01", "end": "2026-01-01"}, "end must be after start"),
        ({"period": "5W", "timeframe": "1H"}, "longer than 30 days"),
    ],
)
def test_a_history_that_makes_no_sense_is_422(
    raw: Any, query: dict[str, str], message: str
) -> None:
    error = refused(lambda: raw.get("/account/portfolio/history", query))

    assert (error.status_code, error.code) == (422, 40010001)
    assert message in error.message


def test_every_fill_is_an_activity_of_the_published_shape(traded: Any) -> None:
    fills = activities(traded, activity_types="FILL", direction="asc")

    check(TRADING, ACTIVITIES, fills)
    assert properties(TRADING, "TradingActivities") == set(fills[0])
    *parts, last, sale = fills
    assert parts
    assert {each["type"] for each in parts} == {"partial_fill"}
    assert {each["order_status"] for each in parts} == {"partially_filled"}
    assert (last["type"], last["leaves_qty"], last["cum_qty"]) == ("fill", "0", "3")
    assert sum(Decimal(each["qty"]) for each in (*parts, last)) == 3
    assert (sale["side"], sale["order_status"], sale["symbol"]) == ("sell", "filled", "AAPL")
    for each in fills:
        assert Decimal(each["leaves_qty"]) + Decimal(each["cum_qty"]) in (3, 1)


def test_an_id_begins_with_new_york_s_clock(traded: Any) -> None:
    newest = activities(traded)[0]

    clock = datetime.fromisoformat(traded.get_clock()["timestamp"][:19] + "+00:00")
    began = datetime.strptime(newest["id"][:14], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    assert abs(clock - began) < timedelta(minutes=1)
    assert newest["id"][17:19] == "::"


def test_the_opening_cash_is_a_deposit_of_the_published_shape(raw: Any) -> None:
    raw.get_account()

    [deposit] = activities(raw)

    check(TRADING, ACTIVITIES, [deposit])
    assert set(deposit) <= properties(TRADING, "NonTradeActivities")
    assert (deposit["activity_type"], deposit["net_amount"]) == ("CSD", "10000000")


def test_cash_that_went_is_a_withdrawal(broker: SandboxProcess, account: str, raw: Any) -> None:
    raw.get_account()
    broker.post("accounts", {"account": account, "cash": "9999000"})

    newest = activities(raw, activity_types="TRANS")[0]

    assert (newest["activity_type"], newest["net_amount"]) == ("CSW", "-1000")


def test_pages_follow_each_other_without_a_gap(traded: Any) -> None:
    for direction in ("asc", "desc"):
        whole = activities(traded, direction=direction)
        found: list[dict[str, Any]] = []
        while page := activities(
            traded, direction=direction, page_size=1,
            **({"page_token": found[-1]["id"]} if found else {}),
        ):  # fmt: skip
            found += page

        assert found == whole
        assert len({each["id"] for each in whole}) == len(whole) >= 4


def test_filters_narrow_it_down(traded: Any) -> None:
    fills = activities(traded, activity_types="FILL", direction="asc")
    middle = fills[1]["transaction_time"]
    day = middle[:10]

    assert activities(traded, activity_types="FILL", after=middle, direction="asc") == fills[2:]
    assert activities(traded, activity_types="FILL", until=middle, direction="asc") == fills[:1]
    assert len(activities(traded, date=day)) == len(fills) + 1
    assert activities(traded, date="2020-01-01") == []
    assert activities(traded, order_id=fills[-1]["order_id"]) == [fills[-1]]
    assert activities(traded, category="trade_activity", direction="asc") == fills
    assert {
        each["activity_type"] for each in activities(traded, category="non_trade_activity")
    } == {"CSD"}
    assert traded.get("/account/activities/FILL", {"direction": "asc"}) == fills
    assert activities(traded, activity_types="DIV,FEE") == []


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"activity_types": "FFFFF"}, "invalid activity type: FFFFF"),
        ({"activity_types": "FILL", "category": "trade_activity"}, "category cannot be used"),
        ({"category": "some"}, "invalid category"),
        ({"page_size": "101"}, "invalid page_size"),
        ({"page_size": "0"}, "invalid page_size"),
        ({"direction": "up"}, "invalid direction"),
        ({"after": "soon"}, "invalid after"),
        ({"page_token": "20220202135509981::nobody"}, "invalid page_token"),
    ],
)
def test_activities_asked_for_wrongly_are_422(
    raw: Any, query: dict[str, str], message: str
) -> None:
    error = refused(lambda: activities(raw, **query))

    assert (error.status_code, error.code) == (422, 40010001)
    assert message in error.message


def test_an_unknown_type_in_the_path_is_422_as_recorded(raw: Any) -> None:
    error = refused(lambda: raw.get("/account/activities/FFFFF"))

    assert (error.status_code, error.code) == (422, 40010001)
    assert error.message == "invalid activity type: FFFFF"


def test_the_sandbox_knows_the_published_activity_types() -> None:
    assert enumeration(TRADING, "ActivityType") == TYPES


def test_books_read_again_tell_the_same(tmp_path: Any, account: str) -> None:
    with SandboxProcess(tmp_path / "books") as first:
        body = order("2", "buy")
        first.trade(account, "POST", "/v2/orders", json=body)
        until(lambda: first.trade(account, "GET", "/v2/positions").json())
        before = first.trade(account, "GET", ACTIVITIES).json()
        first.kill()
        first.restart()

        after = first.trade(account, "GET", ACTIVITIES).json()

    assert after == before
    assert [each["activity_type"] for each in before] == ["FILL", "CSD"]
