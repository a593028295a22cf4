"""The express way: a last price that is at hand, answered before Django makes a request of it.

It answers what is usual in every respect and nothing else. What is not (another method, a query, a
token that is new here, a refusal, a price that must be asked for) goes untouched to the usual way,
which alone decides about it. Both answer alike, byte for byte (tests/api/test_express.py); what it
is worth: docs/adr/0024.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from accounts.access import asker_of, remembered
from accounts.claims import Permission, Principal
from marketdata import urls
from marketdata.api import LatestView
from opitios.core import bodies, client_address, clock, ids
from opitios.core.admission import Allowance, Lane, get_admission, headers_of, seconds_waited
from opitios.core.errors import Problem
from opitios.core.http import JSON
from opitios.core.middleware import note_answer, serves

# PEP 3333's, with the body in one piece.
Application = Callable[[dict[str, Any], Any], Any]

# Where opitios/urls.py puts the rooms' paths.
PREFIX = "api/v1/"


@dataclass(frozen=True, slots=True)
class Stop:
    """A view of one symbol's last price."""

    view: type[LatestView]
    route: str
    permission: Permission


def stops() -> dict[str, Stop]:
    """Find the views that answer one symbol, by their path without it."""
    # Django types a callback as any callable; ours are all made by `as_view`.
    patterns: list[Any] = urls.urlpatterns
    views = {f"{PREFIX}{each.pattern}": each.callback.view_class for each in patterns}
    return {
        "/" + route.rpartition("/")[0]: Stop(view, route, Permission(view.permission))
        for route, view in views.items()
        if issubclass(view, LatestView) and route.endswith(">")
    }


class Express:
    """The application of the web process: Django's, with the express way before it."""

    def __init__(self, usual: Application) -> None:
        self._usual = usual
        self._stops = stops()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Answer a request with the body's parts."""
        path, _, symbol = environ["PATH_INFO"].rpartition("/")
        stop = self._stops.get(path)
        if stop is not None and _is_plain(environ):
            answered = _answer(stop, symbol, environ, start_response)
            if answered is not None:
                return answered
        return self._usual(environ, start_response)


def _is_plain(environ: Mapping[str, Any]) -> bool:
    return (
        environ["REQUEST_METHOD"] == "GET"
        and not environ.get("QUERY_STRING")
        and "HTTP_AUTHORIZATION" in environ
        and serves(environ)
        and not bodies.is_there(environ)
    )


def _answer(
    stop: Stop, symbol: str, environ: Mapping[str, Any], start_response: Any
) -> list[bytes] | None:
    """Answer; None where the usual way has to, and nothing was taken or written."""
    started = clock.monotonic()
    ip = client_address.of_environ(environ)
    principal = _principal(stop, environ, ip)
    if principal is None:
        return None
    # What is at hand was a good symbol when it was asked for.
    latest, feed = stop.view.latest(), stop.view.kind.feeds[0]
    at_hand = latest.at_hand(symbol, feed)
    allowance = None if at_hand is None else _permits(stop, principal, environ)
    if at_hand is None or allowance is None:
        return None
    body, source = at_hand
    latest.note_answer(symbol, feed, source)
    request_id = ids.request_id(environ.get("HTTP_X_REQUEST_ID"))
    note_answer(
        environ,
        started,
        request_id=request_id,
        path=environ["PATH_INFO"],
        route=stop.route,
        status=200,
        reason=None,
        bytes=len(body),
        subject=principal.sub,
        staff=None,
        account_id=None,
        ip=ip,
    )
    length, told = ("Content-Length", str(len(body))), headers_of(allowance)
    head = [("Content-Type", JSON), length, ("X-Request-ID", request_id), *told]
    start_response("200 OK", head)
    return [body]


def _principal(stop: Stop, environ: Mapping[str, Any], ip: str | None) -> Principal | None:
    try:
        principal = remembered(environ["HTTP_AUTHORIZATION"], ip)
    except Problem:
        # The usual way comes to it too, and says so.
        return None
    return principal if principal is not None and principal.may(stop.permission) else None


def _permits(stop: Stop, principal: Principal, environ: Mapping[str, Any]) -> Allowance | None:
    admission = get_admission()
    asker = asker_of(principal, lane=Lane.MARKET_DATA, endpoint=stop.view.endpoint)
    waited = seconds_waited(environ.get("HTTP_X_REQUEST_START"))
    if admission.shed(asker, waited=waited, low_priority=False) is not None:
        return None
    allowance = admission.admit(asker)
    return allowance if allowance.refused_for is None else None
