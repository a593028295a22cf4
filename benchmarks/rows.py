"""What a bench says: one row a figure, judged against the budget of its design."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Budget:
    """The figure a ratio (ours / rival) has to keep, and on which side of it."""

    wanted: float
    holds: Callable[[float], bool]


def at_least(wanted: float) -> Budget:
    """The ratio is to be this or more."""
    return Budget(wanted, lambda ratio: ratio >= wanted)


def at_most(wanted: float) -> Budget:
    """The ratio is to be this or less."""
    return Budget(wanted, lambda ratio: ratio <= wanted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of `make bench`. Without a rival or a budget the fields about them are None."""

    name: str
    value: float
    unit: str
    rival: float | None = None
    ratio: float | None = None
    wanted: float | None = None
    holds: bool | None = None

    def as_json(self) -> dict[str, Any]:
        """The line's object, keys in the contract's order."""
        return asdict(self)


def compared(
    *, name: str, unit: str, pairs: Sequence[tuple[float, float]], budget: Budget | None
) -> Row:
    """Make the row of paired rounds (ours, rival): medians, and the median of the ratios.

    Each ratio is of two rounds that followed each other: what slows the machine slows both.
    Without a budget nothing is wanted of the ratio.
    """
    ratio = statistics.median(ours / rival for ours, rival in pairs)
    return Row(
        name=name,
        value=round(statistics.median(ours for ours, _ in pairs), 1),
        unit=unit,
        rival=round(statistics.median(rival for _, rival in pairs), 1),
        ratio=round(ratio, 3),
        wanted=None if budget is None else budget.wanted,
        holds=None if budget is None else budget.holds(ratio),
    )


def bounded(*, name: str, unit: str, value: float, rival: float, at_most: float) -> Row:
    """Make the row of a figure that has a bound of its own, whatever the rival needs."""
    return Row(
        name=name,
        value=round(value, 2),
        unit=unit,
        rival=round(rival, 2),
        ratio=round(value / rival, 3),
        wanted=at_most,
        holds=value < at_most,
    )


def percentile(values: Sequence[float], percent: int) -> float:
    """The smallest of the values that at least so many percent do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]
