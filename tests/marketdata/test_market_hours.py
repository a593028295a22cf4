"""The market's hours are the broker's word; a clock that is none changes and ends nothing."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from opitios.core.errors import Problem, Reason
from tests.broker.loopback import answering, http
from tests.support.until import until

CLOCK = {
    "timestamp": "2026-11-21T10:00:00.123456789-05:00",
    "is_open": False,
    "next_open": "2036-11-23T09:30:00-05:00",
    "next_close": "2036-11-23T16:00:00-05:00",
}
# Alpaca never said any of these; what stands between may.
WRONG: Mapping[str, Any] = {
    "no object": [CLOCK],
    "nothing": {},
    "no next_open": {name: CLOCK[name] for name in CLOCK if name != "next_open"},
    "a word for is_open": CLOCK | {"is_open": "maybe"},
    "no instant": CLOCK | {"next_close": "tomorrow"},
    "an instant without offset": CLOCK | {"next_open": "2036-11-23T09:30:00"},
    "null": CLOCK | {"next_open": None},
}


def test_the_broker_s_word_is_believed(fleet_of: Callable[..., Any]) -> None:
    sources = fleet_of(data_001=[answering(http(200, CLOCK))]).sources()
    sources.hours._asked_at = float("-inf")

    until(lambda: not sources.hours.is_open())


@pytest.mark.parametrize("said", WRONG.values(), ids=WRONG)
def test_a_clock_that_is_none_is_no_answer(fleet_of: Callable[..., Any], said: Any) -> None:
    from marketdata import questions  # noqa: PLC0415 - Django is set up after this file

    sources = fleet_of(data_001=[answering(http(200, said))]).sources()

    with pytest.raises(Problem) as caught:
        sources.reads.answer(questions.clock())

    assert caught.value.reason is Reason.BROKER_UNAVAILABLE


def test_while_the_broker_s_clock_is_none_the_market_counts_as_open_and_is_asked_again(
    fleet_of: Callable[..., Any],
) -> None:
    # A thread that ended with a traceback would fail this test by itself.
    said = [WRONG["no next_open"], CLOCK]
    fleet = fleet_of(data_001=[answering(http(200, each)) for each in said])
    hours = fleet.sources().hours

    hours._asked_at = float("-inf")
    assert hours.is_open()
    until(lambda: fleet.asked()["data_001"] == 1 and not hours._lock.locked())
    assert hours.is_open()

    hours._asked_at = float("-inf")
    until(lambda: not hours.is_open())
