"""`manage.py desk`: run one desk until SIGTERM or Ctrl-C."""

import os
import signal
from typing import Any

from django.core.management.base import BaseCommand


class Command(BaseCommand):
    """Runs the only process that writes to the broker."""

    help = "Lease accounts, send their orders, keep their streams. Stops on SIGTERM, draining."
    # As other servers: what must hold for serving is asked by AppConfig.ready(). Loading every page
    # and route for the others would keep accounts waiting for their desk.
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        """Wait for the accounts, then work until a signal says stop."""
        from accounts.pool import get_pool  # noqa: PLC0415 - models load after apps do
        from opitios.core import descriptors  # noqa: PLC0415
        from opitios.core.config import get_config  # noqa: PLC0415
        from trading.desk import Desk  # noqa: PLC0415

        if get_config().role != "desk":
            raise SystemExit("Set OPITIOS_ROLE=desk: the pool starts with the process.")
        pool = get_pool()
        pool.wait_until_loaded()
        try:
            descriptors.make_room(len(list(pool.all())))
        except descriptors.TooFewDescriptors as error:
            raise SystemExit(str(error)) from error
        desk = Desk(get_config(), pool)
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, lambda *_: desk.stop())
        self.stdout.write(f"desk {desk.owner} runs, pid {os.getpid()}")
        desk.run()
        pool.stop()
