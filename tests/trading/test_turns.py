"""Accounts of higher priority are served first, and those of a lower one all the same."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime

import pytest

from accounts.models import Account
from opitios.core.config import get_config
from tests.support.accounts import open_accounts
from tests.support.crowd import patient
from tests.support.orders import place, soon
from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until
from tests.trading.desks import running_desk
from trading.models import Attempt
from trading.turns import FIRST, Turns


def names(turns: Turns, count: int) -> list[str]:
    """What the next turns give."""
    taken = [turns.get() for _ in range(count)]
    return [job.__name__ for job in taken if job is not None]


def job(name: str) -> Callable[[], None]:
    """Something to do that can be told from the others."""

    def do() -> None:
        pass

    do.__name__ = name
    return do


def fill(turns: Turns, **counts: int) -> None:
    """Put so many jobs of each priority."""
    for priority, count in counts.items():
        for number in range(count):
            turns.put(job(f"{priority}-{number}"), priority)


@pytest.mark.parametrize("priority", ["high", "normal", "low"])
def test_of_one_priority_the_first_comes_first(priority: str) -> None:
    turns = Turns()
    fill(turns, **{priority: 9})

    assert names(turns, 9) == [f"{priority}-{number}" for number in range(9)]


def test_the_higher_priority_is_taken_first_however_late_it_came() -> None:
    turns = Turns()
    fill(turns, low=40, normal=40, high=4)

    served = names(turns, 8)

    assert [name for name in served if name.startswith("high")] == [f"high-{n}" for n in range(4)]
    assert Counter(name.partition("-")[0] for name in served)["low"] <= 2


def test_while_all_wait_each_has_its_share_and_none_starves() -> None:
    turns = Turns()
    fill(turns, high=400, normal=400, low=400)

    served = Counter(name.partition("-")[0] for name in names(turns, 350))

    assert served == {"high": 200, "normal": 100, "low": 50}


def test_a_turn_that_nobody_wants_goes_to_the_next() -> None:
    turns = Turns()
    fill(turns, low=3, normal=1)

    assert sorted(names(turns, 4)) == ["low-0", "low-1", "low-2", "normal-0"]


def test_a_cancel_does_not_wait_behind_orders_of_lower_accounts() -> None:
    turns = Turns()
    fill(turns, low=50, normal=50)
    turns.put(job("cancel"), FIRST)

    assert "cancel" in names(turns, 2)


def test_what_was_there_is_done_after_the_close_and_nothing_later() -> None:
    turns = Turns()
    fill(turns, high=1, low=1)
    turns.close()
    fill(turns, high=5)

    assert names(turns, 2) == ["high-0", "low-0"]
    assert [turns.get(), turns.get()] == [None, None]


def test_every_waiting_thread_is_told_of_the_close() -> None:
    turns, told = Turns(), []
    threads = [threading.Thread(target=lambda: told.append(turns.get())) for _ in range(8)]
    for thread in threads:
        thread.start()

    turns.close()
    for thread in threads:
        thread.join(60)

    assert told == [None] * 8


@pytest.fixture
def fleet(db: None, sandbox: SandboxProcess) -> Iterator[list[str]]:
    """Three accounts at a broker: a normal, a low and a high one."""
    normal, low, high = open_accounts(3, url=sandbox.url)
    for account_id, priority in ((low, "low"), (high, "high")):
        Account.objects.filter(pk=account_id).update(priority=priority)
    yield [normal, low, high]
    sandbox.clear_faults()


def sent(account_id: str) -> list[datetime]:
    """When the account's orders were claimed."""
    found = Attempt.objects.filter(order__account_id=account_id)
    return list(found.order_by("sent_at").values_list("sent_at", flat=True))


@pytest.mark.django_db
def test_a_desk_short_of_senders_sends_for_the_high_account_first(
    fleet: list[str], sandbox: SandboxProcess
) -> None:
    slow, low, high = fleet
    config = get_config().model_copy(update={"desk_senders": 1})
    with running_desk(slow, low, high, config=config) as desk:
        # The only sender is held until everybody's orders wait.
        sandbox.fault("hang", account=slow, route="POST /v2/orders", times=0)
        place(slow)
        until(lambda: desk.desk.books.flying() == 1)

        waiting = [place(low, not_after=soon(patient(60))) for _ in range(6)]
        urgent = [place(high, not_after=soon(patient(60))) for _ in range(6)]
        until(lambda: desk.desk.books.depth() == 12)
        sandbox.clear_faults()
        for order in urgent + waiting:
            desk.wait_for(order, "filled")

    # One turn in seven is low's, which came first: it never stands still. High has two jobs for
    # each of its orders at most, to read it and to send it.
    last = sent(high)[-1]
    assert sum(at < last for at in sent(low)) <= 3


def test_what_waits_already_is_not_added_again_and_what_was_taken_is() -> None:
    turns, done = Turns(), []
    for word in ("a", "a", "b", "a"):
        turns.put(lambda word=word: done.append(word), "normal", word)  # type: ignore[misc]
    turns.put(lambda: done.append("x"), "normal")
    turns.put(lambda: done.append("x"), "normal")

    first = turns.get()
    assert first is not None
    turns.put(lambda: done.append("a again"), "normal", "a")
    first()
    turns.close()
    while (job := turns.get()) is not None:
        job()

    assert done == ["a", "b", "x", "x", "a again"]
