"""An account's calls a minute: who may take the last ones, and whose word counts (design.md §6)."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opitios.broker.budget import CANCEL_RESERVE, DESK_PER_MINUTE, Budget, Lane
from opitios.broker.guard import Bulkhead, Guard
from opitios.broker.port import Rate

RESET = 1_900_000_000.0


def taken(budget: Budget, lane: Lane, now: float = 0.0) -> int:
    """How many calls go at once."""
    count = 0
    while budget.take(lane, now) == 0.0:
        count += 1
    return count


def told(budget: Budget, remaining: int, *, resets_in: float = 30.0, now: float = 0.0) -> None:
    """The broker's headers of an answer."""
    budget.correct(Rate(200, remaining, RESET), resets_in=resets_in, now=now)


def test_orders_leave_the_reserve_to_cancels() -> None:
    budget = Budget()

    assert taken(budget, Lane.SUBMIT) == DESK_PER_MINUTE - CANCEL_RESERVE
    assert taken(budget, Lane.READ) == 0
    assert taken(budget, Lane.CANCEL) == CANCEL_RESERVE
    assert budget.submits_left(0.0) == 0


def test_calls_are_earned_back_evenly() -> None:
    budget = Budget(per_minute=60, reserve=0)
    taken(budget, Lane.SUBMIT)

    wait = budget.take(Lane.SUBMIT, 0.5)

    assert wait == pytest.approx(0.5)
    assert budget.take(Lane.SUBMIT, 0.5 + wait) == 0.0
    assert taken(budget, Lane.SUBMIT, now=1000.0) == 60


def test_look_ups_are_twenty_a_minute_at_most() -> None:
    budget = Budget()

    assert taken(budget, Lane.LOOK_UP) == 20
    assert budget.wait(Lane.SUBMIT, 0.0) == 0.0


def test_the_brokers_headers_leave_less() -> None:
    budget = Budget()

    told(budget, CANCEL_RESERVE + 3)

    assert budget.submits_left(0.0) == 3
    assert taken(budget, Lane.SUBMIT) == 3
    assert budget.wait(Lane.SUBMIT, 10.0) == pytest.approx(20.0)
    assert budget.rests_until(10.0) == pytest.approx(30.0)
    assert taken(budget, Lane.CANCEL, now=10.0) == CANCEL_RESERVE
    assert budget.wait(Lane.SUBMIT, 31.0) == 0.0


def test_headers_that_leave_more_change_nothing() -> None:
    budget = Budget(per_minute=30, reserve=10)

    told(budget, 199)

    assert taken(budget, Lane.SUBMIT) == 20


def test_an_answer_that_was_overtaken_does_not_give_calls_back() -> None:
    budget = Budget()
    told(budget, 25)

    told(budget, 90)

    assert budget.submits_left(0.0) == 5


@pytest.mark.parametrize("resets_in", [-5.0, 0.0, 600.0])
def test_a_minute_that_is_over_or_far_away_is_not_believed(resets_in: float) -> None:
    budget = Budget()

    told(budget, 0, resets_in=resets_in)

    assert budget.wait(Lane.SUBMIT, 0.0) == 0.0


@pytest.mark.parametrize(("said", "seconds"), [(7.0, 7.0), (None, 5.0)])
def test_after_a_429_nothing_but_cancels_goes(said: float | None, seconds: float) -> None:
    budget = Budget()

    budget.rest(said, now=0.0)

    for lane in (Lane.SUBMIT, Lane.LOOK_UP, Lane.READ):
        assert budget.take(lane, 0.0) == seconds
    assert budget.take(Lane.CANCEL, 0.0) == 0.0
    assert budget.rests_until(1.0) == seconds
    assert budget.take(Lane.SUBMIT, seconds) == 0.0


def test_market_data_is_counted_elsewhere() -> None:
    guard = Guard(process=Bulkhead(1), budget=Budget(per_minute=1, reserve=0))
    assert guard.budget is not None
    guard.budget.rest(60.0, time.monotonic())

    assert guard.wait(Lane.READ) > 0 == guard.wait(Lane.DATA)
    guard.data_budget = Budget(per_minute=1, reserve=0)
    guard.data_budget.take(Lane.DATA, time.monotonic())
    assert guard.wait(Lane.DATA) > 0


def test_a_call_that_was_not_made_is_given_back() -> None:
    budget = Budget(per_minute=2, reserve=0)
    taken(budget, Lane.SUBMIT)

    budget.give_back(Lane.SUBMIT)

    assert taken(budget, Lane.SUBMIT) == 1


def test_a_smaller_share_takes_effect_at_once() -> None:
    budget = Budget(per_minute=60, reserve=0)

    budget.resize(15)

    assert budget.per_minute == 15
    assert taken(budget, Lane.READ) == 15


@given(st.lists(st.tuples(st.floats(0, 5), st.sampled_from([Lane.SUBMIT, Lane.CANCEL, Lane.READ]))))
def test_no_minute_spends_more_than_was_saved_and_earned(
    asked: list[tuple[float, Lane]],
) -> None:
    budget, now, went = Budget(per_minute=30, reserve=10), 0.0, []

    for pause, lane in asked:
        now += pause
        if budget.take(lane, now) == 0.0:
            went.append(now)

    for at in went:
        within = [each for each in went if at <= each <= at + 60]
        assert len(within) <= 30 + 30 * (within[-1] - at) / 60 + 1
