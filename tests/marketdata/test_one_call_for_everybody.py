"""However many ask for a symbol at once, the broker is asked once."""

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from marketdata import loads, rows
from opitios.broker.alpaca.transport import TransportTimers
from opitios.broker.errors import BrokerError
from opitios.core import coalesce
from opitios.core.admission import Threads
from opitios.core.coalesce import Coalesced
from tests.broker.loopback import answering, answering_at_the_gate, http
from tests.marketdata.brokers import quotes_answer

PROGRAMS = 50

pytestmark = pytest.mark.races


@pytest.fixture
def timers() -> TransportTimers:
    """As patient as a crowded machine needs fifty threads to begin."""
    return TransportTimers(other=60.0)


def _all_at_once(call: Callable[[], Any], all_are_there: Callable[[], None]) -> list[Any]:
    """Start every program, and let `all_are_there` open the way for the answer."""
    with ThreadPoolExecutor(PROGRAMS) as pool:
        running = [pool.submit(call) for _ in range(PROGRAMS)]
        all_are_there()
        return [one.result(60) for one in running]


def test_fifty_requests_for_a_cold_symbol_make_one_upstream_call(
    fleet_of: Callable[..., Any],
    serve: Callable[..., None],
    ask: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fleet = fleet_of(data_001=[answering_at_the_gate(quotes_answer("AAPL"))])
    broker = fleet.brokers["data_001"]
    serve(fleet)
    arrivals = itertools.count(1)
    everybody = threading.Event()
    get = Coalesced.get_many

    def counted(*args: Any, **kwargs: Any) -> Any:
        if next(arrivals) == PROGRAMS:
            everybody.set()
        return get(*args, **kwargs)

    monkeypatch.setattr(Coalesced, "get_many", counted)
    # No web process has so many threads, and none would let all of them wait.
    monkeypatch.setattr(coalesce, "get_threads", lambda: Threads(10 * PROGRAMS))
    # As long as they wait for a slow broker, and as the last of them needs to come.
    monkeypatch.setattr(loads, "WAIT_SECONDS", 60.0)
    monkeypatch.setattr(rows, "FRESH_OPEN", 60.0)

    def open_gate() -> None:
        assert everybody.wait(60)
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
    broker, sources = fleet.brokers["data_001"], fleet.sources()
    loading = threading.Thread(target=lambda: _refused(fleet, sources))
    loading.start()
    broker.wait_for_requests(1)
    broker.gate.release()
    loading.join(60)

    answered = fleet.quote("AAPL", sources=sources)

    assert answered["source"] == "broker"
    assert fleet.asked() == {"data_001": 2}


def _refused(fleet: Any, sources: Any) -> None:
    from opitios.core.errors import Problem  # noqa: PLC0415

    with pytest.raises(Problem) as caught:
        fleet.quote("AAPL", sources=sources)
    assert caught.value.status == 400
    assert isinstance(caught.value.__cause__, BrokerError)
