"""Ids of orders, executions and stream messages."""

import secrets
from collections.abc import Callable
from typing import NamedTuple
from uuid import uuid4

from sandbox.instants import MILLISECOND

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_RANDOM_BITS = 80
# Room above a fresh start for the messages of one millisecond.
_START_BITS = 79


class Ids(NamedTuple):
    """Where new ids come from; tests give predictable ones."""

    uuid: Callable[[], str]
    event_id: Callable[[int], str]


def random_ids() -> Ids:
    """UUIDv4 for orders and executions, rising ULIDs for stream messages."""
    return Ids(uuid=lambda: str(uuid4()), event_id=Ulids().at)


class Ulids:
    """ULIDs in rising order: 48 bits of milliseconds, 80 bits that count up within one."""

    def __init__(self) -> None:
        self._milliseconds = 0
        self._low = 0

    def at(self, instant: int) -> str:
        """The next ULID, for an event at the instant (nanoseconds since 1970)."""
        milliseconds = instant // MILLISECOND
        if milliseconds > self._milliseconds:
            self._milliseconds = milliseconds
            self._low = secrets.randbits(_START_BITS)
        else:
            self._low += 1
        return _encode(self._milliseconds << _RANDOM_BITS | self._low)


def _encode(value: int) -> str:
    return "".join(_CROCKFORD[value >> shift & 31] for shift in range(125, -1, -5))
