"""What an account was worth: its own fills at the market's past prices, the same each time."""

from decimal import Decimal
from typing import Any

import pytest

from sandbox.events import AccountChanged
from sandbox.history import MINUTE, Span, read_span
from sandbox.hours import DAY, Mode
from sandbox.instants import SECOND, as_datetime, from_datetime, rfc3339
from sandbox.market import Market
from sandbox.orders import Order
from sandbox.portfolio import render_history
from sandbox.refusals import RefusedError
from sandbox.sessions import is_session_open, new_york
from sandbox.valuation import appraise
from tests.sandbox.books import ACCOUNT, NOON, Books


@pytest.fixture
def books() -> Books:
    """An account of two weeks that bought 10 AAPL on its third day."""
    made = Books("100000")
    made.at = NOON + 2 * DAY
    made.settle(made.place(qty="10"))
    made.market.unpin("AAPL")
    made.at = NOON + 14 * DAY
    return made


def history(books: Books, mode: Mode = "real", /, **query: str) -> Any:
    """The body for a query that is asked at the books' present instant."""
    return render_history(books.account, books.market, read_span(query, books.at), mode)


def test_the_curve_is_the_same_each_time_and_in_another_run(books: Books) -> None:
    first = history(books, period="2W")
    again = history(books, period="2W")
    books.market = Market()

    assert first == again == history(books, period="2W")
    assert len(set(first["equity"])) > 5


def test_a_day_is_told_as_of_its_end_and_the_running_one_as_of_now(books: Books) -> None:
    told = history(books, period="1M")

    instants = [at * SECOND for at in told["timestamp"]]
    assert {(new_york(at).hour, new_york(at).minute) for at in instants[:-1]} == {(20, 0)}
    assert all(new_york(at).weekday() < 5 for at in instants[:-1])
    assert instants[-1] == books.at // SECOND * SECOND
    assert len(instants) == 11
    assert told["timeframe"] == "1D"


def test_the_last_point_is_the_account_s_present_worth(books: Books) -> None:
    worth = appraise(books.account, books.market, books.at).equity

    assert history(books, period="1M")["equity"][-1] == pytest.approx(float(worth), abs=0.01)


def test_before_it_bought_anything_an_account_is_its_cash(books: Books) -> None:
    told = history(books, period="1M")

    assert told["equity"][:2] == [100_000.0, 100_000.0]
    assert told["profit_loss"][:2] == [0.0, 0.0]
    assert told["equity"][4] != 100_000.0
    for equity, gain, share in zip(
        told["equity"], told["profit_loss"], told["profit_loss_pct"], strict=True
    ):
        assert gain == pytest.approx(equity - 100_000.0, abs=0.01)
        assert share == pytest.approx(gain / 100_000.0, abs=0.0001)


def test_points_lie_in_the_hours_asked_for(books: Books) -> None:
    hours: dict[str, set[int]] = {}
    for reporting in ("market_hours", "extended_hours", "continuous"):
        told = history(books, period="7D", timeframe="1H", intraday_reporting=reporting)
        hours[reporting] = {new_york(at * SECOND).hour for at in told["timestamp"]}
        if reporting == "market_hours":
            assert all(is_session_open(at * SECOND) for at in told["timestamp"])

    assert hours["market_hours"] == set(range(10, 16))
    assert hours["extended_hours"] == set(range(4, 20))
    assert hours["continuous"] == set(range(24))
    everything = history(books, "always-open", period="7D", timeframe="1H")
    assert len(everything["timestamp"]) == 7 * 24 + 1


def test_within_days_profit_starts_anew_each_day_unless_told_otherwise(books: Books) -> None:
    asked = {"period": "7D", "timeframe": "15Min"}
    daily = history(books, **asked)
    running = history(books, pnl_reset="no_reset", **asked)

    assert daily["equity"] == running["equity"]
    assert daily["profit_loss"] != running["profit_loss"]
    base = daily["base_value"]
    for equity, gain in zip(running["equity"], running["profit_loss"], strict=True):
        assert gain == pytest.approx(equity - base, abs=0.02)


def test_the_base_is_the_closing_before_the_first_point(books: Books) -> None:
    told = history(books, period="7D", timeframe="1H")

    first = new_york(told["timestamp"][0] * SECOND).date()
    assert str(told["base_value_asof"]) < first.isoformat()
    assert "base_value_asof" not in history(books, period="1M")


def test_cash_paid_in_later_is_a_flow_of_its_window_and_no_profit(books: Books) -> None:
    paid = AccountChanged(ACCOUNT, NOON + 8 * DAY, books.account.cash + 500, None)
    before = history(books, period="1M")
    books.exchange.apply(paid)

    told = history(books, period="1M", cashflow_types="CSD")

    flows = told["cashflow"]["CSD"]
    assert [flow for flow in flows if flow] == [100_000.0, 500.0]
    at = told["timestamp"][flows.index(500.0)] * SECOND
    assert new_york(at).date() == new_york(paid.at).date()
    assert told["profit_loss"] == pytest.approx(before["profit_loss"], abs=0.01)
    assert told["equity"][-1] == pytest.approx(before["equity"][-1] + 500, abs=0.01)
    assert "CSW" not in told["cashflow"]


def test_a_span_without_the_account_is_empty(books: Books) -> None:
    told = history(books, start="2020-01-01", end="2020-02-01")

    assert told["timestamp"] == told["equity"] == told["profit_loss"] == []
    assert told["base_value"] is None


def test_ends_are_read_in_every_way_they_may_be_written() -> None:
    now = NOON
    day = rfc3339(now - 10 * DAY)[:10]
    midnight = from_datetime(as_datetime(now - 10 * DAY).replace(hour=0, minute=0, second=0))
    for text in (day, f"{day}T00:00:00Z", str(midnight // SECOND), f"{day}T02:00:00+02:00"):
        assert read_span({"start": text, "period": "2D"}, now)[:2] == (
            midnight, midnight + 2 * DAY,
        )  # fmt: skip
    assert read_span({"end": day, "period": "1W"}, now).start == midnight - 7 * DAY
    assert read_span({"start": day}, now).end == now


@pytest.mark.parametrize(
    ("period", "timeframe"), [("6D", "1Min"), ("1W", "15Min"), ("29D", "15Min"), ("1M", "1D")]
)
def test_the_timeframe_follows_from_the_period(period: str, timeframe: str) -> None:
    span: Span = read_span({"period": period}, NOON)

    assert span.timeframe == timeframe
    assert span.is_daily is (timeframe == "1D")


def test_finer_steps_than_days_end_at_thirty_days() -> None:
    assert read_span({"period": "30D", "timeframe": "1H"}, NOON).timeframe == "1H"
    with pytest.raises(RefusedError) as refused:
        read_span({"period": "31D", "timeframe": "1H"}, NOON)
    assert (refused.value.status, refused.value.code) == (422, 40010001)


def test_a_closed_position_is_cash_again(books: Books) -> None:
    sold: Order = books.settle(books.place(qty="10", side="sell"))

    told = history(books, period="1D", timeframe="5Min", intraday_reporting="continuous")

    assert sold.status == "filled"
    assert Decimal(str(told["equity"][-1])) == books.account.cash.quantize(Decimal("0.01"))
    assert told["timestamp"][1] - told["timestamp"][0] == 5 * MINUTE // SECOND
