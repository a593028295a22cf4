"""One data account's market data: alpaca-py's historical clients over our transport."""

from collections.abc import Sequence
from typing import Any, cast

from alpaca.data.historical.option import OptionHistoricalDataClient
from alpaca.data.historical.stock import StockHistoricalDataClient

from opitios.broker.alpaca.session import Session
from opitios.broker.alpaca.transport import Transport
from opitios.broker.guard import Guard
from opitios.broker.port import Answer, Credentials, Endpoint


class AlpacaData:
    """The `DataPort` of one data account. Thread-safe; its methods block and never retry."""

    def __init__(
        self, *, credentials: Credentials, endpoint: Endpoint, transport: Transport, guard: Guard
    ) -> None:
        session = Session(transport=transport, guard=guard, origin=endpoint.data_url, api="data")
        self._stocks = _client(StockHistoricalDataClient, credentials, endpoint, session)
        self._options = _client(OptionHistoricalDataClient, credentials, endpoint, session)

    def latest_quotes(self, symbols: Sequence[str], feed: str | None = None) -> Answer:
        """Read the last quote of each stock."""
        return self._latest("quotes", symbols, feed)

    def latest_trades(self, symbols: Sequence[str], feed: str | None = None) -> Answer:
        """Read the last trade of each stock."""
        return self._latest("trades", symbols, feed)

    def snapshots(self, symbols: Sequence[str], feed: str | None = None) -> Answer:
        """Read the snapshot of each stock."""
        return self._of_stocks("/stocks/snapshots", symbols, feed=feed)

    def bars(self, symbols: Sequence[str], **filters: Any) -> Answer:
        """Read one page of bars of stocks."""
        return self._of_stocks("/stocks/bars", symbols, **filters)

    def option_quotes(self, symbols: Sequence[str], feed: str | None = None) -> Answer:
        """Read the last quote of each contract."""
        asked = {"symbols": ",".join(symbols), "feed": feed}
        return cast("Answer", self._options.get("/options/quotes/latest", asked))

    def option_chain(self, underlying: str, **filters: Any) -> Answer:
        """Read one page of the snapshots of a stock's contracts."""
        return cast("Answer", self._options.get(f"/options/snapshots/{underlying}", filters))

    def _latest(self, kind: str, symbols: Sequence[str], feed: str | None) -> Answer:
        return self._of_stocks(f"/stocks/{kind}/latest", symbols, feed=feed)

    def _of_stocks(self, path: str, symbols: Sequence[str], **filters: Any) -> Answer:
        return cast("Answer", self._stocks.get(path, {"symbols": ",".join(symbols), **filters}))


def _client(kind: Any, credentials: Credentials, endpoint: Endpoint, session: Session) -> Any:
    client = kind(
        api_key=credentials.key_id,
        secret_key=credentials.secret,
        raw_data=True,
        url_override=endpoint.data_url,
    )
    client._session = session
    client._retry = 0
    return client
