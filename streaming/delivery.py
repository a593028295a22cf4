"""How order updates come: pushed, or from the journal within a second (C18). Pure."""

from datetime import datetime

from opitios.core import clock
from streaming import protocol
from streaming.frames import Frame

LIVE, DEGRADED = "live", "degraded"

# How long pushes may be away untold: a listener that lost its connection often has it back at once.
QUIET_SECONDS = 1.0


class Delivery:
    """Whether this process hears what is pushed, and since when."""

    def __init__(self, now: float, at: datetime) -> None:
        """`now`: monotonic seconds, `at`: the same instant by the wall's clock."""
        self.state = LIVE
        self._since, self._listened_at = at, now

    def note(self, now: float, at: datetime, *, is_listening: bool) -> bool:
        """Look at it now; whether the state changed."""
        if is_listening:
            self._listened_at = now
        state = DEGRADED if now - self._listened_at > QUIET_SECONDS else LIVE
        if state == self.state:
            return False
        self.state, self._since = state, at
        return True

    def status(self) -> Frame:
        """What clients are told."""
        since = clock.rfc3339(self._since)
        return protocol.status("orders", feed=None, state=self.state, since=since, missing=())
