"""Slow bodies hold few of a process's threads, and nobody waits for them (T36, T37)."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import pytest
from django.core.handlers.wsgi import WSGIRequest

from opitios.core import bodies, clock
from opitios.core.bodies import CROWDED_SECONDS, MAX_BODY, SLOW_SECONDS, BodySlots
from opitios.core.config import get_config
from opitios.core.errors import Problem, Reason
from tests.support.until import until


def slots() -> BodySlots:
    return BodySlots(in_all=8, of_one=4, may_wait=16)


@contextmanager
def readers(place: BodySlots, *names: str) -> Iterator[threading.Event]:
    """Threads that hold a place each until the event is set."""
    end, held = threading.Event(), threading.Semaphore(0)

    def hold(name: str) -> None:
        with place.taken_by(name):
            held.release()
            end.wait(60)

    threads = [threading.Thread(target=hold, args=(name,), daemon=True) for name in names]
    for thread in threads:
        thread.start()
    try:
        for _ in threads:
            assert held.acquire(timeout=60)
        yield end
    finally:
        end.set()
        for thread in threads:
            thread.join()


def refusal(place: BodySlots, name: str) -> Problem:
    with pytest.raises(Problem) as caught, place.taken_by(name):
        pass
    return caught.value


def test_a_fifth_body_of_one_subject_is_503_and_anothers_is_read() -> None:
    place = slots()

    with readers(place, *["slow"] * 4):
        problem = refusal(place, "slow")
        with place.taken_by("other"):
            pass

    assert (problem.reason, problem.status) == (Reason.SLOW_BODIES, 503)
    assert problem.retry_after_seconds == 1.0


def test_more_bodies_than_a_quarter_of_the_threads_are_503_whosoever_they_are() -> None:
    place = slots()

    with readers(place, *map(str, range(8))):
        assert refusal(place, "other").reason is Reason.SLOW_BODIES

    with place.taken_by("other"):
        pass


def test_who_comes_in_a_crowd_waits_for_a_quick_reader_and_is_not_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # On a crowded machine a quick one takes its time, too.
    monkeypatch.setattr(bodies, "SLOW_SECONDS", 60.0)
    place = slots()
    came = threading.Event()

    def come() -> None:
        with place.taken_by("quick"):
            came.set()

    late = threading.Thread(target=come)
    with readers(place, *["quick"] * 4) as end:
        late.start()
        until(lambda: place._waiting == 1)
        end.set()
    late.join()

    assert came.is_set()


def test_nobody_waits_for_a_reader_who_is_slow_already(monkeypatch: pytest.MonkeyPatch) -> None:
    place = slots()
    waits: list[float] = []

    with readers(place, *["slow"] * 4):
        began = max(place._reading["slow"])
        monkeypatch.setattr(clock, "monotonic", lambda: began + SLOW_SECONDS)
        monkeypatch.setattr(place._freed, "wait", waits.append)
        refusal(place, "slow")

    assert waits == []


def test_who_comes_when_many_wait_waits_less(monkeypatch: pytest.MonkeyPatch) -> None:
    place = BodySlots(in_all=1, of_one=1, may_wait=0)
    waits: list[float] = []
    now = clock.monotonic()

    def wait(seconds: float) -> None:
        waits.append(seconds)
        monkeypatch.setattr(clock, "monotonic", lambda: now + seconds)

    with readers(place, "slow"):
        monkeypatch.setattr(place, "_reading", {"slow": [now]})
        monkeypatch.setattr(clock, "monotonic", lambda: now)
        monkeypatch.setattr(place._freed, "wait", wait)
        refusal(place, "slow")
        monkeypatch.undo()

    assert waits == [pytest.approx(CROWDED_SECONDS)]


def test_a_place_is_free_again_whatever_became_of_its_reader() -> None:
    place = BodySlots(in_all=1, of_one=1, may_wait=0)

    for _ in range(3):
        with pytest.raises(OSError, match="gone"), place.taken_by("a"):
            raise OSError("gone")

    assert place._reading == {}


def test_one_subject_never_takes_every_place_of_a_small_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    few = get_config().model_copy(update={"web_threads": 8})
    monkeypatch.setattr("opitios.core.bodies.get_config", lambda: few)
    place = bodies.api_slots.__wrapped__()

    with readers(place, "slow"):
        refusal(place, "slow")
        with place.taken_by("other"):
            pass


def read(raw: bytes, **meta: Any) -> bytes:
    environ = {"REQUEST_METHOD": "POST", "PATH_INFO": "/", "wsgi.input": BytesIO(raw)}
    request = WSGIRequest({**environ, **meta})
    return bodies.read(request.META, request, by=None)


def test_a_body_is_read_to_its_length() -> None:
    assert read(b"{}x", CONTENT_LENGTH="2") == b"{}"
    assert read(b"{}") == b""


@pytest.mark.parametrize(
    ("meta", "reason"),
    [
        ({"CONTENT_LENGTH": "3"}, Reason.MALFORMED),
        ({"HTTP_TRANSFER_ENCODING": "chunked"}, Reason.MALFORMED),
        ({"HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": "2"}, Reason.MALFORMED),
        ({"CONTENT_LENGTH": str(MAX_BODY + 1)}, Reason.TOO_LARGE),
        ({"CONTENT_LENGTH": "9" * 30}, Reason.TOO_LARGE),
    ],
    ids=["cut short", "chunked", "both", "too large", "far too large"],
)
def test_a_body_cut_short_in_chunks_or_too_large_is_refused(
    meta: dict[str, str], reason: Reason
) -> None:
    with pytest.raises(Problem) as caught:
        read(b"{}", **meta)

    assert caught.value.reason is reason


def test_a_body_in_chunks_is_a_body() -> None:
    assert bodies.is_there({"HTTP_TRANSFER_ENCODING": "chunked"})
    assert not bodies.is_there({"CONTENT_LENGTH": "0"})
    assert not bodies.is_there({})
