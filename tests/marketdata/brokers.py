"""Data accounts, each with a broker of its own that behaves as the test says."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from opitios.broker.alpaca.clients import clients_for
from opitios.broker.alpaca.endpoints import sandbox_endpoint
from opitios.broker.alpaca.transport import Transport
from opitios.broker.guard import Bulkhead, Guard
from opitios.broker.port import Credentials
from opitios.core.bus import Bus
from tests.broker.loopback import Behaviour, LoopbackBroker, answering, http

if TYPE_CHECKING:
    from accounts.pool import PooledAccount
    from marketdata.routing import Router
    from marketdata.sources import Sources

WIRE = {
    "t": "2026-11-20T14:30:00.123456789Z",
    "bp": 187.2,
    "bs": 3,
    "ap": 187.21,
    "as": 1,
    "bx": "V",
    "ax": "V",
    "c": ["R"],
    "z": "C",
}
DENIED = answering(http(401, b"<html>401 Authorization Required</html>"))


def quoting(*symbols: str, **changed: Any) -> Behaviour:
    """Answer a quote for each symbol."""
    return answering(quotes_answer(*symbols, **changed))


def quotes_answer(*symbols: str, **changed: Any) -> bytes:
    """The bytes of an answer with a quote for each symbol."""
    return http(200, {"quotes": dict.fromkeys(symbols, WIRE | changed)})


def pooled(
    account_id: str, origin: str, credentials: Credentials, transport: Transport
) -> "PooledAccount":
    """An account whose type is the first word of its name, with clients of the broker there."""
    from accounts.pool import PooledAccount  # noqa: PLC0415 - Django is set up by now

    endpoint = sandbox_endpoint(origin)
    guard = Guard(process=Bulkhead(100))
    clients = clients_for(
        credentials=credentials, endpoint=endpoint, transport=transport, guard=guard
    )
    return PooledAccount(
        account_id=account_id,
        account_type=account_id.partition("_")[0],
        environment="sandbox",
        priority="normal",
        key_version=1,
        endpoint=endpoint,
        credentials=credentials,
        clients=clients,
    )


class Fleet:
    """Accounts by name (`data_001`, `master`, `backup_001`), and how often each was asked."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.accounts: list[PooledAccount] = []
        self.brokers: dict[str, LoopbackBroker] = {}

    def add(
        self, account_id: str, behaviours: Sequence[Behaviour], environment: str = "sandbox"
    ) -> LoopbackBroker:
        """Add an account whose type is the first word of its name."""
        broker = LoopbackBroker(list(behaviours))
        account = pooled(
            account_id, broker.origin, Credentials("PKCANARY", "canary-secret"), self._transport
        )
        account = replace(account, environment=environment)
        self.accounts.append(account)
        self.brokers[account_id] = broker
        return broker

    def asked(self) -> dict[str, int]:
        """How many requests each account's broker received."""
        return {name: len(broker.requests) for name, broker in self.brokers.items()}

    def router(self) -> "Router":
        """A router over these accounts."""
        from marketdata.routing import Router  # noqa: PLC0415 - Django is set up by now

        return Router(lambda: self.accounts)

    def sources(self) -> "Sources":
        """Prices read from these accounts, shared with nobody, while the market is open."""
        from marketdata.shared import Shared  # noqa: PLC0415 - Django is set up by now
        from marketdata.sources import Sources  # noqa: PLC0415

        sources = Sources(self.router(), Shared(Bus("redis://127.0.0.1:1/0")))
        # The brokers here count what they are asked, and know no clock.
        sources.hours.know(is_open=True)
        return sources

    def quote(self, symbol: str, feed: str = "iex", *, sources: "Sources | None" = None) -> Any:
        """The last quote, read."""
        from marketdata import kinds  # noqa: PLC0415 - as above

        return json.loads((sources or self.sources()).latest(kinds.QUOTES).one(symbol, feed))
