"""One order's way to a broker in single steps, without a desk's threads."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from accounts.pool import Pool, PooledAccount
from opitios.broker.alpaca.transport import Transport, TransportTimers
from opitios.core.config import get_config
from tests.support.accounts import lease
from tests.trading.desks import CALLS
from trading import queries
from trading.sender import Sender

OWNER = "desk-1/a"


@dataclass
class Rests:
    """Keeps what a sender asks for; `then` runs at the moment it asks for a rest."""

    rested: list[float] = field(default_factory=list)
    suspected: list[str] = field(default_factory=list)
    then: Callable[[], object] = lambda: None

    def rest(self, account_id: str, seconds: float) -> None:
        self.rested.append(seconds)
        self.then()

    def suspect(self, account_id: str, why: str) -> None:
        self.suspected.append(account_id)


@dataclass
class Step:
    """An account with its clients, leased to the sender that sends for it."""

    account: PooledAccount
    rests: Rests

    def send(self, row: dict[str, Any]) -> dict[str, Any]:
        """Send one order; its row afterwards."""
        Sender(owner=OWNER, process="desk-1", rests=self.rests).send(row, self.account)
        after = queries.order_row(row["id"])
        assert after is not None
        return after


def pooled(account_id: str, calls: TransportTimers = CALLS) -> tuple[PooledAccount, Transport]:
    """An account's clients on a transport of its own, leased to OWNER."""
    pool = Pool(get_config())
    transport = pool._transport = Transport(timers=calls)
    pool.refresh()
    account = pool.get(account_id)
    assert account is not None
    lease(account_id, OWNER)
    return account, transport
