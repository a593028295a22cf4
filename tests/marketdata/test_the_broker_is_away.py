"""With the broker away the last quote is shown as stale, for a minute; then 503."""

from collections.abc import Callable
from typing import Any

import pytest

from opitios.broker.alpaca.transport import TransportTimers
from tests.broker.loopback import answering, hanging, http, resetting
from tests.marketdata.brokers import quoting


def test_the_last_quote_is_shown_with_its_age(
    later: Callable[[float], None],
    fleet_of: Callable[..., Any],
    serve: Callable[..., None],
    ask: Callable[..., Any],
) -> None:
    serve(fleet_of(data_001=[quoting("AAPL"), resetting]))
    fresh = ask("AAPL").body
    later(30)

    stale = ask("AAPL")

    assert (stale.status, stale.body["source"]) == (200, "stale")
    assert 30_000 <= stale.body["age_ms"] < 40_000
    assert (stale.body["bp"], stale.body["t"]) == (fresh["bp"], fresh["t"])


def test_after_a_minute_it_is_503(
    later: Callable[[float], None],
    fleet_of: Callable[..., Any],
    serve: Callable[..., None],
    ask: Callable[..., Any],
) -> None:
    serve(fleet_of(data_001=[quoting("AAPL"), resetting]))
    ask("AAPL")
    later(61)

    answered = ask("AAPL")

    assert (answered.status, answered.body["reason"]) == (503, "broker-unavailable")
    assert answered.headers["Retry-After"] == "1"


class TestABrokerThatHangs:
    """Its callers wait for one call's time, not for ever."""

    @pytest.fixture
    def timers(self) -> TransportTimers:
        """A tenth of production's."""
        return TransportTimers(connect=0.2, submit=0.8, other=0.5, idle=3.0)

    def test_it_is_503(
        self, fleet_of: Callable[..., Any], serve: Callable[..., None], ask: Callable[..., Any]
    ) -> None:
        fleet = fleet_of(data_001=[hanging])
        serve(fleet)

        assert ask("AAPL").body["reason"] == "broker-unavailable"
        assert fleet.asked() == {"data_001": 1}


@pytest.mark.parametrize(
    "away",
    [resetting, answering(http(503, b"")), answering(http(200, b"<html>ok</html>"))],
)
def test_a_symbol_never_seen_is_503(
    fleet_of: Callable[..., Any], serve: Callable[..., None], ask: Callable[..., Any], away: Any
) -> None:
    serve(fleet_of(data_001=[away]))

    answered = ask("AAPL")

    assert (answered.status, answered.body["reason"]) == (503, "broker-unavailable")
    assert answered.body["retry"] == "same_key"


@pytest.mark.parametrize(
    "body",
    [
        {"quotes": []},
        {"quotes": {"AAPL": 7}},
        {"quotes": {"AAPL": {"t": "now"}}},
        {"quotes": {"AAPL": {"t": 1, "bp": "1", "bs": 1, "ap": 1, "as": 1}}},
        {"quotes": {"AAPL": {"t": "x", "bp": 10**30, "bs": 1, "ap": 1, "as": 1}}},
    ],
)
def test_an_answer_that_is_no_quote_is_no_answer(
    fleet_of: Callable[..., Any], serve: Callable[..., None], ask: Callable[..., Any], body: Any
) -> None:
    fleet = fleet_of(data_001=[answering(http(200, body))], data_002=[quoting("AAPL")])
    serve(fleet)

    assert ask("AAPL").body["source"] == "broker"
    assert fleet.asked() == {"data_001": 1, "data_002": 1}


def test_a_broker_back_is_a_fresh_quote_again(
    later: Callable[[float], None], fleet_of: Callable[..., Any]
) -> None:
    fleet = fleet_of(data_001=[quoting("AAPL"), resetting, quoting("AAPL", bp=190)])
    sources, told = fleet.sources(), []
    for _ in range(3):
        told.append(fleet.quote("AAPL", sources=sources)["source"])
        later(2)

    assert told == ["broker", "stale", "broker"]


def test_no_data_account_at_all_says_what_to_add(
    fleet_of: Callable[..., Any], serve: Callable[..., None], ask: Callable[..., Any]
) -> None:
    serve(fleet_of())

    answered = ask("AAPL")

    assert (answered.status, answered.body["reason"]) == (503, "broker-unavailable")
    assert "add one of type data, master or backup" in answered.body["detail"]


def test_a_plan_without_the_feed_is_the_brokers_refusal(
    fleet_of: Callable[..., Any], serve: Callable[..., None], ask: Callable[..., Any]
) -> None:
    message = "subscription does not permit querying recent SIP data"
    serve(fleet_of(data_001=[answering(http(403, {"message": message}))]))

    answered = ask("AAPL", query="?feed=sip")

    assert (answered.status, answered.body["origin"]) == (403, "broker")
    assert answered.body["message"] == message
