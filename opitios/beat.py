"""The clock of the retry path: asks the workers each second to look for what is due."""

from typing import Any

import structlog
from celery.beat import ScheduleEntry, Scheduler, SchedulingError
from django.db import DatabaseError

from accounts import presence
from opitios.core import clock, database
from opitios.core.config import get_config
from opitios.core.taskqueue import LOST

logger = structlog.get_logger("app")

# Where so many tasks wait, no worker takes any: more of them would only fill Redis.
MOST_WAITING = 60


class Beat(Scheduler):  # type: ignore[misc] # Celery has no types
    """Celery's scheduler without a file: nothing here must survive a restart.

    It logs a lost Redis once instead of each second, and shows itself in the pool.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._started_at = clock.now()
        self._next_row = 0.0
        self._failing = ""

    def tick(self, *args: Any, **options: Any) -> float:
        """Do what is due; returns the seconds until something is."""
        self._show()
        wait: float = super().tick(*args, **options)
        return wait

    def apply_entry(self, entry: ScheduleEntry, producer: Any = None) -> None:
        """Send one task, unless nobody takes them."""
        try:
            if self._waiting(producer) < MOST_WAITING:
                self.apply_async(entry, producer=producer, advance=False)
                self._note("")
            else:
                self._note("no worker takes tasks")
        except (SchedulingError, *LOST) as error:
            self._note(f"redis does not answer ({type(error.__cause__ or error).__name__})")

    def _waiting(self, producer: Any) -> int:
        channel = producer.connection.default_channel
        size: int = channel._size(self.app.conf.task_default_queue)
        return size

    def _note(self, trouble: str) -> None:
        if trouble != self._failing:
            self._failing = trouble
            if trouble:
                logger.warning("tasks are not sent", why=trouble)
            else:
                logger.info("tasks are sent again")

    def _show(self) -> None:
        if clock.monotonic() < self._next_row:
            return
        self._next_row = clock.monotonic() + get_config().timers.pool_row
        try:
            presence.write_row(self._started_at, {"trouble": self._failing or None})
        except DatabaseError as error:
            logger.warning("beat cannot reach postgres", error=str(error))
        finally:
            database.release()
