"""The sandbox's own routes, /sandbox/…: no key, JSON in and out, errors without a code."""

from typing import Any, NamedTuple

import msgspec
import orjson
from aiohttp import web

from sandbox.answers import json_answer
from sandbox.data_streams import DataHub
from sandbox.faults import SOCKET_FAULTS, FaultOrder
from sandbox.gate import Gate
from sandbox.instants import rfc3339
from sandbox.ledger import Entry
from sandbox.refusals import RefusedError
from sandbox.streams import Hub
from sandbox.switches import AccountSwitch, FeedSwitch, LimitsSwitch, read_switch
from sandbox.venue import Venue

DEFAULT_ENTRIES = 1000
# A data server lets go of a half-dead connection after about so long (alpaca-wire.md §3c).
REAPED_AFTER_MS = 90_000


class Hubs(NamedTuple):
    """The sockets of orders and those of market data."""

    orders: Hub
    data: DataHub


class Control:
    """The handlers."""

    def __init__(self, venue: Venue, hubs: Hubs, gate: Gate) -> None:
        self._venue = venue
        self._faults, self._limits, self._calls = gate.faults, gate.limits, gate.calls
        self._hub, self._data_hub = hubs

    def routes(self) -> list[web.RouteDef]:
        """Every route of the sandbox itself."""
        return [
            web.get("/sandbox/health", self.health),
            web.get("/sandbox/ledger", self.ledger),
            web.get("/sandbox/ledger/summary", self.summary),
            web.get("/sandbox/calls", self.calls),
            web.post("/sandbox/limits", self.turn_limits),
            web.post("/sandbox/feed", self.turn_feed),
            web.get("/sandbox/faults", self.list_faults),
            web.post("/sandbox/faults", self.add_fault),
            web.delete("/sandbox/faults", self.clear_faults),
            web.post("/sandbox/accounts", self.change_account),
            web.post("/sandbox/{name:market|fills|prices}", self.turn),
        ]

    async def health(self, _: web.Request) -> web.Response:
        """GET /sandbox/health."""
        exchange, hours = self._venue.exchange, self._venue.hours
        return json_answer(
            {
                "status": "ok",
                "accounts": len(exchange.accounts),
                "orders": len(exchange.orders),
                "open_orders": len(exchange.open_orders()),
                "sockets": self._hub.sockets,
                "listening": self._hub.listening,
                "data_sockets": self._data_hub.sockets,
                "market": {
                    "mode": hours.mode,
                    "is_open": hours.is_open(self._venue.clock.now()),
                },
            }
        )

    async def ledger(self, request: web.Request) -> web.Response:
        """GET /sandbox/ledger: what was really received; page with `after` = the last `seq`."""
        query = request.query
        entries = self._venue.ledger.entries(
            account=query.get("account"),
            client_order_id=query.get("client_order_id"),
            after=_number(request, "after", 0),
            limit=_number(request, "limit", DEFAULT_ENTRIES),
        )
        return json_answer({"entries": [_render_entry(entry) for entry in entries]})

    async def summary(self, _: web.Request) -> web.Response:
        """GET /sandbox/ledger/summary: counts since the ledger began."""
        ledger, exchange = self._venue.ledger, self._venue.exchange
        return json_answer(
            {
                **ledger.counts.render(),
                "lines": ledger.lines,
                "accounts": len(exchange.accounts),
                "open_orders": len(exchange.open_orders()),
            }
        )

    async def calls(self, _: web.Request) -> web.Response:
        """GET /sandbox/calls: calls let in since the start, reads too, by account and route."""
        told: dict[str, dict[str, int]] = {}
        for (account, route), count in self._calls.items():
            told.setdefault(account, {})[route] = count
        return json_answer({"calls": told})

    async def turn(self, request: web.Request) -> web.Response:
        """POST /sandbox/market, fills, prices: turn a switch."""
        body = await _body(request)
        self._venue.turn(request.match_info["name"], body)
        return json_answer(body)

    async def change_account(self, request: web.Request) -> web.Response:
        """POST /sandbox/accounts: an account not used so far is opened first."""
        switch = read_switch(await _body(request), AccountSwitch)
        self._venue.change_account(switch)
        return json_answer({"account": switch.account})

    async def turn_limits(self, request: web.Request) -> web.Response:
        """POST /sandbox/limits: until the next start."""
        switch = read_switch(await _body(request), LimitsSwitch)
        self._limits.enforced = switch.enforced
        self._limits.per_minute = switch.per_minute
        return json_answer(msgspec.structs.asdict(switch))

    async def turn_feed(self, request: web.Request) -> web.Response:
        """POST /sandbox/feed: until the next start."""
        self._data_hub.switch = read_switch(await _body(request), FeedSwitch)
        return json_answer(msgspec.structs.asdict(self._data_hub.switch))

    async def list_faults(self, _: web.Request) -> web.Response:
        """GET /sandbox/faults."""
        return json_answer({"faults": self._faults.render()})

    async def add_fault(self, request: web.Request) -> web.Response:
        """POST /sandbox/faults: until spent, deleted, or the next start."""
        order = read_switch(await _body(request), FaultOrder)
        if order.times < 0 or order.ms < 0:
            raise RefusedError(422, None, "times and ms must not be negative")
        if order.fault in SOCKET_FAULTS:
            struck = self._strike_sockets(order)
            return json_answer({"fault": order.fault, "dropped": struck})
        return json_answer(self._faults.add(order).render())

    def _strike_sockets(self, order: FaultOrder) -> int:
        """Do to the account's sockets what the fault says; how many they were."""
        match order.fault:
            case "data_mute":
                return self._data_hub.mute(order.account)
            case "data_drop":
                return self._data_hub.drop(order.account)
            case "data_half_dead":
                return self._data_hub.drop(order.account, order.ms or REAPED_AFTER_MS)
            case _:
                return self._hub.drop(order.account, order.times)

    async def clear_faults(self, _: web.Request) -> web.Response:
        """DELETE /sandbox/faults: lift all, and cut the requests that hang."""
        self._hub.forget_drops()
        return json_answer({"cleared": self._faults.clear()})


def _render_entry(entry: Entry) -> dict[str, Any]:
    received = entry.received
    return {
        "seq": entry.seq,
        "at": rfc3339(received.at),
        "account": received.account,
        "method": received.method,
        "path": received.path,
        "client_order_id": received.client_order_id,
        "order_id": received.order_id,
        "body": received.body,
        "status": received.status,
        "duplicate": received.duplicate,
        "fault": received.fault,
        "request_id": received.request_id,
    }


async def _body(request: web.Request) -> object:
    try:
        return orjson.loads(await request.read())
    except orjson.JSONDecodeError as error:
        raise RefusedError(400, None, "the body is not JSON") from error


def _number(request: web.Request, name: str, otherwise: int) -> int:
    text = request.query.get(name, "")
    if not text:
        return otherwise
    if not (text.isascii() and text.isdigit()):
        raise RefusedError(422, None, f"{name} must be a whole number")
    return int(text)
