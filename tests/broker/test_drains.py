"""Messages leave the socket's loop through bounded queues, in order for each account."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from opitios.broker.alpaca.drains import Drains, Handler, Overflow

DrainsOf = Callable[..., Drains]


@pytest.fixture
def drains_of() -> Iterator[DrainsOf]:
    started: list[Drains] = []

    def start(handle: Handler, **settings: Any) -> Drains:
        started.append(Drains(handle=handle, **({"workers": 3} | settings)))
        started[-1].start()
        return started[-1]

    yield start
    for drains in started:
        drains.stop()


def test_an_account_meets_the_same_thread_in_order(drains_of: DrainsOf) -> None:
    seen: list[tuple[str, tuple[Any, ...]]] = []
    drains = drains_of(lambda *item: seen.append((threading.current_thread().name, item)))

    for number in range(300):
        drains.deliver(f"account_{number % 10:03}", str(number).encode(), float(number))
    drains.stop()

    assert drains.counts["handled"] == 300
    for account in {item[0] for _, item in seen}:
        own = [(thread, item[2]) for thread, item in seen if item[0] == account]
        assert len({thread for thread, _ in own}) == 1
        assert [number for _, number in own] == sorted(number for _, number in own)


def test_a_full_queue_says_so_at_once_and_is_counted(drains_of: DrainsOf) -> None:
    gate, busy = threading.Event(), threading.Event()

    def handle(*_: Any) -> None:
        busy.set()
        gate.wait(60)

    drains = drains_of(handle, workers=1, capacity=2)
    drains.deliver("account_001", b"1", 0.0)
    assert busy.wait(60)
    drains.deliver("account_001", b"2", 0.0)
    drains.deliver("account_001", b"3", 0.0)

    with pytest.raises(Overflow):
        drains.deliver("account_001", b"4", 0.0)

    assert drains.counts["overflows"] == 1
    gate.set()


def test_a_message_that_cannot_be_handled_costs_only_itself(drains_of: DrainsOf) -> None:
    seen = []

    def handle(_account: str, raw: bytes, _at: float) -> None:
        if raw == b"bad":
            raise LookupError("a fault")
        seen.append(raw)

    with capture_logs() as logs:
        drains = drains_of(handle)
        for raw in (b"1", b"bad", b"2"):
            drains.deliver("account_001", raw, 0.0)
        drains.stop()

    assert seen == [b"1", b"2"]
    assert drains.counts["failed"] == 1
    # Threads that other tests left may say something, too.
    told = [line for line in logs if line["event"] == "stream message not handled"]
    assert [line["account"] for line in told] == ["account_001"]
