"""A process's row in the pool view (api.md §7), for processes that hold no pool of clients."""

import os
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from accounts.models import ProcessRow
from opitios.core import clock
from opitios.core.config import get_config


def write_row(started_at: datetime, snapshot: Mapping[str, Any]) -> None:
    """Say that this process lives, and how it is. Raises django.db.DatabaseError."""
    config = get_config()
    ProcessRow.objects.update_or_create(
        name=config.process,
        defaults={
            "role": config.role,
            "pid": os.getpid(),
            "started_at": started_at,
            "seen_at": clock.now(),
            "snapshot": dict(snapshot),
        },
    )
