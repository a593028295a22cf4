"""Five calls of an account at one time, a bounded number in all; who waits, waits briefly."""

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from opitios.broker.alpaca.endpoints import sandbox_endpoint
from opitios.broker.alpaca.trading import AlpacaTrading
from opitios.broker.alpaca.transport import Transport, TransportTimers
from opitios.broker.errors import BrokerError, NotSent, OutcomeUnknown, Refused
from opitios.broker.guard import Bulkhead, Guard
from opitios.broker.port import Credentials
from tests.broker.conftest import BrokerStarter
from tests.broker.loopback import answering, answering_at_the_gate, hanging, http
from tests.support.crowd import Stopwatch

FINE = http(200, {"id": "1"})
ORDER = {"qty": "1"}

AccountAt = Callable[..., AlpacaTrading]
Starter = Callable[[Callable[[], Any], int], None]


@pytest.fixture
def transport() -> Iterator[Transport]:
    """Patient, for as long as a test wants to hold its slots."""
    made = Transport(timers=TransportTimers(connect=60.0, submit=60.0, other=60.0))
    yield made
    made.close()


@pytest.fixture
def account_at(credentials: Credentials, transport: Transport) -> AccountAt:
    def build(origin: str, guard: Guard, by: Transport = transport) -> AlpacaTrading:
        endpoint = sandbox_endpoint(origin)
        return AlpacaTrading(credentials=credentials, endpoint=endpoint, transport=by, guard=guard)

    return build


@pytest.fixture
def started() -> Iterator[Starter]:
    threads: list[threading.Thread] = []

    def start(call: Callable[..., Any], times: int) -> None:
        for _ in range(times):
            threads.append(threading.Thread(target=_ignoring_the_end, args=(call,)))
            threads[-1].start()

    yield start
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


def _ignoring_the_end(call: Callable[..., Any]) -> None:
    try:
        call()
    except BrokerError:
        return


def test_the_sixth_call_of_an_account_waits_for_a_slot(
    broker_that: BrokerStarter, account_at: AccountAt, started: Starter
) -> None:
    broker = broker_that(answering_at_the_gate(FINE))
    account = account_at(broker.origin, Guard(process=Bulkhead(2000)))

    started(partial(account.submit_order, ORDER), 6)
    broker.wait_for_requests(5)
    assert len(broker.requests) == 5

    broker.gate.release(6)
    broker.wait_for_requests(6)
    assert broker.connections == 5


def test_a_call_that_finds_no_slot_in_time_was_not_sent(
    broker_that: BrokerStarter, account_at: AccountAt, started: Starter
) -> None:
    broker = broker_that(hanging)
    guard, brief = Guard(process=Bulkhead(2000)), Transport(timers=TransportTimers(other=0.5))
    started(partial(account_at(broker.origin, guard).submit_order, ORDER), 5)
    broker.wait_for_requests(5)

    with Stopwatch() as took, pytest.raises(NotSent) as caught:
        account_at(broker.origin, guard, brief).account()

    assert caught.value.reason in {"no-slot", "deadline"}
    assert took.is_within(1), took
    assert len(broker.requests) == 5
    broker.close()


def test_a_slow_account_does_not_take_the_slots_of_another(
    broker_that: BrokerStarter, account_at: AccountAt, started: Starter
) -> None:
    process = Bulkhead(6)
    slow, quick = broker_that(hanging), broker_that(answering(FINE))
    started(partial(account_at(slow.origin, Guard(process=process)).submit_order, ORDER), 7)
    slow.wait_for_requests(5)

    answer = account_at(quick.origin, Guard(process=process)).submit_order(ORDER)

    assert answer.http_status == 200
    slow.close()


def test_the_whole_process_is_bounded(
    broker_that: BrokerStarter, account_at: AccountAt, started: Starter
) -> None:
    broker = broker_that(hanging)
    process = Bulkhead(2)
    started(partial(account_at(broker.origin, Guard(process=process)).submit_order, ORDER), 2)
    broker.wait_for_requests(2)

    with pytest.raises(NotSent, match="no slot"):
        Guard(process=process).call(
            method="GET", route="x", deadline=time.monotonic(), send=lambda: None
        )

    assert len(broker.requests) == 2
    broker.close()


def test_a_slot_comes_back_however_a_call_ends(
    broker_that: BrokerStarter, account_at: AccountAt
) -> None:
    broker = broker_that(answering(http(422, {"message": "no"})), answering(FINE))
    account = account_at(broker.origin, Guard(process=Bulkhead(1), slots=1))

    with pytest.raises(Refused):
        account.account()

    assert account.account().http_status == 200


def test_the_observer_learns_each_call_by_its_template(
    broker_that: BrokerStarter, account_at: AccountAt
) -> None:
    calls: list[dict[str, Any]] = []
    broker = broker_that(
        answering(FINE), answering(http(404, {"message": "x"})), answering(http(504))
    )
    guard = Guard(process=Bulkhead(9), observer=lambda **call: calls.append(call))
    account = account_at(broker.origin, guard)

    account.submit_order({"qty": "1"})
    for ending in (account.order, account.position):
        with pytest.raises((Refused, OutcomeUnknown)):
            ending("AAPL")

    assert [(call["method"], call["route"], call["outcome"]) for call in calls] == [
        ("POST", "/v2/orders", "answered"),
        ("GET", "/v2/orders/{order_id}", "not-found"),
        ("GET", "/v2/positions/{symbol}", "unknown"),
    ]
    assert all(0 <= call["seconds"] < 60 for call in calls)
