"""What a process counts of itself. Names are Prometheus' own kind, prefixed where they are shown.

Counting is one addition to a plain number under a lock: the hot path pays a quarter of a
microsecond. What was counted goes into the process's row (accounts/presence.py) and is shown from
there, whichever process is asked: docs/adr/0021.
"""

import threading
from collections.abc import Mapping, Sequence
from typing import Any

Labels = tuple[str | int, ...]

_counters: "dict[str, Counter]" = {}


class Counter:
    """A number that only grows, one for each combination of labels. Safe to use from any thread.

    Every label is out of a closed set (a route, a status, an account): nothing that a client
    invents may fill the memory.
    """

    __slots__ = ("_counts", "_lock", "about", "labels", "name")

    def __init__(self, name: str, about: str, labels: Sequence[str]) -> None:
        """A name belongs to one counter; making it registers it."""
        if name in _counters:
            raise ValueError(f"{name} is counted already")
        self.name, self.about, self.labels = name, about, tuple(labels)
        self._counts: dict[Labels, float] = {}
        self._lock = threading.Lock()
        _counters[name] = self

    def add(self, labels: Labels, by: float = 1) -> None:
        """Count so many more; labels in the order of their names."""
        if not by:
            return
        counts = self._counts
        with self._lock:
            counts[labels] = counts.get(labels, 0) + by

    def told(self) -> dict[str, Any]:
        """What it stands at, as the process's row holds it."""
        with self._lock:
            counts = list(self._counts.items())
        return {
            "about": self.about,
            "labels": list(self.labels),
            "counts": [[*labels, round(value, 6)] for labels, value in counts],
        }


def snapshot() -> Mapping[str, Any]:
    """Everything this process counted since its start, by name."""
    told = {name: counter.told() for name, counter in list(_counters.items())}
    return {name: each for name, each in told.items() if each["counts"]}
