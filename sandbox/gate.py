"""The front door of every request: key, limit, fault, request id, error body."""

import re
from collections import Counter
from typing import NamedTuple
from uuid import uuid4

from aiohttp import web
from aiohttp.typedefs import Handler

from sandbox.answers import html_error, json_answer
from sandbox.faults import Fault, Faults, spoil_ids
from sandbox.keys import account_of
from sandbox.limits import Allowance, RateLimits
from sandbox.refusals import RefusedError, not_found, rate_limited, unauthorized
from sandbox.venue import Venue, Visit

CHANGING = frozenset({"POST", "PATCH", "PUT", "DELETE"})
DATA_PREFIXES = ("/v2/stocks/", "/v1beta1/")
CONTROL_PREFIX = "/sandbox/"
STREAM_PATH = "/stream"
_SOCKET = re.compile(
    rf"{STREAM_PATH}|/v2/(?:iex|sip|delayed_sip)|/v1beta1/(?:indicative|opra)", re.ASCII
)

ACCOUNT: web.RequestKey[str] = web.RequestKey("account", str)
VISIT: web.RequestKey[Visit] = web.RequestKey("visit", Visit)


class _Call(NamedTuple):
    """One request of the broker's APIs on its way through the gate."""

    request: web.Request
    handler: Handler
    visit: Visit
    fault: Fault | None

    @property
    def is_data(self) -> bool:
        return self.request.path.startswith(DATA_PREFIXES)

    @property
    def is_changing(self) -> bool:
        return self.request.method in CHANGING

    @property
    def fault_before(self) -> Fault | None:
        return self.fault if self.fault is not None and self.fault.when == "before" else None

    @property
    def fault_after(self) -> Fault | None:
        return self.fault if self.fault is not None and self.fault.when == "after" else None


class Gate:
    """Lets requests of the broker's two APIs in; the sandbox's own routes pass freely."""

    def __init__(self, venue: Venue, faults: Faults, limits: RateLimits) -> None:
        self._venue = venue
        self.faults = faults
        self.limits = limits
        # Calls let in, by account and route: what readers make of their keys' budgets.
        self.calls: Counter[tuple[str, str]] = Counter()

    @web.middleware
    async def admit(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """The middleware around every handler."""
        try:
            if request.path.startswith(CONTROL_PREFIX):
                return await handler(request)
            if _SOCKET.fullmatch(request.path):
                return await self._admit_socket(request, handler)
            return await self._admit_call(request, handler)
        except RefusedError as refusal:
            return json_answer(refusal.body, refusal.status)
        except web.HTTPException as error:
            return _routing_error(error)

    async def _admit_socket(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """A handshake carries no key, so only faults for all accounts can meet it."""
        fault = self.faults.take(None, _route(request))
        if fault is not None:
            answer = await self.faults.strike(fault, request, is_data=False)
            if answer is not None:
                return answer
        return await handler(request)

    async def _admit_call(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        headers = request.headers
        account = account_of(headers.get("APCA-API-KEY-ID"), headers.get("APCA-API-SECRET-KEY"))
        fault = self.faults.take(account, _route(request))
        visit = Visit(
            request_id=uuid4().hex,
            account=account,
            method=request.method,
            path=request.path,
            body=await request.read() if request.method in CHANGING else b"",
            fault=fault.name if fault else None,
        )
        answer = await self._answer(_Call(request, handler, visit, fault))
        answer.headers["X-Request-ID"] = visit.request_id
        return answer

    async def _answer(self, call: _Call) -> web.StreamResponse:
        if call.fault_before is not None:
            struck = await self._strike_before(call.fault_before, call)
            if struck is not None:
                return struck
        if call.visit.account is None:
            return self._turn_away(call)
        return await self._serve(call, call.visit.account)

    async def _serve(self, call: _Call, account: str) -> web.StreamResponse:
        """Count the request, handle it, and strike afterwards if a fault says so."""
        self._venue.account(account)
        api = "data" if call.is_data else "trading"
        allowance = self.limits.count(account, api, self._venue.clock.now())
        if allowance.is_exceeded:
            return self._slow_down(call, allowance)
        self.calls[account, _route(call.request)] += 1
        call.request[ACCOUNT] = account
        call.request[VISIT] = call.visit
        answer = await _handle(call)
        if call.fault_after is not None:
            answer = await self._strike_after(call.fault_after, call, answer)
        answer.headers.update(allowance.headers)
        return answer

    async def _strike_before(self, fault: Fault, call: _Call) -> web.Response | None:
        """Strike instead of handling. Who is left waiting must find it in the ledger already."""
        if call.is_changing and fault.order.fault != "delay":
            self._venue.note_unheard(call.visit, fault.answered_status)
        return await self.faults.strike(fault, call.request, is_data=call.is_data)

    async def _strike_after(
        self, fault: Fault, call: _Call, answer: web.StreamResponse
    ) -> web.StreamResponse:
        if fault.order.fault == "wrong_id" and isinstance(answer, web.Response):
            return spoil_ids(answer)
        struck = await self.faults.strike(fault, call.request, is_data=call.is_data)
        return answer if struck is None else struck

    def _turn_away(self, call: _Call) -> web.Response:
        if call.is_changing:
            self._venue.note_unheard(call.visit, 401)
        if call.is_data:
            return html_error(401)
        refusal = unauthorized()
        return json_answer(refusal.body, refusal.status)

    def _slow_down(self, call: _Call, allowance: Allowance) -> web.Response:
        """The data API's 429 carries no rate-limit header ([MEAS] 0 of 113)."""
        if call.is_changing:
            self._venue.note_unheard(call.visit, 429)
        if call.is_data:
            return json_answer({"message": "too many requests."}, status=429)
        refusal = rate_limited()
        answer = json_answer(refusal.body, refusal.status)
        answer.headers.update(allowance.headers)
        return answer


async def _handle(call: _Call) -> web.StreamResponse:
    try:
        return await call.handler(call.request)
    except RefusedError as refusal:
        return json_answer(refusal.body, refusal.status)
    except web.HTTPException as error:
        return _routing_error(error)


def _route(request: web.Request) -> str:
    """The request's route as faults name it, e.g. `DELETE /v2/orders/{order_id}`."""
    resource = request.match_info.route.resource
    template = resource.canonical if resource else request.path
    return f"{request.method} {template.replace('{what}', request.match_info.get('what', ''))}"


def _routing_error(error: web.HTTPException) -> web.Response:
    if error.status in (404, 405):
        refusal = not_found("endpoint not found.")
        return json_answer(refusal.body, refusal.status)
    return json_answer({"message": error.reason}, status=error.status)
