"""`manage.py listen_market`: run one market process until SIGTERM or Ctrl-C."""

import os
import signal
from typing import Any

from django.core.management.base import BaseCommand


class Command(BaseCommand):
    """Runs the process that owns the data sockets; several may run, the others stand by."""

    help = "Lease the market data sockets, subscribe what is wanted, tell everybody the prices."
    # As other servers: what must hold for serving is asked by AppConfig.ready().
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        """Wait for the accounts, then work until a signal says stop."""
        from accounts.pool import get_pool  # noqa: PLC0415 - models load after apps do
        from marketdata.feed import MarketFeed  # noqa: PLC0415
        from marketdata.silence import newest_over  # noqa: PLC0415
        from marketdata.sources import get_sources  # noqa: PLC0415
        from opitios.core.bus import get_bus  # noqa: PLC0415
        from opitios.core.config import get_config  # noqa: PLC0415

        if get_config().role != "market":
            raise SystemExit("Set OPITIOS_ROLE=market: the pool starts with the process.")
        pool, sources = get_pool(), get_sources()
        pool.wait_until_loaded()
        feed = MarketFeed(
            get_config(),
            pool,
            bus=get_bus(),
            hours=sources.hours,
            newest=newest_over(sources.router),
        )
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, lambda *_: feed.stop())
        self.stdout.write(f"market process {feed.owner} runs, pid {os.getpid()}")
        feed.run()
        pool.stop()
