"""Market processes in this one, and what they tell: for tests of the live feed."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from accounts.models import FeedLease
from accounts.pool import Pool
from marketdata.demand import Demand
from marketdata.feed import MarketFeed
from marketdata.hours import Hours
from marketdata.routing import Router
from marketdata.silence import newest_over
from marketdata.ticks import Tick, unpacked
from opitios.core import clock, database
from opitios.core.bus import Bus, Topic
from opitios.core.config import get_config
from tests.support.until import until


class Heard:
    """What the market process tells everybody, and a demand for it."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.ticks: list[Tick] = []
        self.states: dict[str, list[dict[str, Any]]] = {}
        self.demand = Demand(bus)
        self._listeners = [
            bus.listen(Topic.TICKS, lambda message: self.ticks.extend(unpacked(message))),
            bus.listen(Topic.MARKET, self._note),
        ]
        until(lambda: all(each.since for each in self._listeners))

    def close(self) -> None:
        """Want nothing and hear nothing any more."""
        self.demand.close()
        for each in self._listeners:
            each.close()

    def words(self, channel: str) -> list[str]:
        """The states that a channel went through."""
        return [each["state"] for each in self.states.get(channel, ())]

    def state(self, channel: str) -> dict[str, Any]:
        """How a channel is."""
        return self.states.get(channel, [{"state": None}])[-1]

    def until_live(self, channel: str) -> float:
        """Wait until a channel is live; since when it is."""
        return float(
            until(lambda: self.state(channel)["state"] == "live" and self.state(channel))["since"]
        )

    def hears(self, channel: str, symbol: str) -> Tick:
        """Wait for a tick that is received from now on."""
        now = clock.now().timestamp()

        def found() -> list[Tick]:
            return [
                each
                for each in list(self.ticks)
                if (each.channel, each.symbol) == (channel, symbol) and each.at > now
            ]

        return until(found)[0]

    def _note(self, message: dict[str, Any]) -> None:
        told = self.states.setdefault(message["channel"], [])
        if not told or told[-1] != message:
            told.append(message)


class Process:
    """One market process on threads of its own."""

    def __init__(self, bus: Bus, **timers: float) -> None:
        config = get_config()
        # A crowded machine stops a thread for longer than a tenth of a lease.
        own = {"feed_reaped": 1.0, "lease_renew": 0.3, "lease_valid": 3.0}
        told = config.timers.model_copy(update=own | timers)
        config = config.model_copy(
            update={"role": "market", "process": f"market-{uuid4().hex[:6]}", "timers": told}
        )
        self.pool = Pool(config)
        self.pool.refresh()
        hours = Hours(lambda: (True, clock.now()))
        hours.know(is_open=True)
        self.feed = MarketFeed(
            config,
            self.pool,
            bus=bus,
            hours=hours,
            newest=newest_over(Router(self.pool.data_accounts)),
        )
        self._thread = threading.Thread(target=self.feed.run)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def end(self) -> None:
        """End as on SIGTERM."""
        self.feed.stop()
        self._thread.join(20)
        assert not self._thread.is_alive()
        self.pool.stop()

    def carries(self) -> dict[str, set[str]]:
        """By socket, the symbols it is subscribed to."""
        conditions = self.feed.streams.conditions().items()
        return {name: {symbol for _, symbol in each.subscribed} for name, each in conditions}


@contextmanager
def market(bus: Bus, **timers: float) -> Iterator[Callable[[], Process]]:
    """Start market processes, and end them."""
    made: list[Process] = []

    def start() -> Process:
        made.append(Process(bus, **timers))
        made[-1].start()
        return made[-1]

    try:
        yield start
    finally:
        for each in made:
            each.end()
        database.release()


def owners(kind: str) -> set[str]:
    """Who holds leases of a kind now."""
    held = database.rows(
        "SELECT owner FROM accounts_feedlease WHERE kind = %s AND expires_at > clock_timestamp()",
        (kind,),
    )
    return {row["owner"] for row in held}


def socket_row(account_id: str, kind: str) -> FeedLease:
    """What is told of a socket."""
    return FeedLease.objects.get(account_id=account_id, kind=kind)
