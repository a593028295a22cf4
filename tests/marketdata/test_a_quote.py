"""`GET stocks/quote/{symbol}`: the shape, where it came from, and who may ask."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.broker.loopback import answering, http
from tests.marketdata.brokers import WIRE, quoting

# All within the second that an answer is fresh.
pytestmark = pytest.mark.usefixtures("later")


def test_a_quote_is_alpacas_short_keys_and_ours(
    fleet_of: Callable[..., Any], serve: Callable[..., None], ask: Callable[..., Any]
) -> None:
    fleet = fleet_of(data_001=[quoting("AAPL")])
    serve(fleet)

    answered = ask("AAPL")

    assert answered.status == 200
    age = answered.body.pop("age_ms")
    assert answered.body == {"symbol": "AAPL", **WIRE, "feed": "iex", "source": "broker"}
    assert isinstance(age, int)
    assert age == 0
    asked = fleet.brokers["data_001"].requests[0]
    assert asked.target == "/v2/stocks/quotes/latest?symbols=AAPL&feed=iex"


def test_numbers_are_numbers_and_stay_as_they_came(
    fleet_of: Callable[..., Any], serve: Callable[..., None], ask: Callable[..., Any]
) -> None:
    serve(fleet_of(data_001=[quoting("BRK.B", bp=700000, bs=2.5)]))

    body = ask("BRK.B").body

    assert repr((body["bp"], body["bs"], body["as"])) == "(700000, 2.5, 1)"


def test_the_second_question_of_a_second_is_answered_from_the_cache(
    later: Callable[[float], None],
    fleet_of: Callable[..., Any],
    serve: Callable[..., None],
    ask: Callable[..., Any],
) -> None:
    fleet = fleet_of(data_001=[quoting("AAPL")])
    serve(fleet)

    first = ask("AAPL").body
    later(0.5)
    second = ask("AAPL").body

    assert (first["source"], second["source"]) == ("broker", "cache")
    assert first.keys() == second.keys()
    assert second["age_ms"] == 500
    assert fleet.asked() == {"data_001": 1}


def test_another_feed_is_another_quote(
    fleet_of: Callable[..., Any], serve: Callable[..., None], ask: Callable[..., Any]
) -> None:
    fleet = fleet_of(data_001=[quoting("AAPL")])
    serve(fleet)

    feeds = [ask("AAPL", query=query).body["feed"] for query in ("", "?feed=sip", "?feed=iex")]

    assert feeds == ["iex", "sip", "iex"]
    assert [r.target.rpartition("=")[2] for r in fleet.brokers["data_001"].requests] == [
        "iex",
        "sip",
    ]


def test_a_symbol_the_broker_does_not_know_is_404_and_asked_once(
    fleet_of: Callable[..., Any], serve: Callable[..., None], ask: Callable[..., Any]
) -> None:
    fleet = fleet_of(data_001=[quoting()])
    serve(fleet)

    answers = [ask("ZZZZ") for _ in range(3)]

    assert {(a.status, a.body["reason"], a.body["origin"]) for a in answers} == {
        (404, "unknown-symbol", "gateway")
    }
    assert answers[0].headers["Content-Type"] == "application/problem+json"
    assert fleet.asked() == {"data_001": 1}


def test_a_symbol_the_broker_calls_invalid_is_unknown(
    fleet_of: Callable[..., Any], serve: Callable[..., None], ask: Callable[..., Any]
) -> None:
    refusal = {"message": "code=400, message=invalid symbol: QQ.ZZ"}
    serve(fleet_of(data_001=[answering(http(400, refusal))]))

    assert ask("QQ.ZZ").body["reason"] == "unknown-symbol"


@pytest.mark.parametrize(
    ("how", "status"),
    [
        ({"with_token": False}, 401),
        ({"exp": 1}, 401),
        ({"permissions": []}, 403),
        ({"permissions": ["trade", "account_read", "monitor", "operator", "admin"]}, 403),
    ],
)
def test_without_the_right_token_nothing_is_asked(
    fleet_of: Callable[..., Any],
    serve: Callable[..., None],
    ask: Callable[..., Any],
    how: dict[str, Any],
    status: int,
) -> None:
    fleet = fleet_of(data_001=[quoting("AAPL")])
    serve(fleet)

    answered = ask("AAPL", **how)

    assert answered.status == status
    assert ask("not a symbol", **how).status == status
    assert fleet.asked() == {"data_001": 0}
