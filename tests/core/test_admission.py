"""What is shed and what is not, limits taken over without a restart, and the time in line."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from opitios.core import admission as admission_
from opitios.core import clock
from opitios.core.admission import (
    Admission,
    Asker,
    Lane,
    Threads,
    seconds_waited,
)
from opitios.core.config import InboundLimits
from opitios.core.errors import Problem, Reason
from opitios.core.permits import Permits
from tests.core.test_permits import Fleet
from tests.support.until import until


@pytest.fixture
def admission() -> Admission:
    """One that nobody has asked anything."""
    return Admission(Fleet(1).permits[0], InboundLimits(), Threads(16))


def asker(lane: Lane) -> Asker:
    """A request for this."""
    return Asker(subject="bot-7", lane=lane, account_id="a")


@pytest.mark.parametrize(
    ("waited", "low_priority", "given_up"),
    [
        (0.0, False, set()),
        (0.2, False, set()),
        (0.2, True, {Lane.READ, Lane.MARKET_DATA}),
        (0.3, False, {Lane.READ, Lane.MARKET_DATA}),
        (0.6, True, {Lane.READ, Lane.MARKET_DATA, Lane.ORDER}),
        (1.1, False, {Lane.READ, Lane.MARKET_DATA, Lane.ORDER}),
        (30.0, True, {Lane.READ, Lane.MARKET_DATA, Lane.ORDER}),
    ],
)
def test_g16_g20_reads_go_first_then_orders_and_cancels_and_halts_never(
    admission: Admission, waited: float, low_priority: bool, given_up: set[Lane]
) -> None:
    refused = {
        lane: admission.shed(asker(lane), waited=waited, low_priority=low_priority) for lane in Lane
    }

    assert {lane for lane, problem in refused.items() if problem is not None} == given_up
    for problem in filter(None, refused.values()):
        assert (problem.reason, problem.account_id) == (Reason.OVERLOADED, "a")


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (lambda now: f"t={now - 0.5:.3f}", 0.5),
        (lambda now: f"{now - 0.5:.3f}", 0.5),
        # A clock that is ahead or far behind, other units, and nonsense tell nothing.
        (lambda now: f"t={now + 5:.3f}", 0.0),
        (lambda now: f"t={now - 3600:.3f}", 0.0),
        (lambda now: f"t={now * 1000:.0f}", 0.0),
        (lambda now: "t=nan", 0.0),
        (lambda now: "t=1e9", 0.0),
        (lambda now: "", 0.0),
        (lambda now: None, 0.0),
    ],
)
def test_the_time_in_line_is_what_a_proxy_wrote(
    header: Callable[[float], str | None], seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = clock.now()
    monkeypatch.setattr(clock, "now", lambda: now)

    waited = seconds_waited(header(now.timestamp()))

    # What is written is rounded to a millisecond.
    assert waited == pytest.approx(seconds, abs=0.001 if seconds else 0.0)


class Held:
    """Threads that wait for a broker until they are let go."""

    def __init__(self, threads: Threads, count: int) -> None:
        self.go = threading.Event()
        self._threads = threads
        self._pool = ThreadPoolExecutor(count)
        self._count = count

    def __enter__(self) -> "Held":
        inside = threading.Barrier(self._count + 1)
        for _ in range(self._count):
            self._pool.submit(self._wait, inside)
        inside.wait(60)
        return self

    def _wait(self, inside: threading.Barrier) -> None:
        with self._threads.waiting():
            inside.wait(60)
            self.go.wait(60)

    def __exit__(self, *_: object) -> None:
        self.go.set()
        self._pool.shutdown()


def refused(threads: Threads) -> bool:
    """Whether this thread may not wait for the broker."""
    try:
        with threads.waiting():
            return False
    except Problem as problem:
        return problem.reason is Reason.OVERLOADED


@pytest.mark.parametrize(("count", "most"), [(16, 7), (8, 3), (4, 1), (1, 1)])
def test_g20_reads_never_hold_all_threads_and_who_finds_no_room_hears_so_in_a_moment(
    count: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = Threads(count)
    waits: list[object] = []

    with Held(threads, most):
        first = refused(threads)
        until(lambda: threads.are_short)
        with monkeypatch.context() as patch:
            patch.setattr(threads._changed, "wait_for", lambda *how: waits.append(how))
            patch.setattr(threads._changed, "wait", waits.append)
            again = [refused(threads) for _ in range(20)]

    assert first
    assert again == [True] * 20
    # They do not wait behind those that stand still.
    assert waits == []
    assert not refused(threads)


def test_a_read_waits_for_room_that_comes_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission_, "READ_PATIENCE", 60.0)
    threads = Threads(1)

    with Held(threads, 1) as held, ThreadPoolExecutor(1) as pool:
        waits = pool.submit(refused, threads)
        until(lambda: threads._changed._waiters)  # type: ignore[attr-defined] # of the library
        held.go.set()

        assert waits.result(60) is False


def test_a_read_within_a_read_takes_no_second_place() -> None:
    threads = Threads(1)

    with threads.waiting(), threads.waiting():
        assert not threads.are_short
    assert not refused(threads)


def test_low_priority_reads_go_when_half_of_the_room_stands_still() -> None:
    threads = Threads(16)
    admission = Admission(Fleet(1).permits[0], InboundLimits(), threads)

    def given_up(*, low_priority: bool) -> bool:
        found = admission.shed(asker(Lane.READ), waited=0.0, low_priority=low_priority)
        return found is not None

    with Held(threads, 4):
        until(lambda: given_up(low_priority=True))
        assert not given_up(low_priority=False)
        assert admission.shed(asker(Lane.CANCEL), waited=0.0, low_priority=True) is None
    assert not given_up(low_priority=True)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that may hold the limits; no variable overrides it."""
    file = tmp_path / "opitios.yaml"
    monkeypatch.setenv("OPITIOS_YAML_FILE", str(file))
    for name in InboundLimits.model_fields:
        monkeypatch.delenv(f"OPITIOS_LIMITS__{name.upper()}", raising=False)
    return file


def test_limits_are_taken_over_from_a_changed_file_and_not_from_a_wrong_one(
    settings: Path,
) -> None:
    admission = Admission(Permits(Fleet(1).stores[0]), InboundLimits(), Threads(16))
    reader = asker(Lane.READ)
    assert admission.admit(reader).limit.quota == 100

    settings.write_text("limits:\n  account_per_second: 7\n")
    assert admission.reload()
    assert admission.admit(reader).limit.quota == 7

    settings.write_text("limits:\n  account_per_second: -1\n")
    assert not admission.reload()
    assert admission.admit(reader).limit.quota == 7
    assert not admission.reload()


def test_the_production_example_is_r23(settings: Path) -> None:
    example = Path(__file__).parents[2] / "docs" / "limits.yaml"
    admission = Admission(Fleet(1).permits[0], InboundLimits(), Threads(16))

    settings.write_text(example.read_text())
    assert admission.reload()

    rules = admission.rules
    assert [
        (limit.quota, limit.window)
        for limit in (rules.subject, rules.orders, rules.market_data, *rules.endpoints.values())
        if limit is not None
    ] == [(120, 60), (10, 60), (20, 1), (60, 60), (30, 60), (20, 60)]
