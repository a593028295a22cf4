"""Seeded prices."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.instants import SECOND
from sandbox.market import TICK, Market
from sandbox.universe import LISTED, is_ticker

NOW = 1_790_000_000 * SECOND
PINNED = (Decimal(5), Decimal(6))
SYMBOLS = st.sampled_from([*LISTED, "QWXYZ", "A", "AB.C"])
INSTANTS = st.integers(min_value=0, max_value=4_000_000_000 * SECOND)


@given(symbol=SYMBOLS, at=INSTANTS)
def test_a_quote_is_the_same_in_every_run(symbol: str, at: int) -> None:
    assert Market().quote(symbol, at) == Market().quote(symbol, at)
    assert Market().trade(symbol, at) == Market().trade(symbol, at)


@given(symbol=SYMBOLS, at=INSTANTS.filter(lambda at: at > SECOND))
def test_bid_is_below_ask_in_whole_cents_and_never_from_the_future(symbol: str, at: int) -> None:
    market = Market()

    quote, trade = market.quote(symbol, at), market.trade(symbol, at)

    assert 0 < quote.bid < quote.ask
    assert quote.bid == quote.bid.quantize(Decimal("0.01"))
    assert at - 2 * TICK < quote.at <= at
    assert trade.price in (quote.bid, quote.ask)
    assert quote.bid_size > 0


@given(symbol=st.sampled_from(sorted(LISTED)), at=INSTANTS)
def test_a_price_stays_within_three_percent_of_its_base(symbol: str, at: int) -> None:
    base = LISTED[symbol].price

    quote = Market().quote(symbol, at)

    assert base * Decimal("0.965") < quote.bid < quote.ask < base * Decimal("1.035")


def test_another_seed_gives_other_prices() -> None:
    assert Market("a").quote("AAPL", NOW) != Market("b").quote("AAPL", NOW)


def test_prices_move() -> None:
    market = Market()

    quotes = {market.quote("AAPL", NOW + second * SECOND).bid for second in range(60)}

    assert len(quotes) > 5


def test_a_pinned_price_stands_until_unpinned() -> None:
    market = Market()
    free = market.quote("AAPL", NOW)

    market.pin("AAPL", bid=PINNED[0], ask=PINNED[1])

    assert (market.quote("AAPL", NOW).bid, market.quote("AAPL", NOW + SECOND).ask) == PINNED
    market.unpin("AAPL")
    assert market.quote("AAPL", NOW) == free


@pytest.mark.parametrize(
    ("symbol", "exists"),
    [
        ("AAPL", True),
        ("BRK.B", True),
        ("QWXYZ", True),
        ("ZZZZ", False),
        ("ZZ", False),
        ("Z", True),
        ("aapl", False),
        ("TOOLONG", False),
        ("", False),
        ("AAPL\n", False),
        ("BTC/USD", False),
    ],
)
def test_which_stocks_exist(symbol: str, exists: bool) -> None:
    assert is_ticker(symbol) is exists
    assert (Market().listing(symbol) is not None) is exists


def test_an_unknown_stock_has_no_quote() -> None:
    with pytest.raises(KeyError):
        Market().quote("ZZZZ", NOW)
