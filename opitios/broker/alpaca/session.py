"""What alpaca-py gets in place of its `requests.Session`.

Its clients keep what they know (hosts, paths, versions, key headers); the exchange is ours. They
return whatever `response.json()` returns, so our callers get the whole `Answer`, and they let
foreign exceptions through, so a `BrokerError` arrives with its headers. requests' own error path
would lose both, and `APIError.code` raises on HTML (alpaca-wire.md §5).
"""

import re
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from opitios.broker.alpaca.echoes import hidden, keys_of
from opitios.broker.alpaca.outcomes import judge
from opitios.broker.alpaca.routes import Route, route_of
from opitios.broker.alpaca.transport import Transport
from opitios.broker.guard import Api, Guard
from opitios.broker.port import Answer

# A request target that can neither end its line nor be taken for two words.
_TARGET = re.compile(r"/[\x21-\x7e]*")
_HEADER = re.compile(r"[\x20-\x7e]*")


class Answered:
    """The part of `requests.Response` that alpaca-py uses; `json()` hands over the `Answer`."""

    __slots__ = ("_answer", "status_code")

    # alpaca-py skips json() where the text is empty; an empty 204 is an Answer as well.
    text = "see json()"

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.status_code = answer.http_status

    def raise_for_status(self) -> None:
        """Do nothing: an answer that is not a success was raised by the session."""

    def json(self) -> Answer:
        """Return the answer."""
        return self._answer


class Session:
    """One account's way to one origin of the broker. It holds no keys: each request brings them.

    Fractions are read as Decimal in trading, as float in market data.
    """

    def __init__(self, *, transport: Transport, guard: Guard, origin: str, api: Api) -> None:
        self._connections = transport.connections(origin)
        self._timers = transport.timers
        self._guard = guard
        self._line = guard.line(api, origin)
        self._origin = origin
        self._exact_numbers = api == "trading"
        self._host = urlsplit(origin).netloc

    def request(self, method: str, url: str, **options: Any) -> Answered:
        """Make one call, once. `options` are requests' own: headers, params, json.

        Raises ValueError for a URL of another origin (keys never leave for one) or one that holds
        control characters, and `BrokerError` for everything but a success.
        """
        if not url.startswith(self._origin):
            raise ValueError("this session is bound to another origin")
        path = url[len(self._origin) :]
        route = route_of(method, path)
        request = self._rendered(method, path + _query(options.get("params")), options)
        keys = keys_of(options["headers"])
        seconds = self._timers.submit if route.submits else self._timers.other
        deadline = time.monotonic() + seconds
        answer = self._guard.call(
            method=method,
            route=route.template,
            deadline=deadline,
            lane=route.lane,
            line=self._line,
            send=lambda: self._send(request, method, route, deadline, keys),
        )
        return Answered(answer)

    def _send(
        self, request: bytes, method: str, route: Route, deadline: float, keys: tuple[str, ...]
    ) -> Answer:
        reply = self._connections.exchange(
            request, method=method, deadline=deadline, max_bytes=route.max_bytes
        )
        return judge(hidden(reply, keys), route, exact_numbers=self._exact_numbers)

    def _rendered(self, method: str, target: str, options: Mapping[str, Any]) -> bytes:
        """Return the bytes of one request: head and body."""
        payload = options.get("json")
        body = b"" if payload is None else msgspec.json.encode(payload)
        lines = [f"{method} {_checked(_TARGET, target)} HTTP/1.1", f"Host: {self._host}"]
        for name, value in options["headers"].items():
            lines.append(f"{name}: {_checked(_HEADER, value)}")
        lines.append("Accept: application/json\r\nAccept-Encoding: identity")
        if method in {"POST", "PATCH", "PUT"}:
            lines.append(f"Content-Type: application/json\r\nContent-Length: {len(body)}")
        return "\r\n".join(lines).encode("ascii") + b"\r\n\r\n" + body


def _checked(allowed: re.Pattern[str], text: str) -> str:
    if not allowed.fullmatch(text):
        raise ValueError("a request line or header holds characters that may not be sent")
    return text


def _query(params: Mapping[str, Any] | None) -> str:
    """Return `?a=1&b=x,y`; None values are left out, flags are `true` and `false`."""
    asked = {name: _as_text(value) for name, value in (params or {}).items() if value is not None}
    return f"?{urlencode(asked, safe=',:', quote_via=quote)}" if asked else ""


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return str(value)
