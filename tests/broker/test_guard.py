"""A guarded call: what may not go raises before a byte leaves, and every ending is counted."""

import time
from collections.abc import Callable
from threading import Thread
from typing import Any

import pytest

from opitios.broker.alpaca.endpoints import sandbox_endpoint
from opitios.broker.alpaca.trading import AlpacaTrading
from opitios.broker.alpaca.transport import Transport
from opitios.broker.breaker import BreakerTimers, State
from opitios.broker.budget import Budget, Lane
from opitios.broker.errors import BrokerError, NotSent, OutcomeUnknown, Throttled
from opitios.broker.guard import Bulkhead, Guard
from opitios.broker.hosts import Hosts
from opitios.broker.port import Credentials
from tests.broker.conftest import BrokerStarter
from tests.broker.loopback import answering, hanging, http

FINE = http(200, {"id": "1"})
ORDER = {"qty": "1"}

AccountAt = Callable[[str, Guard], AlpacaTrading]


@pytest.fixture
def account_at(credentials: Credentials, transport: Transport) -> AccountAt:
    def build(origin: str, guard: Guard) -> AlpacaTrading:
        endpoint = sandbox_endpoint(origin)
        return AlpacaTrading(
            credentials=credentials, endpoint=endpoint, transport=transport, guard=guard
        )

    return build


def guarded(**settings: Any) -> Guard:
    """A guard of its own."""
    return Guard(process=Bulkhead(2000), **settings)


def fail(call: Callable[[], object], times: int) -> None:
    """Let a call fail so often, however it does."""
    for _ in range(times):
        with pytest.raises(BrokerError):
            call()


def test_five_lost_answers_open_the_breaker_and_the_sixth_call_is_not_sent(
    broker_that: BrokerStarter, account_at: AccountAt
) -> None:
    broker = broker_that(*[answering(http(504))] * 5)
    guard = guarded(budget=Budget(), hosts=Hosts(BreakerTimers(open=60)))
    account = account_at(broker.origin, guard)
    fail(lambda: account.submit_order(ORDER), 5)
    left = guard.budget.submits_left(time.monotonic()) if guard.budget else 0

    with pytest.raises(NotSent) as caught:
        account.submit_order(ORDER)

    assert caught.value.reason == "breaker-open"
    assert caught.value.is_held_back
    assert 30 < (caught.value.retry_after_seconds or 0) <= 60
    assert len(broker.requests) == 5
    assert guard.state() is State.OPEN
    assert guard.admit() > 0
    assert guard.budget is not None
    assert guard.budget.submits_left(time.monotonic()) == left


def test_no_connection_fails_the_host_for_every_account(account_at: AccountAt) -> None:
    hosts = Hosts()
    origin = "http://127.0.0.1:9"
    first = account_at(origin, guarded(hosts=hosts))
    other_guard = guarded(hosts=hosts)
    other = account_at(origin, other_guard)
    fail(first.account, 20)

    with pytest.raises(NotSent, match="left alone"):
        other.account()

    figures = hosts.of(origin).figures(time.monotonic())
    assert (figures.error_rate, figures.last_success) == (1.0, None)
    assert other_guard.state() is State.OPEN


def test_refusals_leave_the_way_open(broker_that: BrokerStarter, account_at: AccountAt) -> None:
    broker = broker_that(*[answering(http(422, {"message": "no"}))] * 25)
    guard = guarded()
    fail(lambda: account_at(broker.origin, guard).submit_order(ORDER), 25)

    assert guard.state() is State.CLOSED
    assert guard.trading is not None
    assert guard.trading.host.figures(time.monotonic()).error_rate == 0


def test_an_order_let_in_is_counted_once_and_one_withdrawn_not_at_all(
    broker_that: BrokerStarter, account_at: AccountAt
) -> None:
    budget = Budget(per_minute=2, reserve=0)
    guard = guarded(budget=budget)
    account = account_at(broker_that(answering(FINE)).origin, guard)

    assert guard.admit() == 0.0
    account.submit_order(ORDER)
    guard.withdraw()
    assert budget.submits_left(time.monotonic()) == 1
    assert guard.admit() == 0.0
    assert guard.admit() > 0
    guard.withdraw()

    assert budget.submits_left(time.monotonic()) == 1


def test_an_order_let_in_on_one_thread_is_not_sent_by_another(
    broker_that: BrokerStarter, account_at: AccountAt
) -> None:
    guard = guarded(budget=Budget(per_minute=1, reserve=0))
    account = account_at(broker_that(answering(FINE)).origin, guard)
    assert guard.admit() == 0.0
    reasons: list[str] = []

    def send() -> None:
        with pytest.raises(NotSent) as caught:
            account.submit_order(ORDER)
        reasons.append(caught.value.reason)

    other = Thread(target=send)
    other.start()
    other.join()

    assert reasons == ["no-budget"]
    assert account.submit_order(ORDER).http_status == 200


def test_a_429_rests_the_account_and_headers_correct_it(
    broker_that: BrokerStarter, account_at: AccountAt
) -> None:
    reset = str(int(time.time()) + 30)
    headers = {
        "X_RateLimit_Limit": "200",
        "X_RateLimit_Remaining": "22",
        "X_RateLimit_Reset": reset,
    }
    broker = broker_that(
        answering(http(200, {"id": "1"}, **headers)),
        answering(http(429, {"message": "slow"}, Retry_After="9")),
    )
    guard = guarded(budget=Budget())
    account = account_at(broker.origin, guard)

    account.account()
    assert guard.budget is not None
    assert guard.budget.submits_left(time.monotonic()) == 2
    with pytest.raises(Throttled):
        account.account()

    assert 4 < guard.wait(Lane.SUBMIT) <= 9
    assert guard.wait(Lane.CANCEL) == 0.0


def test_a_slot_stays_for_cancels_while_everything_else_hangs(
    broker_that: BrokerStarter, account_at: AccountAt
) -> None:
    broker = broker_that(hanging, hanging, hanging, hanging, answering(http(204)))
    guard = guarded(spare=1)
    account = account_at(broker.origin, guard)
    threads = [Thread(target=_ignoring, args=(account.account,)) for _ in range(6)]
    for thread in threads:
        thread.start()
    broker.wait_for_requests(4)

    account.cancel_order("x")

    assert len(broker.requests) == 5
    broker.close()
    for thread in threads:
        thread.join(60)
    assert guard.in_flight == 0


def _ignoring(call: Callable[[], object]) -> None:
    try:
        call()
    except BrokerError:
        return


def test_market_data_has_a_breaker_of_its_own(
    broker_that: BrokerStarter, account_at: AccountAt, transport: Transport
) -> None:
    broker = broker_that(answering(FINE))
    guard = guarded(budget=Budget())
    account = account_at(broker.origin, guard)
    data = guard.line("data", broker.origin)

    for _ in range(5):
        with pytest.raises(OutcomeUnknown):
            guard.call(
                method="GET", route="x", deadline=time.monotonic() + 1,
                lane=Lane.DATA, line=data, send=_lost,
            )  # fmt: skip

    assert data.breaker.state(time.monotonic()) is State.OPEN
    assert guard.state() is State.CLOSED
    assert account.account().http_status == 200


def _lost() -> object:
    raise OutcomeUnknown(message="lost", reason="timeout")
