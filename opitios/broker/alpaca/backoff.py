"""What a trading stream does after its connection ended: which state it shows, how long it waits.

Pure, except for the dice it is given.
"""

import random
from dataclasses import dataclass
from http import HTTPStatus
from typing import Literal

from websockets.exceptions import InvalidStatus

from opitios.broker.alpaca.drains import Overflow

StreamState = Literal["connecting", "listening", "lost", "throttled", "unauthorized"]

# The fleet for which `StreamTimers.spread` is the time that all its handshakes take.
_FLEET = 1000
# A server that asks for more than this is asked again after it.
_LONGEST_WAIT_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class StreamTimers:
    """Seconds. Production runs on the defaults; tests at a tenth.

    `spread` is how long the connects of 1000 accounts are spread over, the first ones and those
    after a loss; of fewer accounts accordingly less.
    """

    open: float = 10.0
    sign_in: float = 10.0
    ping_every: float = 10.0
    ping_answer: float = 20.0
    close: float = 2.0
    first_wait: float = 1.0
    longest_wait: float = 30.0
    unauthorized_wait: float = 30.0
    spread: float = 0.0


class Unauthorized(Exception):
    """The stream does not accept the key pair."""


class NotListening(Exception):
    """The stream accepted the keys and then did not confirm `trade_updates`."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a connection ended. `wait` is what the server asked for at least, in seconds."""

    state: StreamState
    reason: str
    wait: float = 0.0
    keeps_failures: bool = False


def ending_of(error: BaseException, timers: StreamTimers) -> Ending:
    """Return what an error means for the next connection."""
    if isinstance(error, Unauthorized):
        return Ending("unauthorized", "keys refused", timers.unauthorized_wait)
    if isinstance(error, InvalidStatus):
        return _refused_handshake(error, timers)
    if isinstance(error, Overflow):
        # The next connection would overflow as well; a good sign-in is no reason to hurry.
        return Ending("lost", "overflow", keeps_failures=True)
    return Ending("lost", type(error).__name__)


def _refused_handshake(error: InvalidStatus, timers: StreamTimers) -> Ending:
    status = error.response.status_code
    reason = f"handshake answered {status}"
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        asked = error.response.headers.get("Retry-After", "")
        seconds = float(asked) if asked.isascii() and asked.isdigit() else timers.first_wait
        return Ending("throttled", reason, min(seconds, _LONGEST_WAIT_SECONDS))
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return Ending("unauthorized", reason, timers.unauthorized_wait)
    return Ending("lost", reason)


def pause_seconds(failures: int, timers: StreamTimers, dice: random.Random) -> float:
    """Return the wait before the next try: doubling from the first, half of it by chance."""
    whole = min(timers.longest_wait, timers.first_wait * 2.0 ** min(failures, 16))
    return whole / 2 + dice.uniform(0, whole / 2)


def crowd_seconds(down: int, timers: StreamTimers, dice: random.Random) -> float:
    """Return an extra wait that grows with the number of accounts that connect together."""
    return dice.uniform(0, timers.spread * min(1.0, down / _FLEET))
