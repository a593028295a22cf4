"""Named places where a test may kill the process (reliability.md §3, crash runs).

`OPITIOS_FAILPOINTS=claim-after=37,answer-before-save=5` ends the process with SIGKILL when it comes
to that place for the 37th (the 5th) time. Without the variable a place costs one comparison.
"""

import os
import signal
import threading
from collections import Counter

# Every place, in the order an order passes them; a campaign arms each of them once.
NAMES = (
    "accept-before",
    "accept-after",
    "wake-received",
    "claim-before",
    "claim-after",
    "answer-before-save",
    "answer-after-save",
    "update-before-save",
    "update-after-save",
    "cancel-after-call",
    "read-before-save",
    "lease-renewed",
)


class UnknownFailpoint(ValueError):
    """The variable names a place that does not exist."""


def _armed() -> dict[str, int]:
    armed = {}
    for part in filter(None, os.environ.get("OPITIOS_FAILPOINTS", "").split(",")):
        name, _, times = part.partition("=")
        if name not in NAMES or not times.isdigit():
            raise UnknownFailpoint(part)
        armed[name] = int(times)
    return armed


_ARMED = _armed()
_passed: Counter[str] = Counter()
_lock = threading.Lock()


def reach(name: str) -> None:
    """Come to a place: end here if it is armed and its turn has come."""
    if name in _ARMED:
        _strike(name)


def _strike(name: str) -> None:
    with _lock:
        _passed[name] += 1
        if _passed[name] == _ARMED[name]:
            # The only trace there will be: a campaign counts these lines in the process's log.
            os.write(2, f"failpoint {name} reached\n".encode())
            os.kill(os.getpid(), signal.SIGKILL)
