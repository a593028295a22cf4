"""Option contracts, chains and prices: published shapes, Alpaca's filters, sane greeks."""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest
from alpaca.data.historical.option import OptionHistoricalDataClient
from alpaca.data.requests import (
    OptionBarsRequest,
    OptionChainRequest,
    OptionLatestQuoteRequest,
    OptionLatestTradeRequest,
    OptionSnapshotRequest,
)
from alpaca.data.timeframe import TimeFrame
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import ContractType
from alpaca.trading.requests import GetOptionContractsRequest

from opitios.core import clock
from tests.support.openapi import DATA, TRADING, check
from tests.support.sandbox_process import SandboxProcess

pytestmark = pytest.mark.contract

SOON = clock.now().date() + timedelta(days=40)
CALL = ContractType.CALL


@pytest.fixture(params=[True, False], ids=["raw", "parsed"])
def options(
    broker: SandboxProcess, account: str, request: pytest.FixtureRequest
) -> Iterator[OptionHistoricalDataClient]:
    client = OptionHistoricalDataClient(
        broker.key(account), broker.secret(account), url_override=broker.url, raw_data=request.param
    )
    yield client
    client._session.close()


def chain(broker: SandboxProcess, account: str, symbol: str = "AAPL", **query: Any) -> Any:
    path = f"/v1beta1/options/snapshots/{symbol}"
    return broker.trade(account, "GET", path, params={"limit": 1000} | query).json()


def contracts(broker: SandboxProcess, account: str, **query: Any) -> Any:
    asked = {"underlying_symbols": "AAPL", "expiration_date_gte": SOON.isoformat()}
    answer = broker.trade(account, "GET", "/v2/options/contracts", params=asked | query)
    return answer.json()


def a_contract(broker: SandboxProcess, account: str) -> str:
    """A contract near the money that lives for weeks."""
    found = contracts(broker, account, strike_price_gte=185, strike_price_lte=190, type="call")
    return str(found["option_contracts"][0]["symbol"])


def test_contracts_have_the_published_shape_and_pages_hold_each_once(
    broker: SandboxProcess, account: str
) -> None:
    whole = contracts(broker, account, limit=10_000, show_deliverables="true")
    found, token = [], ""
    while token is not None:
        page = contracts(broker, account, limit=300, page_token=token)
        found += [each["symbol"] for each in page["option_contracts"]]
        token = page["next_page_token"]

    check(TRADING, "/v2/options/contracts", whole)
    assert found == [each["symbol"] for each in whole["option_contracts"]] == sorted(set(found))
    assert len(found) > 500


def test_contracts_parse_and_one_is_found_by_symbol_and_by_id(
    broker: SandboxProcess, account: str, parsed: TradingClient
) -> None:
    asked = GetOptionContractsRequest(underlying_symbols=["SPY"], type=CALL, limit=5)

    found: Any = parsed.get_option_contracts(asked)
    first = found.option_contracts[0]
    by_id: Any = parsed.get_option_contract(first.id)
    by_symbol: Any = parsed.get_option_contract(first.symbol)

    assert by_id == by_symbol == first
    assert first.underlying_symbol == "SPY"
    assert (first.size, first.style.value, first.tradable) == ("100", "american", True)


def test_contracts_end_before_next_weekend_unless_told(
    broker: SandboxProcess, account: str
) -> None:
    found = contracts(broker, account, expiration_date_gte="", limit=10_000)["option_contracts"]

    last = max(date.fromisoformat(each["expiration_date"]) for each in found)
    assert last - clock.now().date() < timedelta(days=14)


@pytest.mark.parametrize(
    "asked", ["AAPL991231C00190000", "x", "00000000-0000-0000-0000-000000000000"]
)
def test_an_unknown_contract_is_not_found(broker: SandboxProcess, account: str, asked: str) -> None:
    answer = broker.trade(account, "GET", f"/v2/options/contracts/{asked}")

    assert answer.status_code == 404
    assert answer.json()["code"] == 40410000


def test_a_chain_has_the_published_shape_and_every_active_contract(
    broker: SandboxProcess, account: str
) -> None:
    page = chain(broker, account)
    rest = chain(broker, account, page_token=page["next_page_token"])

    check(DATA, "/v1beta1/options/snapshots/{underlying_symbol}", page)
    assert len(page["snapshots"]) == 1000
    assert rest["next_page_token"] is None
    assert not set(page["snapshots"]) & set(rest["snapshots"])


