"""Two stacks: every request gets the floor, the admin gets Django's full stack on top of it."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, cast

from django.conf import settings
from django.core import cache, signals
from django.core.handlers.exception import convert_exception_to_response
from django.db import close_old_connections, connection, reset_queries
from django.http import HttpRequest, HttpResponse
from django.http.request import split_domain_port, validate_host
from django.utils.module_loading import import_string

from opitios.core import bodies, client_address, clock, ids, logs, metrics
from opitios.core.admission import get_admission, headers_of
from opitios.core.config import get_config
from opitios.core.errors import Problem
from opitios.core.http import account_in_path, bad_parameter, problem_answer

Handler = Callable[[HttpRequest], HttpResponse]

HEALTH = "/health/"


class RequestFloor:
    """Gives each request its id and arrival time, and writes one access line a request."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response
        _leave_out_idle_hooks()

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Stamp, answer, log. The query string is not logged: a token might stand in it."""
        request.received_at = clock.now()  # type: ignore[attr-defined]
        request.request_id = ids.request_id(request.META.get("HTTP_X_REQUEST_ID"))  # type: ignore[attr-defined]
        request.client_ip = client_address.of_request(request)  # type: ignore[attr-defined]
        started = clock.monotonic()
        refused = _turned_away(request)
        response = problem_answer(refused, request) if refused else self.get_response(request)
        response["X-Request-ID"] = request.request_id  # type: ignore[attr-defined]
        if not _is_staff_page(request):
            met = getattr(request, "allowance", None)
            for name, value in headers_of(met or get_admission().told_of_nothing()):
                response[name] = value
        _log(request, response, started)
        return response


def _turned_away(request: HttpRequest) -> Problem | None:
    # Who looks whether a process lives knows its address and not its name.
    if serves(request.META) or request.path.startswith(HEALTH):
        return None
    message = "This host is not served here: the operator's ALLOWED_HOSTS names those that are."
    return bad_parameter("Host", "not-served", message)


def serves(meta: Mapping[str, Any]) -> bool:
    """Whether a request is for a host of ours (ALLOWED_HOSTS)."""
    return _is_allowed(meta.get("HTTP_HOST", meta["SERVER_NAME"]))


# Nothing that a client invents may fill the memory.
@lru_cache(maxsize=256)
def _is_allowed(host: str) -> bool:
    name, _ = split_domain_port(host)
    return bool(name) and validate_host(name, settings.ALLOWED_HOSTS)


def _is_staff_page(request: HttpRequest) -> bool:
    return request.path.startswith(settings.STAFF_PREFIXES)


_REQUESTS = metrics.Counter(
    "http_requests", "Requests that were answered.", ("method", "route", "status")
)
_SECONDS = metrics.Counter(
    "http_request_seconds", "Seconds that requests took, all of them together.", ("route",)
)
_METHODS = frozenset({"GET", "POST", "PATCH", "DELETE", "PUT", "HEAD", "OPTIONS"})

_PROCESS = {"role": get_config().role, "process": get_config().process}


def _log(request: Any, response: HttpResponse, started: float) -> None:
    match = request.resolver_match
    problem: Problem | None = getattr(request, "problem", None)
    staff = getattr(request, "_cached_user", None)
    note_answer(
        request.META,
        started,
        request_id=request.request_id,
        path=request.path,
        route=None if match is None else match.route,
        status=response.status_code,
        reason=None if problem is None else problem.reason.value.slug,
        bytes=None if response.streaming else len(response.content),
        subject=getattr(request, "subject", None),
        staff=logs.printable(staff.get_username()) if staff is not None and staff.pk else None,
        account_id=account_in_path(request),
        ip=request.client_ip,
    )


def note_answer(
    meta: Mapping[str, Any], started: float, *, path: str, subject: str | None, **about: Any
) -> None:
    """Count one answered request, begun at `started` (monotonic), and write its access line.

    `about`: the line's other fields: request_id, route, status, reason, bytes, staff, account_id
    and ip.
    """
    seconds = clock.monotonic() - started
    method, route = meta["REQUEST_METHOD"].upper(), about["route"] or ""
    _REQUESTS.add((method if method in _METHODS else "other", route, about["status"]))
    _SECONDS.add((route,), seconds)
    agent = meta.get("HTTP_USER_AGENT")
    logs.write_access(
        "request",
        **about,
        method=logs.printable(method),
        path=logs.printable(path),
        subject=None if subject is None else logs.printable(subject),
        agent=None if agent is None else logs.printable(agent),
        ms=round(seconds * 1000, 3),
        **_PROCESS,
    )


def _leave_out_idle_hooks() -> None:
    # Django runs these around every request: no cache is configured, without DEBUG no query is
    # kept, and a connection lives no longer than its request (CONN_MAX_AGE is 0). Together they
    # cost an order a tenth of its processor time.
    signals.request_finished.disconnect(cache.close_caches)
    signals.request_started.disconnect(close_old_connections)
    signals.request_finished.disconnect(close_old_connections)
    signals.request_finished.connect(return_connection)
    if not settings.DEBUG:
        signals.request_started.disconnect(reset_queries)


def return_connection(**_: object) -> None:
    """Give back what a request held of the database at its end."""
    # Most requests borrow a connection for one statement (core.database) and hold none at the end.
    if connection.connection is not None:
        close_old_connections()


class StaffStack:
    """Runs settings.STAFF_MIDDLEWARE around staff pages only: an API call pays for none of it."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response
        self.view_hooks: list[Callable[..., HttpResponse | None]] = []
        self.full = self._wrap(get_response)

    def _wrap(self, get_response: Handler) -> Handler:
        # Django types a handler as one that may be asynchronous; under WSGI none is.
        handler: Any = get_response
        for path in reversed(settings.STAFF_MIDDLEWARE):
            middleware = import_string(path)(handler)
            if hasattr(middleware, "process_view"):
                self.view_hooks.insert(0, middleware.process_view)
            handler = convert_exception_to_response(middleware)
        return cast("Handler", handler)

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Choose the stack by path."""
        return self._answer_page(request) if _is_staff_page(request) else self.get_response(request)

    def _answer_page(self, request: HttpRequest) -> HttpResponse:
        if not client_address.is_proxy(request.META.get("REMOTE_ADDR")):
            # Whether a stranger came over TLS is not for the stranger to say.
            request.META.pop("HTTP_X_FORWARDED_PROTO", None)
        # A form is read before Django looks for its token: who signs in slowly holds up few.
        try:
            bodies.read_ahead(request)
        except Problem as problem:
            return problem_answer(problem, request)
        return self.full(request)

    def process_view(self, request: HttpRequest, *about: Any) -> HttpResponse | None:
        """Run the nested stack's view hooks (CSRF), which Django only calls on the outer list."""
        if not _is_staff_page(request):
            return None
        for hook in self.view_hooks:
            response = hook(request, *about)
            if response is not None:
                return response
        return None
