"""What a stream does after its connection ended: which state it shows, how long it waits.

Pure, except for the dice it is given.
"""

import random
from dataclasses import dataclass
from http import HTTPStatus
from typing import Literal

from websockets.exceptions import InvalidStatus

from opitios.broker.alpaca.drains import Overflow

# `refused`: of market data alone; what the account's plan or our own words forbid.
StreamState = Literal["connecting", "listening", "lost", "throttled", "unauthorized", "refused"]

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
    # A data server notices after so long that a connection is gone (alpaca-wire.md §3c); until then
    # another one is refused.
    reaped: float = 90.0
    # How long it may take to answer a subscription.
    answer: float = 10.0


class Unauthorized(Exception):
    """The stream does not accept the key pair."""


class NotListening(Exception):
    """The stream accepted the keys and then did not confirm `trade_updates`."""


class Silent(Exception):
    """Its owner knows that the stream should have said something, and it did not."""


class StreamRefused(Exception):
    """The server of market data said no: `code` and `words` are its own (alpaca-wire.md §3b)."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(code, words)
        self.code, self.words = code, words


@dataclass(frozen=True, slots=True)
class Ending:
    """How a connection ended. `wait` is what the server asked for at least, in seconds.

    is_final: the same keys would be refused again; nothing is tried until there are others.
    """

    state: StreamState
    reason: str
    wait: float = 0.0
    keeps_failures: bool = False
    is_final: bool = False


# What the data server's words mean (alpaca-wire.md §3b). Others are a lost connection.
_AUTH_FAILED, _CONNECTION_LIMIT, _SLOW_CLIENT = 402, 406, 407
_FINAL = frozenset({408, 409, 410, 411, 412, 413})


def ending_of(error: BaseException, timers: StreamTimers) -> Ending:
    """Return what an error means for the next connection."""
    if isinstance(error, Unauthorized):
        return Ending("unauthorized", "keys refused", timers.unauthorized_wait)
    if isinstance(error, Silent):
        return Ending("lost", "stale")
    if isinstance(error, StreamRefused):
        return _refused(error, timers)
    if isinstance(error, InvalidStatus):
        return _refused_handshake(error, timers)
    if isinstance(error, Overflow):
        # The next connection would overflow as well; a good sign-in is no reason to hurry.
        return Ending("lost", "overflow", keeps_failures=True)
    return Ending("lost", type(error).__name__)


def _refused(error: StreamRefused, timers: StreamTimers) -> Ending:
    reason = f"{error.code} {error.words}"
    if error.code == _AUTH_FAILED:
        return Ending("unauthorized", reason, is_final=True)
    if error.code in _FINAL:
        return Ending("refused", reason, is_final=True)
    if error.code == _CONNECTION_LIMIT:
        return Ending("throttled", reason, timers.reaped)
    return Ending("lost", reason, keeps_failures=error.code == _SLOW_CLIENT)


def _refused_handshake(error: InvalidStatus, timers: StreamTimers) -> Ending:
    status = error.response.status_code
    reason = f"handshake answered {status}"
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        asked = error.response.headers.get("Retry-After", "")
        seconds = float(asked) if asked.isascii() and asked.isdigit() else timers.first_wait
        return Ending("throttled", reason, min(seconds, _LONGEST_WAIT_SECONDS))
    if status == HTTPStatus.NOT_ACCEPTABLE:
        return Ending("throttled", reason, timers.reaped)
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
