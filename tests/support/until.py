"""Waiting for a condition with a deadline."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from tests.support.crowd import patient

Found = TypeVar("Found")

# How often a condition is looked at: at first, and when it has long been waited for.
LOOK_SECONDS, LONG_LOOK_SECONDS = 0.005, 0.05


def until(look: Callable[[], Found], *, seconds: float = 10.0) -> Found:
    """Look until the answer is true, and return it.

    `seconds` on a machine of our own; any other is waited for more patiently (crowd.py).

    Raises:
        TimeoutError: it was not, in all that time; the message has the last answer.
    """
    began = time.monotonic()
    pause = threading.Event()
    while not (found := look()):
        waited = time.monotonic() - began
        if waited > seconds and waited > patient(seconds):
            raise TimeoutError(f"not within {seconds} s; last answer: {found!r}")
        # A hundredth of the time it takes: who waits long must not keep others from working.
        pause.wait(min(max(LOOK_SECONDS, waited / 100), LONG_LOOK_SECONDS))
    return found
