"""Where this process's market data comes from: one of each, made when first asked for."""

from datetime import datetime
from functools import lru_cache

import msgspec

from marketdata import kinds, questions
from marketdata.demand import get_demand
from marketdata.hours import Hours
from marketdata.kinds import Kind
from marketdata.latest import Latest
from marketdata.live import Live
from marketdata.reads import Reads
from marketdata.routing import Router, pool_accounts
from marketdata.shared import Shared, get_shared
from opitios.core import jsontext
from opitios.core.bus import get_bus


class Sources:
    """The last prices by kind, and the answers to whole questions."""

    def __init__(self, router: Router, shared: Shared, live: Live | None = None) -> None:
        """`live`: the prices of the live feed; None: every answer is the broker's."""
        self.router = router
        self.hours = Hours(self._read_clock)
        self.reads = Reads(router, shared, self.hours)
        self._latest = {
            kind.name: Latest(kind, router, shared, self.hours, live) for kind in kinds.ALL
        }

    def latest(self, kind: Kind) -> Latest:
        """The last prices of a kind."""
        return self._latest[kind.name]

    def _read_clock(self) -> tuple[bool, datetime]:
        """Whether the market is open, and when that changes. Raises Problem."""
        told = msgspec.json.decode(
            jsontext.dumps(self.reads.answer(questions.clock())), type=questions.Clock
        )
        return told.is_open, told.next_close if told.is_open else told.next_open


@lru_cache(maxsize=1)
def get_sources() -> Sources:
    """The sources of this process."""
    shapes = {kind.channel: kind.shape for kind in kinds.ALL if kind.channel is not None}
    return Sources(Router(pool_accounts), get_shared(), Live(get_bus(), get_demand(), shapes))
