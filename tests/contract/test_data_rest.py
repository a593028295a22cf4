"""Latest quotes and trades: published shapes, the data API's own error dialect."""

from typing import Any

import pytest
from alpaca.common.exceptions import APIError
from alpaca.data.enums import DataFeed
from alpaca.data.historical.stock import StockHistoricalDataClient
from alpaca.data.requests import StockLatestQuoteRequest, StockLatestTradeRequest

from tests.support.openapi import DATA, check
from tests.support.sandbox_process import SandboxProcess

pytestmark = pytest.mark.contract

QUOTE_KEYS = {"t", "ax", "ap", "as", "bx", "bp", "bs", "c", "z"}
TRADE_KEYS = {"t", "x", "p", "s", "c", "i", "z"}


def test_latest_quotes_have_the_published_shape(
    broker: SandboxProcess, account: str, data_raw: Any
) -> None:
    symbols = ["AAPL", "BRK.B", "SPY"]

    quotes = data_raw.get_stock_latest_quote(
        StockLatestQuoteRequest(symbol_or_symbols=symbols, feed=DataFeed.IEX)
    )

    check(DATA, "/v2/stocks/quotes/latest", {"quotes": quotes})
    assert set(quotes) == set(symbols)
    for quote in quotes.values():
        assert set(quote) == QUOTE_KEYS
        assert quote["bp"] < quote["ap"]
        assert isinstance(quote["bp"], float)


def test_latest_quotes_and_trades_parse(data_parsed: Any) -> None:
    quotes = data_parsed.get_stock_latest_quote(StockLatestQuoteRequest(symbol_or_symbols="AAPL"))
    trades = data_parsed.get_stock_latest_trade(StockLatestTradeRequest(symbol_or_symbols="AAPL"))

    assert quotes["AAPL"].bid_price < quotes["AAPL"].ask_price
    assert trades["AAPL"].price == pytest.approx(quotes["AAPL"].ask_price, rel=0.05)
    assert quotes["AAPL"].timestamp.tzinfo is not None


def test_latest_trades_have_the_published_shape(data_raw: Any) -> None:
    trades = data_raw.get_stock_latest_trade(StockLatestTradeRequest(symbol_or_symbols="MSFT"))

    check(DATA, "/v2/stocks/trades/latest", {"trades": trades})
    assert set(trades["MSFT"]) == TRADE_KEYS


@pytest.mark.parametrize("what", ["quote", "trade"])
def test_the_single_symbol_form_has_the_published_shape(
    broker: SandboxProcess, account: str, what: str
) -> None:
    answer = broker.trade(account, "GET", f"/v2/stocks/AAPL/{what}s/latest").json()

    check(DATA, f"/v2/stocks/{{symbol}}/{what}s/latest", answer)
    assert answer["symbol"] == "AAPL"


def test_an_unknown_symbol_is_absent(data_raw: Any) -> None:
    request = StockLatestQuoteRequest(symbol_or_symbols=["AAPL", "ZZZZ"])

    assert set(data_raw.get_stock_latest_quote(request)) == {"AAPL"}


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        (
            "/v2/stocks/quotes/latest?symbols=BTC/USD",
            400,
            "code=400, message=invalid symbol: BTC/USD",
        ),
        ("/v2/stocks/quotes/latest?symbols=aapl", 400, "code=400, message=invalid symbol: aapl"),
        (
            "/v2/stocks/quotes/latest",
            400,
            "Invalid format for parameter symbols: query parameter 'symbols' is required",
        ),
        ("/v2/stocks/trades/latest?symbols=AAPL&feed=x", 400, "code=400, message=invalid feed: x"),
        ("/v2/stocks/ZZZZ/quotes/latest", 404, "no quote found for ZZZZ"),
    ],
)
def test_a_refusal_has_a_message_and_no_code(
    broker: SandboxProcess, account: str, path: str, status: int, message: str
) -> None:
    answer = broker.trade(account, "GET", path)

    assert (answer.status_code, answer.json()) == (status, {"message": message})


def test_a_wrong_key_is_answered_by_the_proxy_in_html(broker: SandboxProcess) -> None:
    client = StockHistoricalDataClient("SANDBOX_x", "wrong", url_override=broker.url)

    with pytest.raises(APIError) as refused:
        client.get_stock_latest_quote(StockLatestQuoteRequest(symbol_or_symbols="AAPL"))
    client._session.close()

    assert refused.value.status_code == 401
    assert "<center>nginx</center>" in str(refused.value)


def test_a_pinned_price_stands_still(broker: SandboxProcess, data_raw: Any) -> None:
    broker.pin_price("QPINX", "100.10", "100.12")
    request = StockLatestQuoteRequest(symbol_or_symbols="QPINX")

    quote = data_raw.get_stock_latest_quote(request)["QPINX"]

    assert (quote["bp"], quote["ap"]) == (100.1, 100.12)
