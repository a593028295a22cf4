"""Waiting for a condition with a deadline."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")

# How often a condition is looked at.
LOOK_SECONDS = 0.005


def until(look: Callable[[], Found], *, seconds: float = 5.0) -> Found:
    """Look until the answer is true, and return it.

    Raises:
        TimeoutError: it was not, in all that time; the message has the last answer.
    """
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not (found := look()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds} s; last answer: {found!r}")
        pause.wait(LOOK_SECONDS)
    return found
