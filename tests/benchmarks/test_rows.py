"""What a bench says of its rounds."""

import pytest

from benchmarks.rows import Budget, Row, at_least, at_most, compared, percentile

PAIRS = [(60.0, 100.0), (10.0, 100.0), (70.0, 100.0), (90.0, 150.0), (999.0, 1000.0)]


def test_the_ratio_is_the_median_of_paired_rounds() -> None:
    row = compared(name="a", unit="orders/s", pairs=PAIRS, budget=at_least(0.6))

    assert (row.value, row.rival, row.ratio) == (70.0, 100.0, 0.6)
    assert (row.wanted, row.holds) == (0.6, True)


@pytest.mark.parametrize(
    ("budget", "holds"),
    [
        (at_least(0.6), True),
        (at_least(0.601), False),
        (at_most(0.6), True),
        (at_most(0.599), False),
    ],
)
def test_a_budget_is_kept_on_its_own_side(budget: Budget, holds: bool) -> None:
    assert compared(name="a", unit="us", pairs=PAIRS, budget=budget).holds is holds


def test_a_row_without_a_rival_judges_nothing() -> None:
    row = Row(name="order_sent_p50", value=2.5, unit="ms")

    assert list(row.as_json()) == ["name", "value", "unit", "rival", "ratio", "wanted", "holds"]
    assert row.as_json()["holds"] is None


@pytest.mark.parametrize(("percent", "value"), [(1, 1.0), (50, 50.0), (99, 99.0), (100, 100.0)])
def test_a_percentile_is_one_of_the_values(percent: int, value: float) -> None:
    assert percentile([float(each) for each in range(100, 0, -1)], percent) == value
