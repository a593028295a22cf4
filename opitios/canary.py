"""A worker that is alive and takes no tasks any more ends, so that it is started again.

After Redis was away a worker can come back deaf (celery#8030, #8384). So each one sends itself a
task again and again, over its own queue but the same connection as all others: if it can send and
does not hear, it is deaf. Sending is tried on a thread of its own; it never waits for Redis long.
"""

import os
import threading
from collections.abc import Callable
from typing import Any

import structlog
from celery import bootsteps, shared_task

from opitios.core import clock
from opitios.core.config import Config, get_config
from opitios.core.taskqueue import LOST

logger = structlog.get_logger("app")

# So many of its own tasks in a row may stay unheard.
MOST_UNHEARD = 3

EXIT_CODE = 70


def canary_queue(config: Config) -> str:
    """Name the queue that only this worker takes tasks from."""
    return f"canary-{config.process}"


class Ear:
    """What a worker has sent itself and not yet heard. Times are monotonic seconds."""

    def __init__(self, every: float) -> None:
        self._limit = every * MOST_UNHEARD
        self._waiting_since: float | None = None
        self._lock = threading.Lock()

    def sent(self, now: float) -> None:
        """A task went out."""
        with self._lock:
            if self._waiting_since is None:
                self._waiting_since = now

    def not_sent(self) -> None:
        """Redis took nothing: whether this worker hears cannot be said."""
        with self._lock:
            self._waiting_since = None

    def heard(self) -> None:
        """A task of ours has arrived."""
        with self._lock:
            self._waiting_since = None

    def is_deaf(self, now: float) -> bool:
        """Whether tasks of ours have been sent for too long without one arriving."""
        with self._lock:
            return self._waiting_since is not None and now - self._waiting_since > self._limit


EAR = Ear(get_config().timers.canary)


@shared_task(name="opitios.canary")  # type: ignore[untyped-decorator] # Celery has no types
def heard() -> None:
    """Hear it."""
    EAR.heard()


def sing(ear: Ear, send: Callable[[], object], end: Callable[[], object]) -> None:
    """Send one task to ourselves, or end the process where the ones before did not arrive."""
    if ear.is_deaf(clock.monotonic()):
        logger.error("this worker takes no tasks any more: it ends to be started again")
        end()
        return
    try:
        send()
    except LOST:
        ear.not_sent()
    else:
        ear.sent(clock.monotonic())


class Canary(bootsteps.StartStopStep):  # type: ignore[misc] # Celery has no types
    """Sings while the worker runs."""

    requires = {"celery.worker.components:Pool"}

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="canary", daemon=True)

    def start(self, worker: Any) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, worker: Any) -> None:
        """End: a worker that finishes its tasks is not deaf."""
        self._closing.set()

    terminate = stop

    def _run(self) -> None:
        config = get_config()
        every = config.timers.canary
        about = {"queue": canary_queue(config), "expires": every * MOST_UNHEARD, "retry": False}
        while not self._closing.wait(every):
            # No clean end: the threads of a deaf worker may hang, and every task is only a hint.
            sing(EAR, lambda: heard.apply_async(**about), lambda: os._exit(EXIT_CODE))
