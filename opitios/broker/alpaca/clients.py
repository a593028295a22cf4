"""All clients of one account, built together on the process's transport."""

from dataclasses import dataclass

from opitios.broker.alpaca.data import AlpacaData
from opitios.broker.alpaca.trading import AlpacaTrading
from opitios.broker.alpaca.transport import Transport
from opitios.broker.guard import Guard
from opitios.broker.port import Credentials, Endpoint


@dataclass(frozen=True, slots=True)
class Clients:
    """One account's clients; they share its guard, so its slots bound all of them together."""

    trading: AlpacaTrading
    data: AlpacaData
    guard: Guard


def clients_for(
    *, credentials: Credentials, endpoint: Endpoint, transport: Transport, guard: Guard
) -> Clients:
    """Build an account's clients. Opens no connection and costs about 0.1 ms."""
    return Clients(
        trading=AlpacaTrading(
            credentials=credentials, endpoint=endpoint, transport=transport, guard=guard
        ),
        data=AlpacaData(
            credentials=credentials, endpoint=endpoint, transport=transport, guard=guard
        ),
        guard=guard,
    )
