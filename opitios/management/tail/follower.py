"""Following the stream: sign in, ask, read, and come back where it was lost."""

import json
import random
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from opitios.core import clock
from opitios.core.embedded import processes
from opitios.management.tail.following import Following
from opitios.management.tail.source import Source
from opitios.management.tail.views import View
from opitios.management.tail.wishes import Wishes
from streaming.frames import Close
from streaming.protocol import Code

Message = Mapping[str, Any]

# A handshake that takes longer does not come. Seconds.
OPEN_SECONDS = 10.0
# A silent line is asked whether it lives, and given so long to answer. Seconds.
PING_SECONDS = 15.0
# How often the view is given a turn while nothing comes. Seconds.
TURN_SECONDS = 0.25
# After a loss: at once and a little, then ever later. Seconds.
WAITS = (0.2, 0.5, 1.0, 2.0, 5.0)
# More than the longest frame: a fleet's lists.
MAX_FRAME = 4 * 1024 * 1024

# Messages that have a number of an account.
_NUMBERED = frozenset({"order", "account", "gap", "snapshot"})

# Errors that the socket's end follows, or nothing.
_CLOSES_FOLLOW = frozenset({Code.AUTH_FAILED, Code.TOO_MANY})


class Refused(Exception):
    """The gateway will not show this, however often it is asked; the text says why."""


