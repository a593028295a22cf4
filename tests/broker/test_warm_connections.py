"""Connections are shared by all accounts, kept warm, and not trusted when they may be dead."""

import select
import threading
import time
from pathlib import Path

import pytest

from opitios.broker.alpaca.transport import Transport, TransportTimers
from opitios.broker.errors import NotSent
from opitios.broker.guard import Guard
from opitios.broker.port import Credentials
from tests.broker.certificates import self_signed, server_context, trusting_context
from tests.broker.conftest import TIMERS, BrokerStarter, TradingAt
from tests.broker.loopback import (
    LoopbackBroker,
    answering,
    answering_at_the_gate,
    answering_then_closing,
    http,
    tunneling_to,
)
from tests.support.crowd import patient

FINE = http(200, {"id": "1"})
ORDER = {"symbol": "AAPL", "qty": "1"}


def test_one_connection_serves_all_accounts_in_turn(
    broker_that: BrokerStarter, trading_at: TradingAt
) -> None:
    broker = broker_that(answering(FINE))

    for _ in range(5):
        trading_at(broker.origin).account()

    assert len(broker.requests) == 5
    assert broker.connections == 1


def test_calls_at_the_same_time_get_connections_of_their_own(
    broker_that: BrokerStarter, trading_at: TradingAt
) -> None:
    broker = broker_that(answering_at_the_gate(FINE))
    trading = trading_at(broker.origin)
    callers = [threading.Thread(target=trading.account) for _ in range(3)]

    for caller in callers:
        caller.start()
    broker.wait_for_requests(3)
    broker.gate.release(3)
    for caller in callers:
        caller.join()

    assert broker.connections == 3


def test_a_connection_closed_by_the_server_does_not_cost_an_order(
    broker_that: BrokerStarter, trading_at: TradingAt, transport: Transport
) -> None:
    broker = broker_that(answering_then_closing(FINE), answering(FINE))
    trading = trading_at(broker.origin)
    trading.account()

    _wait_until_the_server_hung_up(transport, broker)
    answer = trading.submit_order(ORDER)

    assert answer.http_status == 200
    assert broker.posts() == 1
    assert broker.connections == 2


def test_a_connection_that_was_idle_for_long_is_not_used_again(
    broker_that: BrokerStarter, trading_at: TradingAt, transport: Transport
) -> None:
    broker = broker_that(answering(FINE))
    trading = trading_at(broker.origin)
    trading.account()

    stack = transport.connections(broker.origin)
    (used_at, connection) = stack._idle.pop()
    stack._idle.append((used_at - TIMERS.idle, connection))
    trading.submit_order(ORDER)

    assert broker.connections == 2
    assert connection.is_closed


def test_connections_left_over_from_a_burst_are_closed(
    broker_that: BrokerStarter, trading_at: TradingAt, transport: Transport
) -> None:
    broker = broker_that(answering(FINE))
    trading = trading_at(broker.origin)
    trading.account()

    stack = transport.connections(broker.origin)
    (used_at, left_over) = stack._idle.pop()
    trading.account()
    stack._idle.appendleft((used_at - TIMERS.idle, left_over))
    trading.account()

    assert left_over.is_closed
    assert len(stack._idle) == 1


def test_an_answer_that_ends_the_connection_is_believed(
    broker_that: BrokerStarter, trading_at: TradingAt
) -> None:
    broker = broker_that(answering_then_closing(http(200, {"id": "1"}, Connection="close")))
    trading = trading_at(broker.origin)

    trading.account()
    trading.account()

    assert broker.connections == 2


def test_tls_is_verified_by_the_one_shared_context(
    broker_that: BrokerStarter,
    credentials: Credentials,
    guard: Guard,
    tmp_path: Path,
    trading_at: TradingAt,
) -> None:
    certificate = self_signed(tmp_path, "127.0.0.1")
    broker = broker_that(answering(FINE), tls=server_context(certificate))
    trusting = Transport(timers=TIMERS, ssl_context=trusting_context(certificate))

    request = b"GET /v2/account HTTP/1.1\r\nHost: x\r\n\r\n"
    reply = trusting.connections(broker.origin).exchange(
        request, method="GET", deadline=_soon(), max_bytes=1000
    )
    trusting.close()

    assert reply.status == 200
    with pytest.raises(NotSent, match=r"no connection \(SSL"):
        trading_at(broker.origin).submit_order(ORDER)
    assert broker.posts() == 0


def test_a_certificate_of_another_host_is_refused(
    broker_that: BrokerStarter, tmp_path: Path
) -> None:
    certificate = self_signed(tmp_path, "broker.example")
    broker = broker_that(answering(FINE), tls=server_context(certificate))
    transport = Transport(timers=TIMERS, ssl_context=trusting_context(certificate))

    with pytest.raises(NotSent, match=r"no connection \(SSL"):
        transport.connections(broker.origin).exchange(
            b"GET / HTTP/1.1\r\n\r\n", method="GET", deadline=_soon(), max_bytes=1000
        )

    assert broker.requests == []


def test_a_name_behind_the_proxy_of_the_environment_is_reached_through_it(
    broker_that: BrokerStarter, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    certificate = self_signed(tmp_path, "broker.example")
    broker = broker_that(answering(FINE), tls=server_context(certificate))
    proxy = broker_that(tunneling_to(broker.port))
    monkeypatch.setenv("HTTPS_PROXY", proxy.origin)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    transport = Transport(timers=TIMERS, ssl_context=trusting_context(certificate))

    reply = transport.connections("https://broker.example").exchange(
        b"GET /v2/account HTTP/1.1\r\nHost: broker.example\r\n\r\n",
        method="GET",
        deadline=_soon(),
        max_bytes=1000,
    )
    transport.close()

    assert reply.status == 200
    assert (proxy.requests[0].method, proxy.requests[0].target) == ("CONNECT", "broker.example:443")


def test_the_default_timers_are_those_of_the_table() -> None:
    assert TransportTimers() == TransportTimers(connect=2.0, submit=8.0, other=5.0, idle=30.0)


def _soon() -> float:
    return time.monotonic() + patient(5)


def _wait_until_the_server_hung_up(transport: Transport, broker: LoopbackBroker) -> None:
    (_, connection) = transport.connections(broker.origin)._idle[0]
    readable, _, _ = select.select([connection.sock], [], [], patient(5))
    assert readable


def test_connections_that_wait_for_a_call_are_counted(
    broker_that: BrokerStarter, trading_at: TradingAt, transport: Transport
) -> None:
    broker = broker_that(answering_at_the_gate(FINE))
    trading = trading_at(broker.origin)
    callers = [threading.Thread(target=trading.account) for _ in range(2)]
    before = transport.idle

    for caller in callers:
        caller.start()
    broker.wait_for_requests(2)
    while_called = transport.idle
    broker.gate.release(2)
    for caller in callers:
        caller.join()

    assert (before, while_called, transport.idle) == (0, 0, 2)
    transport.close()
    assert transport.idle == 0
