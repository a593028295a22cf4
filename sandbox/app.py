"""The sandbox on one port: both APIs, the stream and the switches over one set of books."""

import asyncio

from aiohttp import web

from sandbox.account_rest import AccountApi
from sandbox.conditions import Terms
from sandbox.contracts_rest import ContractsApi
from sandbox.control import Control, Hubs
from sandbox.data_rest import DataApi
from sandbox.data_streams import DataHub
from sandbox.faults import Faults
from sandbox.gate import STREAM_PATH, Gate
from sandbox.ledger import Ledger
from sandbox.limits import RateLimits
from sandbox.option_data import OptionDataApi
from sandbox.rest import TradingApi
from sandbox.streams import Hub
from sandbox.venue import Venue


class Sandbox:
    """The parts of a sandbox, put together; `app` is what a server runs."""

    def __init__(self, ledger: Ledger, terms: Terms, limits: RateLimits) -> None:
        """Recover the books and build the routes.

        Raises:
            LedgerError: the ledger is damaged.
        """
        self.hub = Hub()
        self.venue = Venue(ledger, terms, self.hub.publish)
        self.venue.recover()
        self.data_hub = DataHub(self.venue)
        self.faults = Faults()
        self.app = self._build(limits)

    def _build(self, limits: RateLimits) -> web.Application:
        gate = Gate(self.venue, self.faults, limits)
        app = web.Application(middlewares=[gate.admit])
        app.add_routes(TradingApi(self.venue).routes())
        app.add_routes(AccountApi(self.venue).routes())
        app.add_routes(ContractsApi(self.venue).routes())
        app.add_routes(DataApi(self.venue).routes())
        app.add_routes(OptionDataApi(self.venue).routes())
        app.add_routes(Control(self.venue, Hubs(self.hub, self.data_hub), gate).routes())
        app.add_routes([web.get(STREAM_PATH, self.hub.serve), *self.data_hub.routes()])
        app.on_shutdown.append(self._let_go)
        return app

    async def _let_go(self, _: web.Application) -> None:
        """Requests that hang and open sockets would keep the server from ending."""
        self.faults.clear()
        await asyncio.gather(self.hub.close(), self.data_hub.close())
