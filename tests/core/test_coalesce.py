"""One call for everybody who asks at once; an answer is kept for a moment, a failure is not."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from opitios.core import clock, coalesce
from opitios.core.admission import Threads
from opitios.core.coalesce import Coalesced, Kept
from tests.support.until import until


@pytest.fixture(autouse=True)
def _room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all of a test's threads wait: who finds no room is refused after a moment."""
    threads = Threads(100)
    monkeypatch.setattr(coalesce, "get_threads", lambda: threads)


def a_cache(keep_seconds: float = 60.0) -> Coalesced[int]:
    return Coalesced(size=2, keep_seconds=keep_seconds)


def test_many_who_ask_at_once_are_one_call() -> None:
    cache, calls, gate = a_cache(), [], threading.Event()

    def load() -> int:
        calls.append(1)
        gate.wait(60)
        return 7

    with ThreadPoolExecutor(20) as threads:
        asked = [threads.submit(cache.get, "k", load, wait_seconds=60) for _ in range(20)]
        until(lambda: calls)
        gate.set()
        answers = {each.result().value for each in asked}

    assert (answers, len(calls)) == ({7}, 1)


def test_an_answer_is_kept_so_long_and_says_how_old_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, later = clock.monotonic(), [0.0]
    monkeypatch.setattr(clock, "monotonic", lambda: now + later[0])
    cache, numbers = a_cache(keep_seconds=60.0), iter(range(9))

    def asked_after(seconds: float) -> Kept[int]:
        later[0] = seconds
        return cache.get("k", lambda: next(numbers), wait_seconds=1)

    first, again, anew = asked_after(0.0), asked_after(59.0), asked_after(61.0)

    assert first is again
    assert anew.value == 1
    assert first.age_ms == pytest.approx(61_000, abs=1)


def test_a_failure_is_told_to_everybody_who_waited_and_is_not_kept() -> None:
    cache, gate, calls = a_cache(), threading.Event(), []

    def fail() -> int:
        calls.append(1)
        gate.wait(60)
        raise ValueError("no")

    with ThreadPoolExecutor(5) as threads:
        asked = [threads.submit(cache.get, "k", fail, wait_seconds=60) for _ in range(5)]
        until(lambda: calls)
        gate.set()
        errors = [type(each.exception()) for each in asked]

    assert errors == [ValueError] * 5
    assert cache.get("k", lambda: 3, wait_seconds=1).value == 3


def test_who_waits_too_long_for_somebody_else_s_call_is_told() -> None:
    cache, gate = a_cache(), threading.Event()

    with ThreadPoolExecutor(1) as thread:
        slow = thread.submit(cache.get, "k", lambda: int(gate.wait(60)), wait_seconds=1)
        until(lambda: cache._loading)
        with pytest.raises(TimeoutError):
            cache.get("k", lambda: 9, wait_seconds=0.01)
        gate.set()

    assert slow.result().value == 1


def test_keys_do_not_share_and_the_cache_is_bounded() -> None:
    cache = a_cache()

    for n in range(5):
        assert cache.get(f"k{n}", lambda n=n: n, wait_seconds=1).value == n  # type: ignore[misc]

    assert sum(cache.kept(f"k{n}") is not None for n in range(5)) == 2
    assert cache._loading == {}
