"""No account keeps all the desk's second hands busy, and none loses a job (C28)."""

import threading
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.support.until import until
from trading.carers import FEWEST, MOST, WORKERS_AN_ACCOUNT, Carers, Rota, enough_workers


@pytest.fixture
def carers() -> Iterator[Carers]:
    made = Carers()
    yield made
    made.close()


def test_an_account_that_hangs_keeps_two_and_the_others_are_done(carers: Carers) -> None:
    gate, done = threading.Event(), []
    started = threading.Semaphore(0)

    def hang() -> None:
        started.release()
        gate.wait(60)

    for number in range(FEWEST * 2):
        carers.submit("slow", f"job {number}", hang)
    for number in range(20):
        carers.submit(f"quick-{number}", "check", lambda number=number: done.append(number))  # type: ignore[misc]

    until(lambda: len(done) == 20)
    assert all(started.acquire(timeout=60) for _ in range(WORKERS_AN_ACCOUNT))
    assert not started.acquire(blocking=False)
    gate.set()
    assert all(started.acquire(timeout=60) for _ in range(FEWEST * 2 - WORKERS_AN_ACCOUNT))


def test_a_job_that_waits_already_is_not_asked_for_twice(carers: Carers) -> None:
    gate, done = threading.Event(), []

    def hang() -> None:
        gate.wait(60)

    for number in range(WORKERS_AN_ACCOUNT):
        carers.submit("a", f"busy {number}", hang)

    for _ in range(3):
        carers.submit("a", "check", lambda: done.append("check"))
    gate.set()

    until(lambda: done)
    carers.submit("a", "check", lambda: done.append("again"))
    until(lambda: len(done) == 2)
    assert done == ["check", "again"]


def test_the_same_job_may_be_asked_for_while_it_runs(carers: Carers) -> None:
    gate, done = threading.Event(), []
    running = threading.Event()

    def first() -> None:
        running.set()
        gate.wait(60)

    carers.submit("a", "stream", first)
    assert running.wait(60)
    carers.submit("a", "stream", lambda: done.append("second"))
    gate.set()

    until(lambda: done == ["second"])


def test_closed_carers_take_nothing_more(carers: Carers) -> None:
    carers.close()

    carers.submit("a", "check", lambda: pytest.fail("it ran"))


@pytest.mark.parametrize(
    ("accounts", "workers"), [(0, FEWEST), (100, FEWEST), (600, 10), (1000, MOST), (9000, MOST)]
)
def test_a_fleet_has_more_hands_than_a_few_accounts(accounts: int, workers: int) -> None:
    assert enough_workers(accounts) == workers


def test_each_name_has_its_turn_once_a_period_spread_over_it() -> None:
    rota = Rota(30.0)
    names = [f"account-{number}" for number in range(300)]
    rota.keep(names, 100.0)

    turns = [(second, name) for second in range(100, 190) for name in rota.due(float(second))]

    first = [name for second, name in turns if second <= 130]
    assert sorted(first) == sorted(names)
    a_second = Counter(second for second, _ in turns)
    assert max(a_second.values()) < 30
    assert 800 <= len(turns) <= 900


def test_a_name_that_went_has_no_turn_and_one_that_came_back_has_one() -> None:
    rota = Rota(10.0)
    rota.keep(["stays", "goes"], 0.0)
    rota.keep(["stays"], 1.0)

    assert rota.due(11.0) == ["stays"]
    rota.keep(["stays", "goes"], 12.0)
    assert sorted(rota.due(22.5)) == ["goes", "stays"]
    assert rota.due(22.5) == []
