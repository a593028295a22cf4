"""One account's trading: alpaca-py's TradingClient over our transport."""

from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import quote

from alpaca.trading.client import TradingClient

from opitios.broker.alpaca.session import Session
from opitios.broker.alpaca.transport import Transport
from opitios.broker.alpaca.wire import wire_order
from opitios.broker.guard import Guard
from opitios.broker.port import Answer, Credentials, Endpoint


class AlpacaTrading:
    """The `TradingPort` of one account. Thread-safe; its methods block and never retry."""

    def __init__(
        self, *, credentials: Credentials, endpoint: Endpoint, transport: Transport, guard: Guard
    ) -> None:
        client: Any = TradingClient(
            api_key=credentials.key_id,
            secret_key=credentials.secret,
            paper=endpoint.environment != "live",
            raw_data=True,
            url_override=endpoint.trading_url,
        )
        client._session = Session(
            transport=transport, guard=guard, origin=endpoint.trading_url, api="trading"
        )
        # Its constructor ignores 0, and 3 means four POSTs of one order (alpaca-wire.md §0.3).
        client._retry = 0
        self._client = client

    def submit_order(self, order: Mapping[str, Any]) -> Answer:
        """Send one order, once, with decimals as strings (the client's own models use floats)."""
        return cast("Answer", self._client.post("/orders", wire_order(order)))

    def cancel_order(self, broker_order_id: str) -> Answer:
        """Ask for a cancel."""
        return cast("Answer", self._client.delete(f"/orders/{_segment(broker_order_id)}"))

    def order(self, broker_order_id: str) -> Answer:
        """Read one order by the broker's id."""
        return self._read(f"/orders/{_segment(broker_order_id)}")

    def order_by_client_id(self, client_order_id: str) -> Answer:
        """Look one order up by our id."""
        return self._read("/orders:by_client_order_id", {"client_order_id": client_order_id})

    def orders(self, **filters: Any) -> Answer:
        """List orders."""
        return self._read("/orders", filters)

    def account(self) -> Answer:
        """Read balances, buying power and status."""
        return self._read("/account")

    def configurations(self) -> Answer:
        """Read the account's settings."""
        return self._read("/account/configurations")

    def portfolio_history(self, **filters: Any) -> Answer:
        """Read equity and profit over time."""
        return self._read("/account/portfolio/history", filters)

    def activities(self, **filters: Any) -> Answer:
        """List what changed cash and positions; alpaca-py's client has no method for it."""
        return self._read("/account/activities", filters)

    def positions(self) -> Answer:
        """List the open positions."""
        return self._read("/positions")

    def position(self, symbol: str) -> Answer:
        """Read one position."""
        return self._read(f"/positions/{_segment(symbol)}")

    def clock(self) -> Answer:
        """Read whether the market is open, and its next open and close."""
        return self._read("/clock")

    def calendar(self, **filters: Any) -> Answer:
        """List trading days."""
        return self._read("/calendar", filters)

    def assets(self, **filters: Any) -> Answer:
        """List assets."""
        return self._read("/assets", filters)

    def asset(self, symbol: str) -> Answer:
        """Read one asset."""
        return self._read(f"/assets/{_segment(symbol)}")

    def option_contracts(self, **filters: Any) -> Answer:
        """List option contracts."""
        return self._read("/options/contracts", filters)

    def _read(self, path: str, params: Mapping[str, Any] | None = None) -> Answer:
        return cast("Answer", self._client.get(path, params))


def _segment(text: str) -> str:
    """Return text as one path segment; a slash in a symbol would become another path."""
    if text in {"", ".", ".."}:
        raise ValueError("an id or symbol in a path cannot be empty or dots")
    return quote(text, safe="")
