"""How long an ended stream waits: doubling, by chance, spread over a fleet."""

import random

from opitios.broker.alpaca.backoff import StreamTimers, crowd_seconds, pause_seconds

TIMERS = StreamTimers(spread=30.0)
DICE = random.Random(7)  # noqa: S311 - a fixed seed, not a secret


def test_the_pause_doubles_from_one_second_to_thirty() -> None:
    bounds = [(0.5, 1), (1, 2), (2, 4), (4, 8), (8, 16), (15, 30), (15, 30)]

    for failures, (least, most) in enumerate(bounds):
        pauses = [pause_seconds(failures, TIMERS, DICE) for _ in range(200)]
        assert least <= min(pauses) < max(pauses) <= most

    assert pause_seconds(10_000, TIMERS, DICE) <= 30


def test_one_lost_account_does_not_wait_for_a_crowd() -> None:
    assert crowd_seconds(1, TIMERS, DICE) <= 0.03


def test_a_fleet_that_fell_together_comes_back_spread_out() -> None:
    waits = sorted(crowd_seconds(1000, TIMERS, DICE) for _ in range(1000))

    assert waits[-1] <= 30
    assert max(sum(second <= wait < second + 1 for wait in waits) for second in range(30)) < 80


def test_the_default_timers_are_those_of_the_wire() -> None:
    assert StreamTimers() == StreamTimers(
        open=10.0, ping_every=10.0, ping_answer=20.0, first_wait=1.0, longest_wait=30.0
    )
