"""Processes share their answers in Redis: one of them asks, and without Redis each does."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

import pytest

from marketdata.shared import MOST_BYTES, Ask, Shared
from opitios.core import clock
from opitios.core.bus import Bus
from opitios.core.coalesce import Kept
from tests.support.crowd import patient
from tests.support.until import until

pytestmark = pytest.mark.races

AWAY = "redis://127.0.0.1:1/0"


class Broker:
    """Answers each key with its own name, when told to; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.gate = threading.Event()

    def __call__(self, keys: Sequence[str]) -> dict[str, bytes]:
        self.asked.append(list(keys))
        self.gate.wait(60)
        return {key: key.encode() for key in keys}


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def processes() -> list[Shared]:
    """Ten processes of one gateway that nobody else knows."""
    from tests.support.buses import lone_bus  # noqa: PLC0415 - Django is set up by now

    name = uuid4().hex
    return [Shared(lone_bus(name)) for _ in range(10)]


def load(process: Shared, ask: Ask, *keys: str, keep: float = 60.0) -> dict[str, Kept[bytes]]:
    return process.load(keys, ask, keep_seconds=keep, wait_seconds=patient(10))


def values(loaded: dict[str, Kept[bytes]]) -> dict[str, bytes]:
    return {key: kept.value for key, kept in loaded.items()}


def test_ten_processes_that_ask_at_once_make_one_call(
    broker: Broker, processes: list[Shared]
) -> None:
    with ThreadPoolExecutor(len(processes)) as threads:
        asked = [threads.submit(load, each, broker, "a", "b") for each in processes]
        until(lambda: broker.asked)
        broker.gate.set()
        answers = [values(each.result(patient(20))) for each in asked]

    assert answers == [{"a": b"a", "b": b"b"}] * len(processes)
    assert sorted(key for keys in broker.asked for key in keys) == ["a", "b"]


def test_another_process_finds_an_answer_with_its_age(
    broker: Broker, processes: list[Shared], monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.gate.set()
    first = load(processes[0], broker, "a")["a"]
    an_hour = timedelta(hours=1)
    now, monotonic = clock.now, clock.monotonic
    monkeypatch.setattr(clock, "now", lambda: now() + an_hour)
    monkeypatch.setattr(clock, "monotonic", lambda: monotonic() + an_hour.total_seconds())

    second = load(processes[1], broker, "a")["a"]

    assert (second.value, len(broker.asked)) == (b"a", 1)
    assert abs(second.at - first.at) < patient(1)


def test_an_answer_that_is_old_is_asked_for_anew(broker: Broker, processes: list[Shared]) -> None:
    broker.gate.set()
    load(processes[0], broker, "a", keep=0.05)

    until(lambda: load(processes[1], broker, "a", keep=0.05) and len(broker.asked) == 2)


def test_a_failure_lets_the_next_one_ask(broker: Broker, processes: list[Shared]) -> None:
    def fail(_: Sequence[str]) -> dict[str, bytes]:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        load(processes[0], fail, "a")
    broker.gate.set()

    assert values(load(processes[1], broker, "a")) == {"a": b"a"}


def test_who_waits_longer_than_it_may_is_told_so(broker: Broker, processes: list[Shared]) -> None:
    asking = threading.Thread(target=load, args=(processes[0], broker, "a"))
    asking.start()
    until(lambda: broker.asked)

    with pytest.raises(TimeoutError):
        processes[1].load(["a"], broker, keep_seconds=1, wait_seconds=0.1)

    broker.gate.set()
    asking.join(60)


def test_without_redis_each_process_asks_for_itself(broker: Broker) -> None:
    broker.gate.set()

    for _ in range(2):
        assert values(load(Shared(Bus(AWAY)), broker, "a")) == {"a": b"a"}

    assert broker.asked == [["a"], ["a"]]


def test_what_is_large_stays_with_who_asked(processes: list[Shared]) -> None:
    calls = []

    def ask(keys: Sequence[str]) -> dict[str, bytes]:
        calls.append(keys)
        return dict.fromkeys(keys, b"x" * (MOST_BYTES + 1))

    for each in processes[:2]:
        assert len(load(each, ask, "all")["all"].value) == MOST_BYTES + 1

    assert len(calls) == 2
