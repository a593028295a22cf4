"""What is no stock symbol is refused here, with a sentence, and never sent on."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.marketdata.brokers import quoting

BAD = [
    "aapl", "AAPL ", " AAPL", "AAPL\n", "AAPL,MSFT", "AAPL.", ".B", "AAPL.BBBB", "ABCDEFG", "A1",
    "AAPL250815C00215000", "\u0410", "\uff21\uff21", "AAPL\x00", "AAPL%00", "AAPL?feed=sip",
    "<script>", "$A", "..", "A.B.C", "A-B", "😀", "A" * 3000,
]  # fmt: skip


@pytest.mark.parametrize("symbol", BAD)
def test_an_odd_symbol_is_a_400_that_says_what_one_looks_like(
    fleet_of: Callable[..., Any], serve: Callable[..., None], ask: Callable[..., Any], symbol: str
) -> None:
    fleet = fleet_of(data_001=[quoting("AAPL")])
    serve(fleet)

    answered = ask(symbol)

    assert (answered.status, answered.body["reason"]) == (400, "bad-parameter")
    (error,) = answered.body["errors"]
    assert (error["field"], error["reason"]) == ("symbol", "not-a-symbol")
    assert "AAPL or BRK.B" in error["message"]
    assert fleet.asked() == {"data_001": 0}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("?feed=otc", "feed"),
        ("?feed=", "feed"),
        ("?feed=IEX", "feed"),
        ("?feed=iex&feed=sip", "feed"),
        ("?symbols=AAPL", "symbols"),
    ],
)
def test_an_odd_query_is_a_400_that_names_what_is_allowed(
    fleet_of: Callable[..., Any],
    serve: Callable[..., None],
    ask: Callable[..., Any],
    query: str,
    field: str,
) -> None:
    fleet = fleet_of(data_001=[quoting("AAPL")])
    serve(fleet)

    answered = ask("AAPL", query=query)

    assert (answered.status, answered.body["reason"]) == (400, "bad-parameter")
    assert [error["field"] for error in answered.body["errors"]] == [field]
    assert fleet.asked() == {"data_001": 0}


def test_the_allowed_feeds_are_listed(
    fleet_of: Callable[..., Any], serve: Callable[..., None], ask: Callable[..., Any]
) -> None:
    serve(fleet_of())

    (error,) = ask("AAPL", query="?feed=otc").body["errors"]

    assert error["allowed"] == ["iex", "sip", "delayed_sip"]
