"""Only a US stock symbol passes for one (H106 to H120)."""

import pytest

from tests.trading.test_order_fields import read, wrong

LOOK_ALIKES = [
    "aapl", "Aapl", "ААРL", "ＡＡＰＬ", "AAPL\u200d", "\u202eAAPL", "AAP\u0301L",
    "AAPL\ufe0f", "🍎", "ª", "ſ", "İ",
]  # fmt: skip
BROKEN = [
    "", " ", "AAPL ", " AAPL", "AAPL\n", "AAPL\r\nX: y", "AAPL\x00", "\ud800", "A" * 7,
    "A" * 1_000_000,
    "BRK/B", "BRK-B", "BRK.", ".B", "BRK.B.C", "BRK.BCD", "BTC/USD", "AAPL1", "AAPL240119C00100000",
    "../account", "..", "%00", "%41", "AAPL%0a", "'; DROP TABLE trading_order;--", "{{7*7}}",
    "${x}", "$(id)", "*", "AAPL,MSFT", "AAPL;", "<b>",
]  # fmt: skip


@pytest.mark.parametrize("symbol", LOOK_ALIKES + BROKEN, ids=lambda text: ascii(text)[:20])
def test_what_is_no_stock_symbol_is_refused(symbol: str) -> None:
    assert wrong(symbol=symbol) == {"symbol": "not-a-symbol"}


@pytest.mark.parametrize("symbol", [None, 123, True, ["AAPL"], {"$ne": 1}])
def test_a_symbol_is_a_text(symbol: object) -> None:
    assert wrong(symbol=symbol)["symbol"] in {"required", "not-a-string"}


@pytest.mark.parametrize("symbol", ["A", "AAPL", "GOOGL", "BRK.B", "BF.A", "ABCDEF"])
def test_a_stock_symbol_is_kept_as_it_is(symbol: str) -> None:
    assert read(symbol=symbol).symbol == symbol