class _Lost(Exception):
    """The connection is gone, and may be opened again."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """When enough was shown: so many messages, so many seconds. None: for ever."""

    count: int | None = None
    seconds: float | None = None


@dataclass
class Follower:
    """One stream followed over as many connections as it takes."""

    source: Source
    wishes: Wishes
    view: View
    bounds: Bounds
    following: Following = field(default_factory=Following)
    was_in: bool = False
    _token: str = ""
    _failures: int = 0
    _deadline: float = float("inf")

    def run(self) -> bool:
        """Follow until enough was shown: whether all that was asked for came.

        Raises Refused, and BadSource where there is no token.
        """
        if self.bounds.seconds is not None:
            self._deadline = clock.monotonic() + self.bounds.seconds
        self.following.seen.update(self.wishes.after)
        while not self._is_enough():
            try:
                self._follow_once()
            except _Lost as loss:
                self._come_back(str(loss))
        return self.was_in and self._has_count(default=True)

    # One connection

    def _follow_once(self) -> None:
        self._token = self.source.token()
        try:
            with self._opened() as socket:
                self._ask(socket)
                for message in self._messages(socket):
                    self._hear(socket, message)
        except ConnectionClosed as closed:
            self._judge_end(closed)

    def _opened(self) -> ClientConnection:
        try:
            return connect(
                self.source.url,
                additional_headers={"Authorization": f"Bearer {self._token}"},
                compression=None,
                open_timeout=OPEN_SECONDS,
                ping_interval=PING_SECONDS,
                ping_timeout=PING_SECONDS,
                close_timeout=1,
                max_size=MAX_FRAME,
            )
        except InvalidStatus as refused:
            raise self._of_status(refused) from refused
        except (OSError, InvalidHandshake) as error:
            raise self._unreachable(error) from error

    def _of_status(self, refused: InvalidStatus) -> Exception:
        status = refused.response.status_code
        told = f"{self.source.url} answers {status} to the handshake"
        is_passing = status >= HTTPStatus.INTERNAL_SERVER_ERROR
        return (
            _Lost(told) if is_passing or status == HTTPStatus.TOO_MANY_REQUESTS else Refused(told)
        )

    def _unreachable(self, error: Exception) -> Exception:
        told = f"nothing answers at {self.source.url} ({type(error).__name__})"
        return _Lost(told) if self.was_in else Refused(f"{told}: is it running? `make up`")

    def _ask(self, socket: ClientConnection) -> None:
        socket.send(json.dumps(self.wishes.message(self.following.seen)))

    def _messages(self, socket: ClientConnection) -> Iterator[Message]:
        while not self._is_enough():
            with suppress(TimeoutError):
                left = self._deadline - clock.monotonic()
                yield from _read(socket.recv(timeout=max(0.0, min(TURN_SECONDS, left))))
            self.view.turn(self.following)

    def _hear(self, socket: ClientConnection, message: Message) -> None:
        if self._is_enough():
            return
        if gap := self.following.hear(message):
            self.view.gap(gap)
        self.view.show(message, clock.now())
        match message.get("T"):
            case "subscription":
                self._welcome()
            case "token":
                self._renew(socket)
            case "error":
                self._judge(socket, message)
            case _:
                pass

    def _welcome(self) -> None:
        if self._failures or not self.was_in:
            again = " again, from where it was" if self.was_in else ""
            self.view.say(f"following{again}", "good")
        self.was_in, self._failures = True, 0

    def _renew(self, socket: ClientConnection) -> None:
        fresh = self.source.token()
        if fresh == self._token:
            self.view.say("the token ends soon, and no newer one is there", "warn")
            return
        self._token = fresh
        socket.send(json.dumps({"action": "auth", "token": fresh}))

    # Trouble

    def _judge(self, socket: ClientConnection, message: Message) -> None:
        code = message.get("code")
        if code == Code.INTERNAL:
            raise _Lost("the gateway has trouble")
        if code in _CLOSES_FOLLOW or (self.was_in and code == Code.TOO_MANY_SOCKETS):
            # They say the rest; a renewal that is refused leaves the old token in force.
            return
        told = " · ".join(str(message[key]) for key in ("msg", "detail") if key in message)
        if not self._is_no_way_back(code):
            raise Refused(told)
        # Missed too much, or an account that is gone: better go on from now than not at all.
        self.view.say(f"{told}: what was missed is not shown, going on from now", "bad")
        self.following.forget()
        self._ask(socket)

    def _is_no_way_back(self, code: Any) -> bool:
        was_seen = self.was_in and bool(self.following.seen)
        return was_seen and code in {Code.TOO_OLD, Code.NO_SUCH_ACCOUNT, Code.SYNTAX}

    def _judge_end(self, closed: ConnectionClosed) -> None:
        code = closed.rcvd.code if closed.rcvd else None
        if code == Close.TOKEN and self.source.token() == self._token:
            raise Refused("the token is not valid, or its time is up") from closed
        words = {1012: "the gateway restarts", Close.TOO_SLOW: "this end was too slow"}
        said = words.get(code or 0) or ("the line broke" if code is None else f"closed with {code}")
        raise _Lost(said) from closed

    def _come_back(self, why: str) -> None:
        wait = WAITS[min(self._failures, len(WAITS) - 1)] * random.uniform(0.5, 1.0)  # noqa: S311 # nosec B311
        self._failures += 1
        self.view.say(f"{why}: trying again in {wait:.1f} s", "warn")
        until = min(self._deadline, clock.monotonic() + wait)
        while (left := until - clock.monotonic()) > 0:
            processes.pause(min(left, TURN_SECONDS))
            self.view.turn(self.following)

    def _is_enough(self) -> bool:
        return self._has_count(default=False) or clock.monotonic() >= self._deadline

    def _has_count(self, *, default: bool) -> bool:
        return default if self.bounds.count is None else self.following.shown >= self.bounds.count


def _read(frame: str | bytes) -> list[Message]:
    """Read one frame. Raises Refused where it is none of ours."""
    try:
        messages: list[Message] = json.loads(frame)
        if all(_is_whole(message) for message in messages):
            return messages
    except (ValueError, TypeError, AttributeError, KeyError):
        pass
    raise Refused("what answers there does not speak as the stream of a gateway")


def _is_whole(message: Message) -> bool:
    return message.get("T") not in _NUMBERED or (
        isinstance(message["account_id"], str) and isinstance(message["seq"], int)
    )
