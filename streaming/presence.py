"""This process's row in the pool view. Synchronous: call it on a thread."""

import os
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from accounts.models import ProcessRow
from opitios.core import clock
from opitios.core.config import get_config


def write_row(started_at: datetime, snapshot: Mapping[str, Any]) -> None:
    """Write the process's snapshot for `GET pool` (api.md §7)."""
    ProcessRow.objects.update_or_create(
        name=get_config().process,
        defaults={
            "role": "stream",
            "pid": os.getpid(),
            "started_at": started_at,
            "seen_at": clock.now(),
            "snapshot": snapshot,
        },
    )
