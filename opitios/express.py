"""The express way: what is asked most, answered before Django makes a request of it.

A last price that is at hand, and an order that is accepted. It answers what is usual in every
respect and nothing else. What is not (another method, a query, a token that is new here, a refusal,
a price that must be asked for) goes to the usual way, which alone decides about it: untouched, or
with what came of the order, so that nothing is done or counted twice. Both answer alike, byte for
byte (tests/api/test_express.py, test_express_orders.py); what it is worth: docs/adr/0024, 0028.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from accounts.access import ALLOWANCE, TokenView, admitted, asker_of, remembered
from accounts.claims import Permission, Principal
from accounts.models import Account
from accounts.pool import PooledAccount, get_pool
from marketdata import urls as price_urls
from marketdata.api import LatestView
from opitios.core import bodies, client_address, clock, ids, jsontext
from opitios.core.admission import Allowance, Asker, Lane, headers_of
from opitios.core.errors import Problem
from opitios.core.http import JSON
from opitios.core.middleware import note_answer, return_connection, serves
from trading import api as orders
from trading import urls as order_urls
from trading.api import OUTCOME, Caller, StockOrdersView
from trading.orders import Accepted

# PEP 3333's, with the body in one piece.
Application = Callable[[dict[str, Any], Any], Any]

# Where opitios/urls.py puts the rooms' paths.
PREFIX = "api/v1/"


V = TypeVar("V", bound=TokenView)


@dataclass(frozen=True, slots=True)
class Stop(Generic[V]):
    """A view that is also reached by the express way."""

    view: type[V]
    route: str
    permission: Permission

    @classmethod
    def at(cls, view: type[V], route: str) -> "Stop[V]":
        """Take from a view what it demands."""
        return cls(view, route, Permission(str(view.permission)))


def price_stops() -> dict[str, Stop[LatestView]]:
    """Find the views that answer one symbol's last price, by their path without it."""
    return {
        "/" + route.rpartition("/")[0]: Stop.at(view, route)
        for route, view in _views(price_urls)
        if issubclass(view, LatestView) and route.endswith(">")
    }


def order_stop() -> Stop[StockOrdersView]:
    """Find the view that takes stock orders."""
    return next(
        Stop.at(view, route) for route, view in _views(order_urls) if view is StockOrdersView
    )


def _views(room: Any) -> Iterator[tuple[str, Any]]:
    # Django types a callback as any callable; ours are all made by `as_view`.
    for each in room.urlpatterns:
        yield f"{PREFIX}{each.pattern}", each.callback.view_class


class Express:
    """The application of the web process: Django's, with the express way before it."""

    def __init__(self, usual: Application) -> None:
        self._usual = usual
        self._prices = price_stops()
        self._orders = order_stop()
        self._before, _, self._after = f"/{self._orders.route}".partition("<str:account_id>")

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Answer a request with the body's parts."""
        answered = self._answer(environ, start_response)
        return self._usual(environ, start_response) if answered is None else answered

    def _answer(self, environ: dict[str, Any], start_response: Any) -> list[bytes] | None:
        path = environ["PATH_INFO"]
        if path.endswith(self._after) and path.startswith(self._before):
            if "HTTP_PREFER" in environ or not _is_plain(environ, "POST"):
                return None
            account_id = path[len(self._before) : -len(self._after)]
            return _place(self._orders, account_id, environ, start_response)
        start, _, symbol = path.rpartition("/")
        stop = self._prices.get(start)
        if stop is None or not _is_plain(environ, "GET") or bodies.is_there(environ):
            return None
        return _tell_price(stop, symbol, environ, start_response)


def _is_plain(environ: Mapping[str, Any], method: str) -> bool:
    return (
        environ["REQUEST_METHOD"] == method
        and not environ.get("QUERY_STRING")
        and "HTTP_AUTHORIZATION" in environ
        and serves(environ)
    )


class _Came(NamedTuple):
    """A request as it came in; started: monotonic, ip None: nobody knows it."""

    environ: dict[str, Any]
    started: float
    ip: str | None
    request_id: str


def _came(environ: dict[str, Any]) -> _Came:
    started, ip = clock.monotonic(), client_address.of_environ(environ)
    return _Came(environ, started, ip, ids.request_id(environ.get("HTTP_X_REQUEST_ID")))


