"""How crowded this machine is: bounds of time are judged by it, and no neighbour fails a test."""

import os
import time
from pathlib import Path
from types import TracebackType
from typing import Self

# Only a failing test waits so long: so many times what a machine of our own takes. Neighbours on
# the same hardware take time that nothing in here can see.
PATIENCE = float(os.environ.get("OPITIOS_TESTS_PATIENCE", "6"))
# As many times as much as we know of may be taken by neighbours that cannot be seen.
UNSEEN = 2.0


def patient(seconds: float) -> float:
    """How long a test waits for what takes `seconds` at most on a machine of our own."""
    return seconds * max(PATIENCE, crowding())


def crowding() -> float:
    """How many runnable threads share a processor, now or in the last minute; 1 at least."""
    minute, _, _, tasks, _ = Path("/proc/loadavg").read_text().split()
    running = int(tasks.partition("/")[0])
    return max(1.0, max(float(minute), running) / (os.cpu_count() or 1))


class Stopwatch:
    """Takes the time of a with-block, in seconds."""

    def __enter__(self) -> Self:
        self._crowding = crowding()
        self._began = time.monotonic()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.seconds = time.monotonic() - self._began
        self._crowding = max(self._crowding, crowding())

    def is_within(self, seconds: float) -> bool:
        """Whether it took so long at most, on a machine of our own.

        As many threads as share a processor, as often the time is allowed, and twice that: a bound
        that is not kept at all is missed by more.
        """
        return self.seconds < seconds * self._crowding * UNSEEN

    def __repr__(self) -> str:
        return f"{self.seconds:.3f} s where {self._crowding:.1f} threads share a processor"