def test_alpacas_filters_choose_from_a_chain(broker: SandboxProcess, account: str) -> None:
    bounds: Any = {"strike_price_gte": 180, "strike_price_lte": 190, "type": "put"}

    found = chain(broker, account, **bounds, expiration_date_lte=SOON.isoformat())["snapshots"]

    assert found
    for symbol in found:
        assert symbol.startswith("AAPL")
        assert symbol[10] == "P"
        assert 180_000 <= int(symbol[-8:]) <= 190_000
        assert symbol[4:10] <= f"{SOON:%y%m%d}"
    assert chain(broker, account, root_symbol="MSFT")["snapshots"] == {}
    assert chain(broker, account, symbol="QWXYZ")["snapshots"] == {}


def test_prices_and_greeks_of_a_chain_are_sane(broker: SandboxProcess, account: str) -> None:
    found = chain(broker, account, expiration_date_gte=SOON.isoformat())["snapshots"]

    calls = {symbol: each for symbol, each in found.items() if symbol[10] == "C"}
    for symbol, each in found.items():
        greeks, sign = each["greeks"], 1 if symbol in calls else -1
        assert 0 <= sign * greeks["delta"] <= 1
        assert greeks["gamma"] > 0
        assert greeks["vega"] > 0
        assert 0.1 < each["impliedVolatility"] < 1
        assert 0 <= each["latestQuote"]["bp"] < each["latestQuote"]["ap"]
    expiry = next(iter(calls))[:11]
    asks = [each["latestQuote"]["ap"] for symbol, each in calls.items() if symbol[:11] == expiry]
    assert asks == sorted(asks, reverse=True)


def test_the_clients_of_options_work_raw_and_parsed(
    broker: SandboxProcess, account: str, options: Any
) -> None:
    symbol = a_contract(broker, account)
    start = clock.now() - timedelta(days=10)

    quote = options.get_option_latest_quote(OptionLatestQuoteRequest(symbol_or_symbols=symbol))
    trade = options.get_option_latest_trade(OptionLatestTradeRequest(symbol_or_symbols=symbol))
    shot = options.get_option_snapshot(OptionSnapshotRequest(symbol_or_symbols=[symbol]))
    whole = options.get_option_chain(OptionChainRequest(underlying_symbol="AAPL", type=CALL))
    bars = options.get_option_bars(
        OptionBarsRequest(symbol_or_symbols=symbol, timeframe=TimeFrame.Day, start=start)
    )

    assert list(quote) == list(trade) == list(shot) == [symbol]
    assert symbol in whole
    assert len(bars[symbol]) >= 5


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        ("quotes/latest?symbols={}", "quotes/latest"),
        ("trades/latest?symbols={}", "trades/latest"),
        ("snapshots?symbols={}", "snapshots"),
        ("bars?symbols={}&timeframe=1Hour&start=2026-01-05", "bars"),
    ],
)
def test_answers_about_options_have_the_published_shape(
    broker: SandboxProcess, account: str, path: str, shape: str
) -> None:
    symbol = a_contract(broker, account)

    answer = broker.trade(account, "GET", f"/v1beta1/options/{path.format(symbol)}").json()

    check(DATA, f"/v1beta1/options/{shape}", answer)
    assert symbol in answer[shape.split("/", maxsplit=1)[0]]


def test_an_expired_contract_has_bars_to_its_last_day_and_no_quote(
    broker: SandboxProcess, account: str
) -> None:
    symbol = "AAPL260116C00190000"
    query = f"symbols={symbol}&timeframe=1Day&start=2026-01-05"

    bars = broker.trade(account, "GET", f"/v1beta1/options/bars?{query}").json()["bars"][symbol]
    quotes = broker.trade(account, "GET", f"/v1beta1/options/quotes/latest?symbols={symbol}").json()

    assert bars[-1]["t"].startswith("2026-01-16")
    assert quotes == {"quotes": {}}


@pytest.mark.parametrize(
    "path",
    [
        "quotes/latest",
        "quotes/latest?symbols=AAPL",
        "snapshots/AAPL?type=both",
        "snapshots/AAPL?limit=1001",
        "snapshots/AAPL?strike_price_gte=cheap",
        "snapshots/AAPL?expiration_date=soon",
        "snapshots/aapl",
        "snapshots/AAPL?feed=iex",
        "bars?symbols=AAPL260116C00190000",
    ],
)
def test_a_wrong_question_about_options_is_refused_without_a_code(
    broker: SandboxProcess, account: str, path: str
) -> None:
    answer = broker.trade(account, "GET", f"/v1beta1/options/{path}")

    assert answer.status_code == 400
    assert set(answer.json()) == {"message"}
