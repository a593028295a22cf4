"""Demand for the live feed is counted over processes, and ends with who wanted it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from marketdata import demand
from marketdata.demand import Demand
from opitios.core.bus import Bus, Topic
from tests.support.until import until

Process = Callable[[], Demand]


@pytest.fixture
def bus() -> Bus:
    """A gateway that nobody else knows."""
    from tests.support.buses import lone_bus  # noqa: PLC0415 - Django is set up by now

    return lone_bus()


@pytest.fixture
def process(bus: Bus) -> Iterator[Process]:
    """Start one process's demand."""
    made: list[Demand] = []

    def start() -> Demand:
        made.append(Demand(bus))
        return made[-1]

    yield start
    for one in made:
        one.close()


def test_a_symbol_is_wanted_until_everyone_who_held_it_has_let_go(process: Process) -> None:
    one, other, market = process(), process(), process()
    one.hold("quotes", ["AAPL", "MSFT"])
    one.hold("quotes", ["AAPL"])
    other.hold("quotes", ["AAPL"])
    until(lambda: market.counted()["quotes"] == {"AAPL": 3, "MSFT": 1})

    one.release("quotes", ["AAPL", "MSFT"])
    until(lambda: market.counted()["quotes"] == {"AAPL": 2})
    one.release("quotes", ["AAPL", "AAPL"])
    until(lambda: market.counted()["quotes"] == {"AAPL": 1})
    other.release("quotes", ["AAPL"])

    until(lambda: market.in_all("quotes") == frozenset())
    assert market.in_all("trades") == frozenset()


def test_a_question_makes_a_symbol_wanted_for_its_time(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demand, "TELL_SECONDS", 0.1)
    one, market = process(), process()
    one.touch("trades", "AAPL")
    until(lambda: market.counted()["trades"] == {"AAPL": 0})

    one._touched["trades"]["AAPL"] -= demand.TOUCHED_SECONDS

    until(lambda: market.in_all("trades") == frozenset())
    until(lambda: one.since("trades", "AAPL") is None)


def test_questions_about_everything_do_not_grow_without_end(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demand, "MOST_TOUCHED", 3)
    one = process()

    for name in "ABCDE":
        one.touch("quotes", name)
    one.tell()

    assert one.in_all("quotes") == {"A", "B", "C"}


def test_a_process_that_died_wants_nothing_after_its_time(
    bus: Bus, process: Process, later: Callable[[float], None]
) -> None:
    dead, market = process(), process()
    dead._tell_soon = lambda: None  # type: ignore[method-assign] # its thread died with it
    dead.hold("quotes", ["AAPL"])

    assert dead.tell()

    key = f"{bus.key('demand')}:{dead._name}"
    (left,) = bus.ask(("PTTL", key)) or [0]
    assert 0 < left <= demand.BELIEVED_SECONDS * 1000
    assert market.in_all("quotes") == {"AAPL"}
    # The rest of its time is not waited for, it is taken away.
    bus.ask(("PEXPIRE", key, 1))
    later(demand.BELIEVED_SECONDS)

    until(lambda: not market.in_all("quotes"))
    assert dead.since("quotes", "AAPL") is None


def test_a_change_is_hinted_at_once_and_a_repetition_is_not(bus: Bus, process: Process) -> None:
    hints: list[dict[str, Any]] = []
    listener = bus.listen(Topic.DEMAND, hints.append)
    until(lambda: listener.since)
    one = process()
    one.hold("quotes", ["AAPL"])
    # Its thread has told, and knows that it has.
    until(lambda: hints and one.since("quotes", "AAPL"))

    assert one.tell()
    assert one.tell()
    bus.publish((Topic.DEMAND, {"last": True}))

    until(lambda: {"last": True} in hints)
    assert hints == [{}, {"last": True}]
    listener.close()


def test_since_when_it_is_wanted_survives_repetition_and_ends_with_the_demand(
    process: Process,
) -> None:
    one = process()
    one.hold("quotes", ["AAPL"])
    began = until(lambda: one.since("quotes", "AAPL"))

    one.hold("quotes", ["AAPL", "MSFT"])
    until(lambda: one.since("quotes", "MSFT"))
    assert one.since("quotes", "AAPL") == began

    one.release("quotes", ["AAPL", "AAPL"])
    until(lambda: one.since("quotes", "AAPL") is None)


def test_without_redis_wanting_costs_nothing_and_is_not_believed() -> None:
    alone = Demand(Bus("redis://127.0.0.1:1/0"))

    alone.hold("quotes", ["AAPL"])
    alone.touch("quotes", "MSFT")

    assert not alone.tell()
    assert alone.since("quotes", "AAPL") is None
    assert alone.in_all("quotes") == frozenset()
    alone.close()


def test_what_was_known_stays_known_while_redis_is_away(bus: Bus, process: Process) -> None:
    one, market = process(), process()
    one.hold("quotes", ["AAPL"])
    until(lambda: market.in_all("quotes"))

    bus.rest()

    assert market.in_all("quotes") == {"AAPL"}
