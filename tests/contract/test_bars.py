"""Bars and snapshots of stocks: published shapes, pages, and the data API's refusals."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from alpaca.data.enums import Adjustment, DataFeed
from alpaca.data.requests import (
    StockBarsRequest,
    StockLatestBarRequest,
    StockSnapshotRequest,
)
from alpaca.data.timeframe import TimeFrame, TimeFrameUnit

from opitios.core import clock
from tests.support.openapi import DATA, check
from tests.support.sandbox_process import SandboxProcess

pytestmark = pytest.mark.contract

# A quiet month with Thanksgiving's early closing in it, and Christmas'.
START, END = datetime(2025, 11, 24, tzinfo=UTC), datetime(2025, 12, 31, tzinfo=UTC)
FRAMES = [
    (1, TimeFrameUnit.Minute, 25 * 390 - 2 * 180),
    (59, TimeFrameUnit.Minute, None),
    (1, TimeFrameUnit.Hour, 7 * 23 + 4 * 2),
    (23, TimeFrameUnit.Hour, 25),
    (1, TimeFrameUnit.Day, 25),
    (1, TimeFrameUnit.Week, 6),
    (1, TimeFrameUnit.Month, 1),
]


def bars_of(client: Any, *symbols: str, frame: TimeFrame = TimeFrame.Day, **more: Any) -> Any:
    request = StockBarsRequest(
        symbol_or_symbols=list(symbols), timeframe=frame, start=START, end=END, **more
    )
    return client.get_stock_bars(request)


def history(broker: SandboxProcess, account: str, **query: Any) -> Any:
    asked = {"symbols": "AAPL", "timeframe": "1Day", "start": "2025-11-24", "end": "2025-12-30"}
    return broker.trade(account, "GET", "/v2/stocks/bars", params=asked | query)


@pytest.mark.parametrize(("amount", "unit", "count"), FRAMES)
def test_every_timeframe_has_its_bars_of_sessions_only(
    data_raw: Any, amount: int, unit: TimeFrameUnit, count: int | None
) -> None:
    bars = bars_of(data_raw, "SPY", frame=TimeFrame(amount, unit))["SPY"]

    check(DATA, "/v2/stocks/bars", {"bars": {"SPY": bars}, "next_page_token": None})
    assert count is None or len(bars) == count
    assert [bar["t"] for bar in bars] == sorted(bar["t"] for bar in bars)
    assert all(bar["l"] <= min(bar["o"], bar["c"]) for bar in bars)
    assert all(max(bar["o"], bar["c"]) <= bar["h"] for bar in bars)
    assert all(bar["v"] > 0 and bar["n"] > 0 and bar["l"] <= bar["vw"] <= bar["h"] for bar in bars)


def test_bars_parse_and_daily_ones_are_stamped_with_new_yorks_midnight(data_parsed: Any) -> None:
    bars = bars_of(data_parsed, "AAPL", adjustment=Adjustment.ALL, feed=DataFeed.IEX)["AAPL"]

    assert {bar.timestamp.hour for bar in bars} == {5}
    assert datetime(2025, 11, 27, 5, tzinfo=UTC) not in {bar.timestamp for bar in bars}


def test_pages_hold_everything_once_symbol_by_symbol(broker: SandboxProcess, account: str) -> None:
    whole = history(broker, account, symbols="SPY,AAPL").json()["bars"]
    pages, token = [], ""
    while token is not None:
        answer = history(broker, account, symbols="SPY,AAPL", limit=10, page_token=token).json()
        pages.append(answer["bars"])
        token = answer["next_page_token"]

    joined: dict[str, list[Any]] = {}
    for each in pages:
        assert sum(map(len, each.values())) <= 10
        for symbol, bars in each.items():
            joined.setdefault(symbol, []).extend(bars)
    assert list(joined) == ["AAPL", "SPY"]
    assert joined == whole


def test_the_newest_come_first_where_asked(broker: SandboxProcess, account: str) -> None:
    forward = history(broker, account).json()["bars"]["AAPL"]

    backward = history(broker, account, sort="desc").json()["bars"]["AAPL"]
    page = history(broker, account, sort="desc", limit=5).json()
    rest = history(broker, account, sort="desc", page_token=page["next_page_token"]).json()

    assert backward == forward[::-1]
    assert page["bars"]["AAPL"] + rest["bars"]["AAPL"] == backward


def test_the_same_bars_again_and_an_hour_holds_its_minutes(data_raw: Any) -> None:
    hours = bars_of(data_raw, "AAPL", frame=TimeFrame.Hour)["AAPL"]
    minutes = bars_of(data_raw, "AAPL", frame=TimeFrame.Minute)["AAPL"]

    assert hours == bars_of(data_raw, "AAPL", frame=TimeFrame.Hour)["AAPL"]
    within = [bar for bar in minutes if bar["t"].startswith("2025-12-01T16")]
    [hour] = [bar for bar in hours if bar["t"].startswith("2025-12-01T16")]
    assert len(within) == 60
    assert (hour["o"], hour["c"]) == (within[0]["o"], pytest.approx(within[-1]["c"], abs=0.5))


def test_an_unknown_symbol_or_a_time_to_come_has_no_bars(
    broker: SandboxProcess, account: str
) -> None:
    nothing: Any = {"bars": {}, "next_page_token": None}

    assert history(broker, account, symbols="ZZZZ").json() == nothing
    assert history(broker, account, start="2031-01-01", end="2031-02-01").json() == nothing


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"symbols": ""}, "Invalid format for parameter symbols"),
        ({"symbols": "aapl"}, "invalid symbol: aapl"),
        ({"timeframe": ""}, "Invalid format for parameter timeframe"),
        ({"timeframe": "60Min"}, "invalid timeframe: 60Min"),
        ({"timeframe": "24Hour"}, "invalid timeframe: 24Hour"),
        ({"timeframe": "5Month"}, "invalid timeframe: 5Month"),
        ({"timeframe": "١Day"}, "invalid timeframe"),
        ({"start": "yesterday"}, "Invalid format for parameter start"),
        ({"end": "2025-01-01"}, "end should not be before start"),
        ({"limit": "0"}, "invalid limit"),
        ({"limit": "10001"}, "invalid limit"),
        ({"sort": "up"}, "invalid sort: up"),
        ({"adjustment": "x"}, "invalid adjustment: x"),
        ({"feed": "x"}, "invalid feed: x"),
        ({"page_token": "%%%"}, "Invalid format for parameter page_token"),
    ],
)
def test_a_wrong_question_is_refused_without_a_code(
    broker: SandboxProcess, account: str, query: dict[str, str], message: str
) -> None:
    answer = history(broker, account, **query)

    assert answer.status_code == 400
    assert message in answer.json()["message"]
    assert set(answer.json()) == {"message"}


def test_the_last_bar_is_of_the_minute_before_this_one(data_raw: Any) -> None:
    bar = data_raw.get_stock_latest_bar(StockLatestBarRequest(symbol_or_symbols="MSFT"))["MSFT"]

    age = clock.now() - datetime.fromisoformat(bar["t"])
    assert timedelta(seconds=59) < age < timedelta(minutes=3)


def test_snapshots_have_the_published_shape_and_parse(
    broker: SandboxProcess, account: str, data_raw: Any, data_parsed: Any
) -> None:
    asked = StockSnapshotRequest(symbol_or_symbols=["AAPL", "ZZZZ"])

    shown = data_raw.get_stock_snapshot(asked)
    one = broker.trade(account, "GET", "/v2/stocks/AAPL/snapshot").json()

    check(DATA, "/v2/stocks/snapshots", shown)
    check(DATA, "/v2/stocks/{symbol}/snapshot", one)
    assert list(shown) == ["AAPL"]
    assert set(shown["AAPL"]) == set(one) - {"symbol"}
    assert shown["AAPL"]["prevDailyBar"]["t"] < shown["AAPL"]["dailyBar"]["t"]
    assert data_parsed.get_stock_snapshot(asked)["AAPL"].latest_quote.bid_price > 0
