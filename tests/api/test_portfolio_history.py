"""`portfolio/history` is Alpaca's series, asked for by its names and judged before it is asked."""

from typing import Any

import pytest

from accounts import parameters
from tests.api import brokerreads
from tests.api.brokerreads import wrong
from tests.api.calls import Api, problem
from tests.support.openapi import TRADING, check
from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until

pytestmark = pytest.mark.django_db

REST = "portfolio/history"
SERIES = ("timestamp", "equity", "profit_loss", "profit_loss_pct")


@pytest.fixture
def invested(sandbox: SandboxProcess, there: Api) -> Api:
    """An account that holds 100 KO, bought at 60, worth 63 by now."""
    sandbox.pin_price("KO", "59.99", "60.00")
    order = {"symbol": "KO", "qty": "100", "side": "buy", "type": "market", "time_in_force": "day"}
    sandbox.trade(there.account, "POST", "/v2/orders", json=order)
    until(lambda: sandbox.trade(there.account, "GET", "/v2/positions").json())
    sandbox.pin_price("KO", "62.99", "63.00")
    return there


def history(api: Api, query: str = "") -> Any:
    """The series, without its place in the journal."""
    return brokerreads.marked(api, f"{REST}?{query}")


def test_it_is_alpaca_s_series_and_its_numbers_are_numbers(invested: Api) -> None:
    body = history(invested, "period=1D&cashflow_types=ALL")

    check(TRADING, "/v2/account/portfolio/history", body)
    assert body["timeframe"] == "1Min"
    assert len({len(body[name]) for name in SERIES}) == 1
    assert body["profit_loss"][-1] in (299.0, 300.0)
    assert body["equity"][-1] == body["base_value"] + body["profit_loss"][-1]
    assert sum(body["cashflow"]["CSD"]) == 10_000_000.0


def test_every_way_to_ask_reaches_the_broker_as_it_was_asked(invested: Api) -> None:
    assert history(invested)["timeframe"] == "1D"
    assert history(invested, "period=2W&timeframe=1H")["timeframe"] == "1H"
    assert history(invested, "timeframe=5Min&period=7D&intraday_reporting=continuous&pnl_reset="
                   "no_reset&extended_hours=true&cashflow_types=CSD,CSW")["cashflow"]  # fmt: skip
    for end in ("2026-01-31", "2026-01-31T00:00:00Z", "2026-01-31T01:00:00+01:00", "1769817600",
                "2026-01-31T00:00:00.123456789-05:00"):  # fmt: skip
        assert history(invested, f"start=2026-01-01&end={end}")["equity"] == []


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("period=7", {"period": "not-a-period"}),
        ("period=", {"period": "not-a-period"}),
        ("period=0D", {"period": "not-a-period"}),
        ("period=1Y", {"period": "not-a-period"}),
        ("period=1m", {"period": "not-a-period"}),
        ("period=99999D", {"period": "not-a-period"}),
        ("timeframe=1Hour", {"timeframe": "not-allowed"}),
        ("intraday_reporting=all", {"intraday_reporting": "not-allowed"}),
        ("pnl_reset=never", {"pnl_reset": "not-allowed"}),
        ("extended_hours=1", {"extended_hours": "not-allowed"}),
        ("cashflow_types=CSD,XXX", {"cashflow_types": "not-allowed"}),
        ("start=yesterday", {"start": "not-a-time"}),
        ("start=2026-13-01", {"start": "not-a-time"}),
        ("start=2026-01-01T10:00:00", {"start": "not-a-time"}),
        ("end=2026-W01", {"end": "not-a-time"}),
        ("end=%D9%A1%D9%A2", {"end": "not-a-time"}),
        ("end=1e9", {"end": "not-a-time"}),
        ("start=2026-02-01&end=2026-01-01", {"end": "before-start"}),
        ("start=2026-01-01&end=2026-02-01&period=1D", {"period": "not-together"}),
        ("period=31D&timeframe=1H", {"timeframe": "too-fine"}),
        ("period=1A&timeframe=15Min", {"timeframe": "too-fine"}),
        ("period=1Y&timeframe=x&start=y", {
            "period": "not-a-period", "timeframe": "not-allowed", "start": "not-a-time",
        }),
    ],
)  # fmt: skip
def test_what_alpaca_would_not_take_is_told_field_by_field_and_nobody_is_asked(
    sandbox: SandboxProcess, there: Api, query: str, told: dict[str, str]
) -> None:
    sandbox.fault("500", account=there.account, times=0)

    assert wrong(there, f"{REST}?{query}") == told


def test_a_closed_word_names_what_is_allowed(there: Api) -> None:
    body = problem(
        there.get(brokerreads.under(there, f"{REST}?timeframe=2Min")), 422, "invalid-parameter"
    )

    assert body["errors"][0]["allowed"] == list(parameters.TIMEFRAMES)


def test_a_parameter_alpaca_does_not_have_is_400(there: Api) -> None:
    for query in ("date_end=2026-01-01", "period=1D&period=2D", "account_id=other"):
        problem(there.get(brokerreads.under(there, f"{REST}?{query}")), 400, "bad-parameter")


def test_what_only_the_broker_knows_to_refuse_arrives_in_its_words(there: Api) -> None:
    rest = f"{REST}?timeframe=1H&start=2026-01-01&end=2026-06-01"

    brokerreads.assert_refused_by_broker(there, rest, "longer than 30 days")


def test_the_same_question_within_a_second_is_one_call(sandbox: SandboxProcess, there: Api) -> None:
    brokerreads.assert_one_call_a_second(sandbox, there, REST, f"{REST}?period=2D")


def test_a_broker_in_trouble_is_told(sandbox: SandboxProcess, there: Api) -> None:
    brokerreads.assert_trouble_is_told(sandbox, there, REST)


def test_an_account_in_quarantine_is_not_asked_about(sandbox: SandboxProcess, there: Api) -> None:
    brokerreads.assert_quarantine_is_told(sandbox, there, REST)


def test_the_account_s_minute_is_kept(there: Api) -> None:
    brokerreads.assert_budget_is_kept(there, REST)
