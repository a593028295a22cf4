"""Faults on demand: what a broker, its proxies and the network do on a bad day.

A fault strikes requests of one account (or all) on one route (or all), a number of times. It
strikes `before` the books hear of the request, or `after` they acted on it, which is the case a
client cannot tell from the first.
"""

import asyncio
import contextlib
import socket
import struct
from fnmatch import fnmatchcase
from typing import Literal
from uuid import uuid4

import msgspec
import orjson
from aiohttp import web

from sandbox.answers import html_error, json_answer

Kind = Literal[
    "delay",
    "hang",
    "reset",
    "close",
    "429",
    "401",
    "500",
    "503",
    "504",
    "504_after_accept",
    "html_502",
    "wrong_id",
    "stream_drop",
    "data_drop",
    "data_mute",
    "data_half_dead",
]
When = Literal["before", "after"]

# These strike the sockets there are; `data_half_dead` keeps their places taken for `ms`.
SOCKET_FAULTS = ("stream_drop", "data_drop", "data_mute", "data_half_dead")
# These make no sense before the books have acted.
ONLY_AFTER = ("504_after_accept", "wrong_id")
MAX_MS = 600_000
# Linger on, for zero seconds: closing such a socket sends RST instead of FIN.
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class FaultOrder(msgspec.Struct, forbid_unknown_fields=True):
    """The body of POST /sandbox/faults. `times` 0 means until deleted."""

    fault: Kind
    account: str = "*"
    route: str = "*"
    when: When = "before"
    ms: int = 0
    times: int = 1


class Fault:
    """A fault in force."""

    def __init__(self, order: FaultOrder) -> None:
        self.id = str(uuid4())
        self.order = order
        self.when: When = "after" if order.fault in ONLY_AFTER else order.when
        self.hits = 0

    @property
    def name(self) -> str:
        """The fault as the ledger writes it, e.g. `reset` or `reset_after`."""
        plain = self.when == "before" or self.order.fault in ONLY_AFTER
        return self.order.fault if plain else f"{self.order.fault}_after"

    @property
    def answered_status(self) -> int | None:
        """The HTTP status it answers with; None where it leaves the client without one."""
        digits = self.order.fault.removeprefix("html_")[:3]
        return int(digits) if digits.isdigit() else None

    @property
    def is_spent(self) -> bool:
        """Whether it struck as often as it was meant to."""
        return 0 < self.order.times <= self.hits

    def strikes(self, account: str | None, route: str) -> bool:
        """Whether it is meant for a request of the account on the route."""
        return (
            not self.is_spent
            and self.order.account in ("*", account)
            and fnmatchcase(route, self.order.route)
        )

    def render(self) -> dict[str, object]:
        """The fault as GET /sandbox/faults shows it."""
        return {
            "id": self.id,
            **msgspec.structs.asdict(self.order),
            "when": self.when,
            "hits": self.hits,
        }


class Faults:
    """The faults in force, in the order they were asked for."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lifted = asyncio.Event()

    def add(self, order: FaultOrder) -> Fault:
        """Put a fault in force."""
        fault = Fault(order)
        self._faults.append(fault)
        return fault

    def clear(self) -> int:
        """Lift every fault, and let go of the requests that hang. Returns how many there were."""
        count = len(self._faults)
        self._faults.clear()
        self._lifted.set()
        self._lifted = asyncio.Event()
        return count

    def render(self) -> list[dict[str, object]]:
        """Every fault since the last clearing, spent ones too."""
        return [fault.render() for fault in self._faults]

    def take(self, account: str | None, route: str) -> Fault | None:
        """The first fault that strikes a request of the account on the route; counts the hit."""
        for fault in self._faults:
            if fault.strikes(account, route):
                fault.hits += 1
                return fault
        return None

    async def strike(
        self, fault: Fault, request: web.Request, *, is_data: bool
    ) -> web.Response | None:
        """Do what the fault does. None means: go on as if nothing were (a delay is over)."""
        match fault.order.fault:
            case "delay":
                await asyncio.sleep(fault.order.ms / 1000)
                return None
            case "hang":
                await self._hang(fault.order.ms)
                return _cut(request, rst=False)
            case "reset":
                return _cut(request, rst=True)
            case "close":
                return _cut(request, rst=False)
            case kind:
                return _answer(kind, is_data=is_data)

    async def _hang(self, ms: int) -> None:
        # Zero milliseconds: until the faults are lifted, however long the client waits.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._lifted.wait(), ms / 1000 or None)


def spoil_ids(response: web.Response) -> web.Response:
    """The same answer about another order: its `id` and `client_order_id` are made up."""
    order = orjson.loads(response.body) if isinstance(response.body, bytes) else None
    if not isinstance(order, dict) or "client_order_id" not in order:
        return response
    return json_answer({**order, "id": str(uuid4()), "client_order_id": str(uuid4())})


def _cut(request: web.Request, *, rst: bool) -> web.Response:
    """End the connection without an answer. What is returned reaches nobody."""
    transport = request.transport
    if transport is not None:
        if rst:
            handle = transport.get_extra_info("socket")
            handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        transport.abort()
    return web.Response(status=500)


def _answer(kind: str, *, is_data: bool) -> web.Response:
    match kind:
        case "429" if is_data:
            return json_answer({"message": "too many requests."}, status=429)
        case "429":
            return json_answer({"code": 42910000, "message": "rate limit exceeded"}, status=429)
        case "401" if is_data:
            return html_error(401)
        case "401":
            return json_answer({"message": "unauthorized."}, status=401)
        case "500":
            body = {"code": 50010000, "message": "internal server error occurred"}
            return json_answer(body, status=500)
        case _:
            return html_error(int(kind.removeprefix("html_")[:3]))
