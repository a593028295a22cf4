"""The timing campaign's judge: it sees a small difference, and none where there is none."""

import random

import pytest

from tests.campaigns.mann_whitney import mann_whitney
from tests.campaigns.timed_answers import judged


def samples(seed: int, *, shift: float = 0.0, count: int = 2000) -> list[float]:
    """Times as a machine has them: some around a value, some much later."""
    chance = random.Random(seed)  # noqa: S311 - figures that repeat
    return [chance.gauss(300 + shift, 15) + (chance.random() < 0.05) * 400 for _ in range(count)]


def test_a_difference_of_a_hundredth_is_seen() -> None:
    assert mann_whitney(samples(1), samples(2, shift=3)) < 0.001


def test_chance_alone_is_seldom_called_a_difference() -> None:
    below = sum(mann_whitney(samples(n, count=300), samples(n + 99, count=300)) <= 0.01
                for n in range(99))  # fmt: skip

    assert below <= 5


@pytest.mark.parametrize(
    ("one", "other", "p"),
    [
        # By hand. U = 0: z = 12 / √(25/12 · 11).
        ([1, 2, 3, 4, 5], [6, 7, 8, 9, 10], 0.012185780355344813),
        # U = 4.5, ties of 2, 2 and 4: z = 7.5 / √(25/12 · (11 - 72/90)).
        ([1, 1, 2, 3, 3], [2, 3, 3, 4, 5], 0.1037416782365416),
        ([7, 7, 7], [7, 7], 1.0),
    ],
)
def test_small_samples_come_out_as_by_hand(one: list[int], other: list[int], p: float) -> None:
    assert mann_whitney(one, other) == pytest.approx(p, rel=1e-9)


def test_what_takes_longer_is_found_out() -> None:
    chance = random.Random(7)  # noqa: S311 - figures that repeat

    told = judged([lambda: sum(range(300)), lambda: sum(range(900))], 200, chance)

    assert told["p"] < 1e-6
    assert told["tries"] == 3
