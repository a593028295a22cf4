"""Hints on their way to Redis: said by many threads, written by whichever finds nobody writing.

Who says something waits for no answer and, mostly, for nobody: what others said meanwhile goes out
in the same write. Answers are read along the way, when there are some; there is no further thread,
which would want the interpreter for each hint. Why so: docs/adr/0026.
"""

import threading
from collections import deque
from typing import Any

import redis

from opitios.core import clock

# Answers left unread, at about five bytes each: far less than a socket holds.
MOST_UNREAD = 64
# What was said longer ago is answered, and a connection that was quiet so long may be closed.
QUIET_SECONDS = 0.2
# What is said while a write takes its time; beyond it the oldest go, and polls find what they were
# about.
MOST_WAITING = 1000


class Hints:
    """One connection to Redis, on which commands are said. Safe to use from any thread."""

    def __init__(self, pool: redis.ConnectionPool) -> None:
        """`pool` says where, and how long a call may take."""
        # redis-py leaves its connections untyped.
        self._connection: Any = pool.make_connection()
        self._waiting: deque[bytes] = deque(maxlen=MOST_WAITING)
        self._writing = threading.Lock()
        self._unread = 0
        self._written_at = 0.0

    def say(self, channel: bytes, message: bytes) -> None:
        """Let a message wait for `write`."""
        self._waiting.append(
            b"*3\r\n$7\r\nPUBLISH\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n"
            % (len(channel), channel, len(message), message)
        )

    def write(self) -> None:
        """Send what waits, unless somebody is about it. Raises redis.RedisError."""
        # Looked at again afterwards: what came just before the lock was let go has nobody else.
        while self._waiting and self._writing.acquire(blocking=False):
            try:
                self._write()
            except redis.RedisError:
                self._forget()
                raise
            finally:
                self._writing.release()

    def _write(self) -> None:
        if clock.monotonic() - self._written_at > QUIET_SECONDS:
            self._look()
        elif self._unread >= MOST_UNREAD:
            self._read()
        said = [self._waiting.popleft() for _ in range(len(self._waiting))]
        self._connection.send_packed_command([b"".join(said)], check_health=False)
        self._unread += len(said)
        self._written_at = clock.monotonic()

    def _look(self) -> None:
        """See whether a connection that was quiet is still there; if not, begin with another."""
        if not self._connection.is_connected:
            return
        try:
            self._read()
            is_closed = self._connection.can_read(timeout=0)
        except redis.ConnectionError:
            is_closed = True
        if is_closed:
            self._unread = 0
            self._connection.disconnect()

    def _read(self) -> None:
        while self._unread:
            self._connection.read_response()
            self._unread -= 1

    def _forget(self) -> None:
        self._waiting.clear()
        self._unread = 0
        # An answer may still be under way: it is not to be read as a later one.
        self._connection.disconnect()
