"""Which core does what: the measured process has one for itself, everything else the others."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

_ALL = sorted(os.sched_getaffinity(0))

# On a machine with one core both are the same, and the figures say little.
MEASURED = frozenset(_ALL[:1])
OTHERS = frozenset(_ALL[1:] or _ALL)


@contextmanager
def pinned_to(cores: frozenset[int]) -> Iterator[None]:
    """Let every process started meanwhile run on these cores only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
