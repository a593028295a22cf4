"""Which core does what: the measured process has one for itself, everything else the others."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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


def cpu_seconds(pid: int) -> float:
    """Seconds of processor time that a process and the children it has now have used."""
    # proc(5): the 14th and 15th field; the name before them may hold anything.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    own = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return own + sum(
        cpu_seconds(int(child)) for each in lists for child in each.read_text().split()
    )
