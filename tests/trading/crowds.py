"""Threads that all want something of one Postgres, on a machine where it has much else to do."""

from collections.abc import Callable
from typing import TypeVar

import psycopg
from django.db import OperationalError, connection

from opitios.core import database
from opitios.core.errors import Problem, Reason

Found = TypeVar("Found")

TRIES = 20


def come_again(call: Callable[[], Found]) -> Found:
    """Do what a client does that was told to come again: nothing of its call was done.

    No connection was to be had in time, or a lock was held for too long. All else is raised.
    """
    return _until_it_goes(call, _is_crowd)


def reached(call: Callable[[], Found]) -> Found:
    """The same where nothing may be held for too long: only a connection may not be to be had."""
    return _until_it_goes(call, lambda error: isinstance(error, database.NotReached))


def _until_it_goes(call: Callable[[], Found], is_crowd: Callable[[BaseException], bool]) -> Found:
    for _ in range(TRIES):
        try:
            return call()
        except (Problem, OperationalError) as error:
            if not is_crowd(error):
                raise
        finally:
            connection.close()
    raise AssertionError("always too crowded")


def _is_crowd(error: BaseException) -> bool:
    if isinstance(error, Problem):
        return error.reason is Reason.UNAVAILABLE
    return isinstance(error, database.NotReached) or waited_for_a_lock(error)


def waited_for_a_lock(error: BaseException | None) -> bool:
    """Whether the server gave a statement up that waited for a lock: it did nothing."""
    return isinstance(getattr(error, "__cause__", None), psycopg.errors.LockNotAvailable)
