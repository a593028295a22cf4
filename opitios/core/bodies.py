"""Who reads a request's body: clients that send theirs slowly hold few of a process's threads.

A thread that reads waits for its client, and nothing wakes it but bytes or the client's leaving:
granian has no timeout for bodies. nginx in front has one, and hands on whole bodies only
(docs/deploy.md); these slots are for the rest.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Protocol

from django.http import HttpRequest

from opitios.core import client_address, clock
from opitios.core.config import get_config
from opitios.core.errors import Problem, Reason

# Bodies of this API are small; the batch route alone raises it (api.md §5).
MAX_BODY = 64 * 1024

# Bodies of one subject that may be on their way at a time.
MOST_OF_ONE = 4
# A reader older than this is slow, and nobody waits for it. A body that is there is read within
# 0.05 s, even where all threads of a process want the interpreter's lock.
SLOW_SECONDS = 0.25
# With a crowd waiting already, so long: bodies that are there move it on, slow ones do not.
CROWDED_SECONDS = 0.1

_READS_NOTHING = frozenset({"GET", "HEAD", "OPTIONS"})


class BodySlots:
    """The places for those who read. Whose place is taken waits for it, but not for a slow reader.

    At most `in_all` read at a time, `of_one` of the same name; `may_wait` wait at leisure.
    """

    def __init__(self, *, in_all: int, of_one: int, may_wait: int) -> None:
        self._in_all, self._of_one, self._may_wait = in_all, of_one, may_wait
        # When each of them began, by name.
        self._reading: dict[str, list[float]] = {}
        self._count = self._waiting = 0
        self._freed = threading.Condition(threading.Lock())

    @contextmanager
    def taken_by(self, name: str) -> Iterator[None]:
        """Hold a place. Raises Problem 503 where slow readers have taken them."""
        began = self._take(name)
        try:
            yield
        finally:
            self._give_back(name, began)

    def _take(self, name: str) -> float:
        came = clock.monotonic()
        with self._freed:
            while others := self._in_the_way_of(name):
                self._wait(until=min(came, max(others)) + self._patience)
            began = clock.monotonic()
            self._reading.setdefault(name, []).append(began)
            self._count += 1
            return began

    def _in_the_way_of(self, name: str) -> Sequence[float]:
        # Since when those have been reading of whom one must end first; nobody where there is room.
        own = self._reading.get(name, ())
        if len(own) >= self._of_one:
            return own
        if self._count < self._in_all:
            return ()
        return [began for each in self._reading.values() for began in each]

    def _wait(self, *, until: float) -> None:
        left = until - clock.monotonic()
        if left <= 0:
            detail = "Too many bodies that began to come have not come yet."
            raise Problem(Reason.SLOW_BODIES, detail, retry_after_seconds=1.0)
        self._waiting += 1
        try:
            self._freed.wait(left)
        finally:
            self._waiting -= 1

    @property
    def _patience(self) -> float:
        return SLOW_SECONDS if self._waiting < self._may_wait else CROWDED_SECONDS

    def _give_back(self, name: str, began: float) -> None:
        with self._freed:
            own = self._reading[name]
            own.remove(began)
            self._count -= 1
            if not own:
                del self._reading[name]
            if self._waiting:
                self._freed.notify_all()


@lru_cache(maxsize=1)
def api_slots() -> BodySlots:
    """The places for bodies of API calls: a quarter of this process's threads."""
    threads = get_config().web_threads
    in_all = max(1, threads // 4)
    # Nobody alone takes them all.
    of_one = max(1, min(MOST_OF_ONE, in_all // 2))
    return BodySlots(in_all=in_all, of_one=of_one, may_wait=max(1, threads // 2))


@lru_cache(maxsize=1)
def page_slots() -> BodySlots:
    """The places for forms of staff pages: who signs in is nobody yet, and takes no API call's."""
    in_all = max(1, get_config().web_threads // 8)
    return BodySlots(in_all=in_all, of_one=max(1, in_all // 2), may_wait=in_all)


def is_there(meta: Mapping[str, Any]) -> bool:
    """Whether a body comes with the request, whichever way it is sent."""
    return "HTTP_TRANSFER_ENCODING" in meta or _length_of(meta) > 0


class Stream(Protocol):
    """Where a body comes from: a request, or the server's own `wsgi.input`."""

    def read(self, size: int, /) -> bytes:
        """Wait for so many bytes; fewer only where it ends before. Raises OSError."""


def read(
    meta: Mapping[str, Any], stream: Stream, *, by: str | None, limit: int = MAX_BODY
) -> bytes:
    """Read the body of an API call; `by`: the subject whose place it takes.

    Raises Problem: 400 for one in chunks or cut short, 413 over the limit, 503 without a place.
    """
    length = _require_length(meta, limit)
    if length == 0:
        return b""
    try:
        with api_slots().taken_by(str(by)):
            raw = stream.read(length)
    except OSError as error:
        raise Problem(Reason.MALFORMED, "The request could not be read.") from error
    if len(raw) < length:
        raise Problem(Reason.MALFORMED, "The body ended before its Content-Length.")
    return raw


def read_ahead(request: HttpRequest) -> None:
    """Read the form of a staff page into memory, where Django finds it. Raises Problem as read."""
    if request.method in _READS_NOTHING or not is_there(request.META):
        return
    _require_length(request.META, MAX_BODY)
    with page_slots().taken_by(client_address.of_request(request) or ""):
        _ = request.body


def _require_length(meta: Mapping[str, Any], limit: int) -> int:
    if "HTTP_TRANSFER_ENCODING" in meta:
        detail = "Send the body with its Content-Length, not in chunks."
        raise Problem(Reason.MALFORMED, detail)
    length = _length_of(meta)
    if length > limit:
        raise Problem(Reason.TOO_LARGE, f"A body here is at most {limit} bytes.")
    return length


def _length_of(meta: Mapping[str, Any]) -> int:
    # The server lets through nothing but digits.
    return int(meta.get("CONTENT_LENGTH") or 0)
