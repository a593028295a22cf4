"""How many sockets a process holds, in all and of one subject: beyond, nobody comes in. Pure."""

from collections import Counter
from functools import lru_cache

from opitios.core.config import get_config


class Seats:
    """Counts sockets from their handshake to their end, and those of a subject from its sign-in."""

    def __init__(self, *, sockets: int, per_subject: int) -> None:
        self._sockets, self._per_subject = sockets, per_subject
        self._taken = 0
        self._of: Counter[str] = Counter()

    def take(self) -> bool:
        """Take a place for a socket; False where none is left."""
        if self._taken >= self._sockets:
            return False
        self._taken += 1
        return True

    def give_back(self) -> None:
        """Leave a socket's place to others."""
        self._taken -= 1

    def sign_in(self, subject: str) -> bool:
        """Count a socket as a subject's; False where it has as many as it may."""
        if self._of[subject] >= self._per_subject:
            return False
        self._of[subject] += 1
        return True

    def sign_out(self, subject: str) -> None:
        """Count one of a subject's sockets no more."""
        self._of[subject] -= 1
        if not self._of[subject]:
            del self._of[subject]

    def part(self) -> dict[str, int]:
        """What the pool row tells of them."""
        return {"handshakes": self._taken, "subjects": len(self._of)}


@lru_cache(maxsize=1)
def get_seats() -> Seats:
    """The places of this process."""
    config = get_config()
    return Seats(sockets=config.stream_sockets, per_subject=config.stream_sockets_per_subject)
