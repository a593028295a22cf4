"""All clients of one account, built together on the process's transport."""

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, TypedDict

from opitios.broker.alpaca.trading import AlpacaTrading
from opitios.broker.alpaca.transport import Transport
from opitios.broker.guard import Guard
from opitios.broker.port import Credentials, Endpoint

if TYPE_CHECKING:
    from opitios.broker.alpaca.data import AlpacaData


class _About(TypedDict):
    """What each client of an account is made of."""

    credentials: Credentials
    endpoint: Endpoint
    transport: Transport
    guard: Guard


class Clients:
    """One account's clients; they share its guard, so its slots bound all of them together."""

    def __init__(
        self, *, trading: AlpacaTrading, guard: Guard, make_data: "Callable[[], AlpacaData]"
    ) -> None:
        self.trading, self.guard = trading, guard
        self._make_data = make_data

    @cached_property
    def data(self) -> "AlpacaData":
        """Its market data. Built at its first use: most accounts never serve any."""
        return self._make_data()


def clients_for(
    *, credentials: Credentials, endpoint: Endpoint, transport: Transport, guard: Guard
) -> Clients:
    """Build an account's clients. Opens no connection and costs about 0.1 ms."""
    about: _About = {
        "credentials": credentials,
        "endpoint": endpoint,
        "transport": transport,
        "guard": guard,
    }
    return Clients(trading=AlpacaTrading(**about), guard=guard, make_data=lambda: _new_data(about))


def _new_data(about: _About) -> "AlpacaData":
    # Desks trade: they never pay for the import (0.3 s, 60 MiB).
    from opitios.broker.alpaca.data import AlpacaData  # noqa: PLC0415

    return AlpacaData(**about)
