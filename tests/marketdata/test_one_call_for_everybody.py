"""However many ask for a symbol at once, the broker is asked once."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from opitios.broker.errors import BrokerError
from tests.broker.loopback import answering, answering_at_the_gate, http
from tests.marketdata.brokers import quotes_answer

PROGRAMS = 50

pytestmark = pytest.mark.races


def _all_at_once(call: Callable[[], Any], first_is_sent: Callable[[], None]) -> list[Any]:
    """Start every program together, and let `first_is_sent` open the way for the answer."""
    together = threading.Barrier(PROGRAMS)

    def program() -> Any:
        together.wait(10)
        return call()

    with ThreadPoolExecutor(PROGRAMS) as pool:
        running = [pool.submit(program) for _ in range(PROGRAMS)]
        first_is_sent()
        return [one.result(10) for one in running]


def test_fifty_requests_for_a_cold_symbol_make_one_upstream_call(
    fleet_of: Callable[..., Any], serve: Callable[..., None], ask: Callable[..., Any]
) -> None:
    fleet = fleet_of(data_001=[answering_at_the_gate(quotes_answer("AAPL"))])
    broker = fleet.brokers["data_001"]
    serve(fleet)

    def open_gate() -> None:
        broker.wait_for_requests(1)
        broker.gate.release()

    answers = _all_at_once(lambda: ask("AAPL"), open_gate)

    assert {answered.status for answered in answers} == {200}
    assert len({answered.body["bp"] for answered in answers}) == 1
    assert {answered.body["source"] for answered in answers} <= {"broker", "cache"}
    assert fleet.asked() == {"data_001": 1}


def test_a_failure_is_told_to_everybody_who_waited_and_is_not_kept(
    fleet_of: Callable[..., Any],
) -> None:
    refusal = http(400, {"message": "code=400, message=bad request"})
    fleet = fleet_of(data_001=[answering_at_the_gate(refusal), answering(quotes_answer("AAPL"))])
    broker, quotes = fleet.brokers["data_001"], fleet.quotes()
    loading = threading.Thread(target=lambda: _refused(quotes))
    loading.start()
    broker.wait_for_requests(1)
    broker.gate.release()
    loading.join(5)

    answered = quotes.latest(symbol="AAPL", feed="iex")

    assert answered["source"] == "broker"
    assert fleet.asked() == {"data_001": 2}


def _refused(quotes: Any) -> None:
    from opitios.core.errors import Problem  # noqa: PLC0415

    with pytest.raises(Problem) as caught:
        quotes.latest(symbol="AAPL", feed="iex")
    assert caught.value.status == 400
    assert isinstance(caught.value.__cause__, BrokerError)
