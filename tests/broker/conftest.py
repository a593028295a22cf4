"""Fixtures of the broker's room: loopback brokers, and clients that are patient with them."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from opitios.broker.alpaca.backoff import StreamTimers
from opitios.broker.alpaca.endpoints import sandbox_endpoint
from opitios.broker.alpaca.streams import TradeUpdates
from opitios.broker.alpaca.trading import AlpacaTrading
from opitios.broker.alpaca.transport import Transport, TransportTimers
from opitios.broker.guard import Bulkhead, Guard
from opitios.broker.port import Credentials
from tests.broker.loopback import Behaviour, LoopbackBroker
from tests.broker.stream_server import Script, StreamServer
from tests.support.crowd import patient

KEY_ID = "PKCANARYKEYID"
SECRET = "canary-secret-value"  # noqa: S105 - a canary that must never show up
# What is to be answered has its time, on a crowded machine, too; what never is, is given up soon.
TIMERS = TransportTimers(connect=patient(2.0), submit=patient(8.0), other=patient(5.0))
BRIEF = TransportTimers(connect=patient(2.0), submit=0.8)
STREAM_TIMERS = StreamTimers(
    open=patient(10.0),
    sign_in=patient(10.0),
    ping_every=0.3,
    ping_answer=patient(10.0),
    close=0.2,
    first_wait=0.05,
    longest_wait=0.5,
    unauthorized_wait=0.6,
)

BrokerStarter = Callable[..., LoopbackBroker]
TradingAt = Callable[[str], AlpacaTrading]
ServerStarter = Callable[..., StreamServer]
StreamsStarter = Callable[..., TradeUpdates]


@pytest.fixture
def credentials() -> Credentials:
    return Credentials(KEY_ID, SECRET)


@pytest.fixture
def broker_that() -> Iterator[BrokerStarter]:
    started: list[LoopbackBroker] = []

    def start(*behaviours: Behaviour, **settings: Any) -> LoopbackBroker:
        started.append(LoopbackBroker(list(behaviours), **settings))
        return started[-1]

    yield start
    for broker in started:
        broker.close()


@pytest.fixture
def transport() -> Iterator[Transport]:
    made = Transport(timers=TIMERS)
    yield made
    made.close()


@pytest.fixture
def guard() -> Guard:
    return Guard(process=Bulkhead(2000))


@pytest.fixture
def trading_at(credentials: Credentials, transport: Transport, guard: Guard) -> TradingAt:
    def build(origin: str) -> AlpacaTrading:
        return AlpacaTrading(
            credentials=credentials,
            endpoint=sandbox_endpoint(origin),
            transport=transport,
            guard=guard,
        )

    return build


@pytest.fixture
def hasty_at(credentials: Credentials, guard: Guard) -> Iterator[TradingAt]:
    """As `trading_at`, but without patience for a broker that does not answer."""
    transport = Transport(timers=BRIEF)

    def build(origin: str) -> AlpacaTrading:
        return AlpacaTrading(
            credentials=credentials,
            endpoint=sandbox_endpoint(origin),
            transport=transport,
            guard=guard,
        )

    yield build
    transport.close()


class Owner:
    """Keeps what a stream told its owner, in the order it was told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str | bytes]] = []
        self._changed = threading.Condition()

    def on_state(self, account_id: str, state: str) -> None:
        self._add((account_id, state))

    def deliver(self, account_id: str, raw: bytes, _received_at: float) -> None:
        self._add((account_id, raw))

    def states(self) -> list[str]:
        return [said for _, said in self.events if isinstance(said, str)]

    def messages(self) -> list[bytes]:
        return [said for _, said in self.events if isinstance(said, bytes)]

    def wait_until(self, holds: Callable[["Owner"], object]) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: holds(self), timeout=60), self.events

    def _add(self, event: tuple[str, str | bytes]) -> None:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()


@pytest.fixture
def owner() -> Owner:
    return Owner()


@pytest.fixture
def stream_server() -> Iterator[ServerStarter]:
    started: list[StreamServer] = []

    def start(*scripts: Script, **settings: Any) -> StreamServer:
        started.append(StreamServer(*scripts, **settings))
        return started[-1]

    yield start
    for server in started:
        server.close()


@pytest.fixture
def streams_for(owner: Owner) -> Iterator[StreamsStarter]:
    started: list[TradeUpdates] = []

    def start(**settings: Any) -> TradeUpdates:
        given: dict[str, Any] = {
            "deliver": owner.deliver,
            "on_state": owner.on_state,
            "timers": STREAM_TIMERS,
        }
        started.append(TradeUpdates(**(given | settings)))
        started[-1].start()
        return started[-1]

    yield start
    for streams in started:
        streams.stop()
