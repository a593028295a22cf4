"""A breaker opens on failure, waits, and lets calls back in slowly (reliability.md §2.2)."""

import pytest

from opitios.broker.breaker import (
    AMBIGUOUS_TO_OPEN,
    CALLS_TO_JUDGE,
    MOST_PROBES,
    Breaker,
    BreakerTimers,
    Outcome,
    State,
)

OPEN = BreakerTimers().open


def calls(breaker: Breaker, outcome: Outcome, count: int, now: float = 0.0) -> None:
    """Make so many calls that end so, if they are let in."""
    for _ in range(count):
        era = breaker.enter(now)
        if era is not None:
            breaker.leave(era, outcome, now)


@pytest.fixture
def opened() -> Breaker:
    """A breaker that opened at second 0."""
    breaker = Breaker()
    calls(breaker, Outcome.AMBIGUOUS, AMBIGUOUS_TO_OPEN)
    assert breaker.state(0.0) is State.OPEN
    return breaker


def test_more_than_half_of_twenty_failed_calls_open_it() -> None:
    breaker = Breaker()
    calls(breaker, Outcome.GOOD, CALLS_TO_JUDGE // 2)
    calls(breaker, Outcome.FAILED, CALLS_TO_JUDGE // 2)
    assert breaker.state(0.0) is State.CLOSED

    calls(breaker, Outcome.FAILED, 1)

    assert breaker.state(0.0) is State.OPEN
    assert breaker.enter(0.0) is None
    assert breaker.wait(1.0, first=True) == OPEN - 1.0


def test_nineteen_failures_say_too_little() -> None:
    breaker = Breaker()

    calls(breaker, Outcome.FAILED, CALLS_TO_JUDGE - 1)

    assert breaker.state(0.0) is State.CLOSED


def test_failures_of_more_than_ten_seconds_ago_are_forgotten() -> None:
    breaker = Breaker()
    calls(breaker, Outcome.FAILED, CALLS_TO_JUDGE - 1)

    calls(breaker, Outcome.FAILED, 1, now=10.5)

    assert breaker.state(10.5) is State.CLOSED


def test_five_ambiguous_outcomes_within_thirty_seconds_open_it() -> None:
    breaker = Breaker()
    calls(breaker, Outcome.AMBIGUOUS, 1, now=0.0)
    calls(breaker, Outcome.AMBIGUOUS, 3, now=29.0)
    calls(breaker, Outcome.AMBIGUOUS, 1, now=30.5)
    assert breaker.state(30.5) is State.CLOSED

    calls(breaker, Outcome.AMBIGUOUS, 1, now=31.0)

    assert breaker.state(31.0) is State.OPEN


def test_a_few_lost_answers_say_nothing_about_a_host() -> None:
    host = Breaker(by_ambiguous=False)

    calls(host, Outcome.AMBIGUOUS, CALLS_TO_JUDGE - 1)
    assert host.state(0.0) is State.CLOSED
    calls(host, Outcome.AMBIGUOUS, 1)

    assert host.state(0.0) is State.OPEN


@pytest.mark.parametrize("outcome", [Outcome.GOOD, Outcome.DENIED, Outcome.NONE])
def test_refusals_keys_and_withdrawn_calls_say_nothing_against_the_way(outcome: Outcome) -> None:
    breaker = Breaker()

    calls(breaker, outcome, 100)

    assert breaker.state(0.0) is State.CLOSED


def test_after_the_pause_one_call_tries_and_an_order_waits_for_it(opened: Breaker) -> None:
    assert opened.state(OPEN) is State.HALF_OPEN
    assert opened.shown(OPEN) is State.OPEN
    assert opened.wants_probe(OPEN)
    assert opened.enter(OPEN, first=False) is None

    probe = opened.enter(OPEN)
    assert probe is not None
    assert opened.enter(OPEN) is None
    assert not opened.wants_probe(OPEN)
    opened.leave(probe, Outcome.GOOD, OPEN)

    assert opened.shown(OPEN) is State.HALF_OPEN
    assert opened.enter(OPEN, first=False) is not None


def test_each_good_round_lets_twice_as_many_in_until_it_is_closed(opened: Breaker) -> None:
    rounds = []
    while opened.state(OPEN) is State.HALF_OPEN:
        entered: list[int] = []
        while len(entered) < 100 and (era := opened.enter(OPEN)) is not None:
            entered.append(era)
        rounds.append(len(entered))
        for era in entered:
            opened.leave(era, Outcome.GOOD, OPEN)

    assert rounds == [1, 2, 4, MOST_PROBES]
    assert opened.state(OPEN) is State.CLOSED


def test_where_few_call_it_closes_after_ten_good_seconds(opened: Breaker) -> None:
    calls(opened, Outcome.GOOD, 1, now=OPEN)
    assert opened.state(OPEN + 9.9) is State.HALF_OPEN

    assert opened.state(OPEN + 10) is State.CLOSED
    calls(opened, Outcome.AMBIGUOUS, AMBIGUOUS_TO_OPEN - 1, now=OPEN + 10)
    assert opened.state(OPEN + 10) is State.CLOSED


def test_a_failed_try_opens_it_again(opened: Breaker) -> None:
    calls(opened, Outcome.GOOD, 3, now=OPEN)

    calls(opened, Outcome.AMBIGUOUS, 1, now=OPEN)

    assert opened.state(OPEN + 1) is State.OPEN
    assert opened.wait(OPEN, first=True) == OPEN


def test_a_call_that_began_before_it_opened_says_nothing_after() -> None:
    breaker = Breaker()
    late = breaker.enter(0.0)
    assert late is not None
    calls(breaker, Outcome.AMBIGUOUS, AMBIGUOUS_TO_OPEN)
    probe = breaker.enter(OPEN)

    breaker.leave(late, Outcome.AMBIGUOUS, OPEN)

    assert probe is not None
    assert breaker.state(OPEN) is State.HALF_OPEN
    assert breaker.enter(OPEN) is None


def test_a_withdrawn_try_makes_room_for_another(opened: Breaker) -> None:
    probe = opened.enter(OPEN)
    assert probe is not None

    opened.leave(probe, Outcome.NONE, OPEN)

    assert opened.wants_probe(OPEN)
    assert opened.enter(OPEN) is not None


def test_tripped_for_refused_keys_only_an_accepted_key_closes_it() -> None:
    breaker = Breaker()
    breaker.trip(0.0)

    calls(breaker, Outcome.DENIED, 1, now=OPEN)
    assert breaker.state(OPEN + 1) is State.OPEN
    calls(breaker, Outcome.DENIED, 1, now=2 * OPEN)
    assert breaker.state(2 * OPEN + 1) is State.OPEN

    calls(breaker, Outcome.GOOD, 1 + 2 + 4 + MOST_PROBES, now=3 * OPEN)
    assert breaker.state(3 * OPEN) is State.CLOSED


def test_opened_by_failures_a_refused_key_proves_the_way(opened: Breaker) -> None:
    calls(opened, Outcome.DENIED, 1, now=OPEN)

    assert opened.shown(OPEN) is State.HALF_OPEN
