"""Data accounts on small brokers of their own, and a client with a token for quotes."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from opitios.broker.alpaca.transport import Transport, TransportTimers
from tests.broker.loopback import Behaviour, LoopbackBroker
from tests.marketdata.brokers import Fleet

FleetStarter = Callable[..., Fleet]


@pytest.fixture
def timers() -> TransportTimers:
    """Production's; a test of a broker that hangs has shorter ones."""
    return TransportTimers()


@pytest.fixture
def fleet_of(timers: TransportTimers, monkeypatch: pytest.MonkeyPatch) -> Iterator[FleetStarter]:
    """Start one broker for each account: `fleet_of(data_001=[answering(…)], …)`.

    Nobody counts as slow on a crowded machine; only a test that says so has a slow broker.
    """
    from marketdata import loads, routing  # noqa: PLC0415 - Django is set up after this file

    monkeypatch.setattr(routing, "SLOW_SECONDS", 60.0)
    monkeypatch.setattr(loads, "PATIENCE_SECONDS", 60.0)
    transport = Transport(timers=timers)
    brokers: list[LoopbackBroker] = []

    def start(**behaviours: list[Behaviour]) -> Fleet:
        fleet = Fleet(transport)
        for account_id, behaves in behaviours.items():
            brokers.append(fleet.add(account_id, behaves))
        return fleet

    yield start
    for broker in brokers:
        broker.close()
    transport.close()


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Callable[[Fleet], None]:
    """Let the API read from a fleet."""
    from marketdata import api  # noqa: PLC0415 - Django is set up after this file

    def use(fleet: Fleet) -> None:
        sources = fleet.sources()
        monkeypatch.setattr(api, "get_sources", lambda: sources)

    return use


@pytest.fixture
def ask() -> Callable[..., Any]:
    """Ask the endpoint: `ask("AAPL", feed="sip", permissions=["trade"])`; token None for none."""
    from tests.marketdata.calls import ask_quote  # noqa: PLC0415 - Django is set up after this file

    return ask_quote


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Stop the monotonic clock of the caches, and move it ahead.

    However long a crowded machine takes between two questions, what was fresh stays so. Of two
    looks the later one is later, by a nanosecond.
    """
    from opitios.core import clock  # noqa: PLC0415 - Django is set up after this file

    began, ahead, looks = clock.monotonic(), [0.0], itertools.count()
    monkeypatch.setattr(clock, "monotonic", lambda: began + ahead[0] + next(looks) / 1e9)

    def move(seconds: float) -> None:
        ahead[0] += seconds

    return move
