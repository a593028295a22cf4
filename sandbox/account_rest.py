"""The rest of /v2/account: configurations, activities, the portfolio's history."""

from aiohttp import web

from sandbox.activities import list_activities
from sandbox.answers import json_answer
from sandbox.configurations import render_configurations
from sandbox.exchange import Account
from sandbox.gate import ACCOUNT
from sandbox.history import read_span
from sandbox.portfolio import render_history
from sandbox.venue import Venue


class AccountApi:
    """The handlers; the gate has checked the key and named the account."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue

    def routes(self) -> list[web.RouteDef]:
        """Every route."""
        return [
            web.get("/v2/account/configurations", self.configurations),
            web.get("/v2/account/activities", self.activities),
            web.get("/v2/account/activities/{activity_type}", self.activities_of_a_type),
            web.get("/v2/account/portfolio/history", self.history),
        ]

    async def configurations(self, request: web.Request) -> web.Response:
        """GET /v2/account/configurations."""
        return json_answer(render_configurations(self._account(request)))

    async def activities(self, request: web.Request) -> web.Response:
        """GET /v2/account/activities."""
        return json_answer(list_activities(self._account(request), request.query))

    async def activities_of_a_type(self, request: web.Request) -> web.Response:
        """GET /v2/account/activities/{activity_type}."""
        asked = {**request.query, "activity_types": request.match_info["activity_type"]}
        return json_answer(list_activities(self._account(request), asked))

    async def history(self, request: web.Request) -> web.Response:
        """GET /v2/account/portfolio/history."""
        span = read_span(request.query, self._venue.clock.now())
        market, mode = self._venue.market, self._venue.hours.mode
        return json_answer(render_history(self._account(request), market, span, mode))

    def _account(self, request: web.Request) -> Account:
        return self._venue.account(request[ACCOUNT])
