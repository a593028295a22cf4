"""Ticks go out at most each 10 ms, and only from a process that certainly owns the sockets."""

from collections.abc import Iterator
from math import inf

import pytest

from marketdata.batches import Batch
from marketdata.publishing import MOST_A_MESSAGE, Publisher
from marketdata.ticks import Tick, gone, unpacked
from opitios.core import clock
from opitios.core.bus import Bus, Topic
from tests.support.until import until


class Everybody:
    """All messages of ticks, in their order."""

    def __init__(self, bus: Bus) -> None:
        self.messages: list[dict[str, object]] = []
        self.listener = bus.listen(Topic.TICKS, self.messages.append)
        until(lambda: self.listener.since)

    @property
    def prices(self) -> list[float]:
        """The prices of every tick that was heard."""
        return [tick.body["p"] for message in list(self.messages) for tick in unpacked(message)]


@pytest.fixture
def bus() -> Bus:
    from tests.support.buses import lone_bus  # noqa: PLC0415 - Django is set up by now

    return lone_bus()


@pytest.fixture
def everybody(bus: Bus) -> Iterator[Everybody]:
    one = Everybody(bus)
    yield one
    one.listener.close()


def trades(count: int, start: int = 0) -> list[Tick]:
    return [
        Tick("trades", "iex", "AAPL", 1.0, {"p": float(n)}) for n in range(start, start + count)
    ]


def test_a_process_that_may_have_lost_its_leases_says_nothing(
    bus: Bus, everybody: Everybody
) -> None:
    batch = Batch()
    publisher = Publisher(batch, bus)
    batch.put(trades(3))
    publisher.publish()
    assert clock.monotonic() - publisher.lost_at < 60

    publisher.may_speak_until = inf
    batch.put(trades(2, start=10))
    publisher.publish()

    until(lambda: everybody.prices)
    assert everybody.prices == [10.0, 11.0]


def test_many_ticks_are_several_messages_and_keep_their_order(
    bus: Bus, everybody: Everybody
) -> None:
    batch = Batch()
    publisher = Publisher(batch, bus)
    publisher.may_speak_until = inf
    batch.put(trades(2 * MOST_A_MESSAGE + 1))
    batch.put_gone([("quotes", "AAPL")])

    publisher.publish()

    until(lambda: len(everybody.messages) == 3)
    assert everybody.prices == [float(n) for n in range(2 * MOST_A_MESSAGE + 1)]
    assert [gone(each) for each in everybody.messages] == [[("quotes", "AAPL")], [], []]
    assert publisher.lost_at == -inf


def test_what_redis_did_not_take_is_lost_and_known_to_be() -> None:
    batch = Batch()
    publisher = Publisher(batch, Bus("redis://127.0.0.1:1/0"))
    publisher.may_speak_until = inf
    batch.put(trades(1))

    publisher.publish()

    assert publisher.lost_at > -inf


def test_the_thread_publishes_what_comes_and_ends(bus: Bus, everybody: Everybody) -> None:
    batch = Batch()
    publisher = Publisher(batch, bus)
    publisher.may_speak_until = inf
    publisher.start()

    for n in range(5):
        batch.put(trades(1, start=n))

    until(lambda: len(everybody.prices) == 5)
    publisher.close()
    assert not publisher.is_alive()
