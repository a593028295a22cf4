"""How often a client may write."""

from collections import deque

# reliability.md §2.2: messages a second; each one costs us a parse and maybe a read.
MESSAGES_A_SECOND = 20


class Pace:
    """Admits so many messages in any one second."""

    def __init__(self, a_second: int = MESSAGES_A_SECOND) -> None:
        self._times: deque[float] = deque(maxlen=a_second)

    def admits(self, now: float) -> bool:
        """Count a message at `now` (monotonic seconds); False where it is one too many."""
        full = len(self._times) == self._times.maxlen
        if full and now - self._times[0] < 1:
            return False
        self._times.append(now)
        return True
