"""Calls of many threads made as one: everybody is answered, nobody is made to wait (ADR 0011)."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from opitios.core.combine import Combined
from tests.support.until import until


class Doubling:
    """Doubles numbers; calls of it can be held, and some numbers are refused."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.begun = threading.Semaphore(0)
        self.go_on = threading.Event()
        self.go_on.set()

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.calls.append(list(items))
        self.begun.release()
        assert self.go_on.wait(60)
        if 13 in items:
            raise ValueError("13")
        if 7 in items:
            raise OSError("7")
        return [2 * item for item in items]


@pytest.fixture
def doubling() -> Doubling:
    return Doubling()


def combined(doubling: Doubling, *, most: int = 100, at_once: int = 1) -> Combined[int, int]:
    return Combined(
        doubling, most=most, at_once=at_once, divides=lambda error: isinstance(error, ValueError)
    )


def gathered(double: Combined[int, int], doubling: Doubling, items: Sequence[int]) -> list[object]:
    """Hold a first call, let the others gather behind it, and return what each of them got."""

    def ask(item: int) -> object:
        try:
            return double(item)
        except (OSError, ValueError) as error:
            return type(error)

    doubling.go_on.clear()
    with ThreadPoolExecutor(len(items) + 1) as threads:
        first = threads.submit(double, 0)
        assert doubling.begun.acquire(timeout=60)
        found = [threads.submit(ask, item) for item in items]
        until(lambda: len(double._waiting) == len(items))
        doubling.go_on.set()
        assert first.result(60) == 0
        return [each.result(60) for each in found]


def test_a_lone_caller_calls_at_once_with_its_item_alone(doubling: Doubling) -> None:
    double = combined(doubling)

    assert [double(4), double(5)] == [8, 10]
    assert doubling.calls == [[4], [5]]


def test_those_who_ask_meanwhile_share_the_next_call(doubling: Doubling) -> None:
    items = list(range(1, 6))

    assert gathered(combined(doubling), doubling, items) == [2 * item for item in items]

    assert [sorted(call) for call in doubling.calls] == [[0], items]


def test_a_call_is_made_for_so_many_at_most(doubling: Doubling) -> None:
    items = [1, 2, 3, 4, 5]

    assert gathered(combined(doubling, most=2), doubling, items) == [2, 4, 6, 8, 10]

    assert [len(call) for call in doubling.calls] == [1, 2, 2, 1]


def test_a_failure_that_did_nothing_is_the_failure_of_its_own_item_alone(
    doubling: Doubling,
) -> None:
    assert gathered(combined(doubling), doubling, [1, 13, 2]) == [2, ValueError, 4]


def test_any_other_failure_is_told_to_all_who_were_in_the_call(doubling: Doubling) -> None:
    assert gathered(combined(doubling), doubling, [1, 7, 2]) == [OSError] * 3
    assert combined(doubling)(3) == 6


def test_after_a_failure_the_next_callers_are_served(doubling: Doubling) -> None:
    double = combined(doubling)
    with pytest.raises(ValueError, match="13"):
        double(13)

    assert double(1) == 2


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_a_crowd_is_answered_each_its_own(doubling: Doubling, at_once: int) -> None:
    double = combined(doubling, most=7, at_once=at_once)

    with ThreadPoolExecutor(40) as threads:
        assert list(threads.map(double, range(100, 2100))) == [2 * n for n in range(100, 2100)]

    assert sorted(n for call in doubling.calls for n in call) == list(range(100, 2100))
    assert max(len(call) for call in doubling.calls) <= 7