def _tell_price(
    stop: Stop[LatestView], symbol: str, environ: dict[str, Any], start_response: Any
) -> list[bytes] | None:
    """Answer; None where the usual way has to, and nothing was taken or written."""
    came = _came(environ)
    principal = _principal(stop, came)
    if principal is None:
        return None
    # What is at hand was a good symbol when it was asked for.
    latest, feed = stop.view.latest(), stop.view.kind.feeds[0]
    at_hand = latest.at_hand(symbol, feed)
    asker = asker_of(principal, lane=Lane.MARKET_DATA, endpoint=stop.view.endpoint)
    allowance = None if at_hand is None else _permits(asker, environ)
    if at_hand is None or allowance is None:
        return None
    body, source = at_hand
    latest.note_answer(symbol, feed, source)
    _note(came, route=stop.route, status=200, bytes=len(body), subject=principal.sub)
    start_response("200 OK", _head(came, body, allowance))
    return [body]


def _place(
    stop: Stop[StockOrdersView], account_id: str, environ: dict[str, Any], start_response: Any
) -> list[bytes] | None:
    """Place an order and answer 202; None where the usual way has to answer.

    It finds in the request's META what was taken for it, and what came of the order, if anything.
    """
    received_at, came = clock.now(), _came(environ)
    principal = _principal(stop, came)
    account = None if principal is None else _account(principal, account_id)
    if principal is None or account is None:
        return None
    asker = asker_of(principal, lane=Lane.ORDER, account_id=account_id, endpoint=stop.view.endpoint)
    allowance = _permits(asker, environ)
    if allowance is None:
        return None
    caller = Caller(
        principal=principal,
        request_id=came.request_id,
        received_at=received_at,
        ip=came.ip,
        method="POST",
        path=environ["PATH_INFO"],
    )
    outcome = _outcome(caller, account, environ)
    if isinstance(outcome, Exception) or outcome.denied is not None:
        # What is stored names this request's id.
        environ |= {ALLOWANCE: allowance, OUTCOME: outcome, "HTTP_X_REQUEST_ID": came.request_id}
        return None
    body = jsontext.dumps(outcome.body)
    about = {"subject": principal.sub, "account_id": account_id}
    _note(came, route=stop.route, status=202, bytes=len(body), **about)
    head = [*orders.headers_of(account_id, outcome).items(), *_head(came, body, allowance)]
    start_response("202 Accepted", head)
    return [body]


def _outcome(
    caller: Caller, account: PooledAccount, environ: dict[str, Any]
) -> Accepted | Exception:
    try:
        return orders.place(caller, account, environ, environ["wsgi.input"])
    except Exception as error:  # noqa: BLE001 - the usual way raises it, and answers
        return error
    finally:
        return_connection()


def _principal(stop: Stop[Any], came: _Came) -> Principal | None:
    try:
        principal = remembered(came.environ["HTTP_AUTHORIZATION"], came.ip)
    except Problem:
        # The usual way comes to it too, and says so.
        return None
    return principal if principal is not None and principal.may(stop.permission) else None


def _account(principal: Principal, account_id: str) -> PooledAccount | None:
    try:
        account = get_pool().get(account_id) if principal.holds(account_id) else None
    except Problem:
        return None
    takes_orders = account is not None and account.account_type == Account.Type.TRADING
    return account if takes_orders else None


def _permits(asker: Asker, environ: Mapping[str, Any]) -> Allowance | None:
    try:
        allowance = admitted(asker, environ)
    except Problem:
        return None
    return allowance if allowance.refused_for is None else None


def _note(
    came: _Came, *, route: str, subject: str, account_id: str | None = None, **about: Any
) -> None:
    note_answer(
        came.environ,
        came.started,
        request_id=came.request_id,
        path=came.environ["PATH_INFO"],
        route=route,
        reason=None,
        subject=subject,
        staff=None,
        account_id=account_id,
        ip=came.ip,
        **about,
    )


def _head(came: _Came, body: bytes, allowance: Allowance) -> list[tuple[str, str]]:
    length, named = ("Content-Length", str(len(body))), ("X-Request-ID", came.request_id)
    return [("Content-Type", JSON), length, named, *headers_of(allowance)]
