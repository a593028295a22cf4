"""The Mann-Whitney U test: do two samples come from one distribution? Pure."""

import math
from collections.abc import Sequence


def mann_whitney(one: Sequence[float], other: Sequence[float]) -> float:
    """The two-sided p, by the test's normal form, corrected for ties. Samples of 20 or more."""
    n, m = len(one), len(other)
    ranks, ties = _ranks([*one, *other])
    u = sum(ranks[:n]) - n * (n + 1) / 2
    total = n + m
    variance = n * m / 12 * (total + 1 - sum(t**3 - t for t in ties) / (total * (total - 1)))
    if variance <= 0:
        return 1.0
    z = max(0.0, abs(u - n * m / 2) - 0.5) / math.sqrt(variance)
    return math.erfc(z / math.sqrt(2))


def _ranks(values: Sequence[float]) -> tuple[list[float], list[int]]:
    """The rank of each value, equal ones sharing theirs; and how many are equal, group by group."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks, ties, start = [0.0] * len(values), [], 0
    while start < len(order):
        end = start
        while end < len(order) and values[order[end]] == values[order[start]]:
            end += 1
        for place in order[start:end]:
            ranks[place] = (start + end + 1) / 2
        ties.append(end - start)
        start = end
    return ranks, ties
