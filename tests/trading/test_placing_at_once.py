"""The same key at once from many threads is one order and as many equal answers (C31, G5)."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from opitios.core import jsontext
from opitios.core.errors import Problem, Reason
from tests.support.orders import entries, kinds, place
from tests.trading.crowds import come_again
from trading import queries
from trading.orders import Accepted

pytestmark = [pytest.mark.django_db, pytest.mark.races]

THREADS = 50


def answered(call: Callable[[], Accepted]) -> Accepted | Problem:
    """What a client gets that comes again, with its key, where a crowd let it wait too long."""
    try:
        return come_again(call)
    except Problem as problem:
        return problem


def at_once(call: Callable[[int], Accepted]) -> list[Accepted | Problem]:
    """Run a call on many threads that start together, each with a connection of its own."""
    together = Barrier(THREADS)

    def run(number: int) -> Accepted | Problem:
        together.wait(60)
        return answered(lambda: call(number))

    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(run, range(THREADS)))


def answers(outcomes: list[Accepted | Problem]) -> list[Accepted]:
    """The accepted ones."""
    return [outcome for outcome in outcomes if isinstance(outcome, Accepted)]


def problems(outcomes: list[Accepted | Problem]) -> list[Problem]:
    """The refused ones."""
    return [outcome for outcome in outcomes if isinstance(outcome, Problem)]


def test_fifty_threads_with_one_key_are_one_order_and_fifty_equal_answers(account: str) -> None:
    outcomes = at_once(lambda _number: place(account, "k", tags={"z": "1", "a": "2"}))

    accepted = answers(outcomes)
    assert problems(outcomes) == []
    assert len({jsontext.dumps(each.body) for each in accepted}) == 1
    assert sum(not each.replayed for each in accepted) == 1
    assert kinds(account) == ["order.queued"]


def test_fifty_keys_with_one_id_are_one_order_and_the_rest_are_refused(account: str) -> None:
    outcomes = at_once(lambda number: place(account, f"k-{number}", client_order_id="c"))

    assert len(answers(outcomes)) == 1
    assert {each.reason for each in problems(outcomes)} == {Reason.CLIENT_ORDER_ID_USED}
    assert kinds(account) == ["order.queued"]


def test_fifty_orders_of_one_account_have_consecutive_numbers(account: str) -> None:
    outcomes = at_once(lambda number: place(account, f"k-{number}"))

    assert problems(outcomes) == []
    seqs = sorted(each.body["seq"] for each in answers(outcomes))
    assert seqs == list(range(1, THREADS + 1))
    assert [entry["seq"] for entry in entries(account)] == seqs
    assert len(queries.orders_where("account_id = %s", (account,))) == THREADS
