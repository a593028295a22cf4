"""The house rules of every API view: JSON only, strict bodies, one problem answer for a refusal."""

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import structlog
from django.core.exceptions import BadRequest, RequestDataTooBig, SuspiciousOperation
from django.db import InterfaceError, InternalError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from rest_framework import exceptions, negotiation, parsers, renderers
from rest_framework.request import Request
from rest_framework.views import APIView

from opitios.core import bodies, jsontext, logs
from opitios.core.bodies import MAX_BODY
from opitios.core.errors import FieldError, Problem, Reason

errors = structlog.get_logger("errors")

JSON = "application/json"
PROBLEM = "application/problem+json"


def answer(
    data: Any, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> HttpResponse:
    """Answer JSON, rendered now: no template machinery on the hot path."""
    return answer_bytes(jsontext.dumps(data), status=status, headers=headers)


def answer_bytes(
    body: bytes, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> HttpResponse:
    """Answer bytes that are JSON already."""
    response = HttpResponse(body, status=status, content_type=JSON, headers=headers)
    # Without its length the server sends the body in chunks.
    response["Content-Length"] = str(len(body))
    return response


_listeners: list[Callable[[HttpRequest, Problem], None]] = []


def on_problem(call: Callable[[HttpRequest, Problem], None]) -> None:
    """Be told of every problem that is answered, before it is sent. It must not wait or fail."""
    _listeners.append(call)


def account_in_path(request: HttpRequest) -> str | None:
    """The account that the path names, cut and made printable; None where it names none."""
    match = request.resolver_match
    named = None if match is None else match.kwargs.get("account_id")
    return None if named is None else logs.printable(str(named))


def problem_kept(
    problem: Problem, request: HttpRequest, *, body: Mapping[str, Any], headers: Mapping[str, str]
) -> HttpResponse:
    """Answer a refusal that is on record: with the body of the first request, whose id it has."""
    request.problem = problem  # type: ignore[attr-defined] # for the access log's line
    text = jsontext.dumps(body)
    response = HttpResponse(text, status=body["status"], content_type=PROBLEM, headers=headers)
    response["Content-Length"] = str(len(text))
    return response


def problem_answer(problem: Problem, request: HttpRequest) -> HttpResponse:
    """Write a refusal as problem+json, with Retry-After where waiting helps."""
    request.problem = problem  # type: ignore[attr-defined] # for the access log's line
    for call in _listeners:
        call(request, problem)
    body = problem.body(getattr(request, "request_id", None))
    text = jsontext.dumps(body)
    response = HttpResponse(text, status=body["status"], content_type=PROBLEM)
    response["Content-Length"] = str(len(text))
    if body["status"] in {429, 503}:
        wait = problem.retry_after_seconds or 1
        response["Retry-After"] = str(max(1, round(wait)))
    if body["status"] == HTTPStatus.UNAUTHORIZED:
        response["WWW-Authenticate"] = "Bearer"
    return response


_TRANSLATIONS: tuple[tuple[type[Exception], Reason, str], ...] = (
    (OperationalError, Reason.UNAVAILABLE, "The database does not answer."),
    (InterfaceError, Reason.UNAVAILABLE, "The database does not answer."),
    (InternalError, Reason.UNAVAILABLE, "The database takes no writes."),
    (exceptions.MethodNotAllowed, Reason.METHOD_NOT_ALLOWED, "This path has other methods."),
    (RequestDataTooBig, Reason.TOO_LARGE, f"A body here is at most {MAX_BODY} bytes."),
    (Http404, Reason.NOT_FOUND, "There is no such path."),
    (BadRequest, Reason.MALFORMED, "The request could not be read."),
    (SuspiciousOperation, Reason.MALFORMED, "The request could not be read."),
)


def problem_of(error: Exception) -> Problem | None:
    """Translate what Django, DRF and the database raise; None for what nobody foresaw."""
    if isinstance(error, Problem):
        return error
    for kind, reason, detail in _TRANSLATIONS:
        if isinstance(error, kind):
            return Problem(reason, detail)
    return None


def exception_handler(error: Exception, context: Mapping[str, Any]) -> HttpResponse | None:
    """DRF's hook: a known refusal becomes its problem, anything else is logged and a plain 500."""
    problem = problem_of(error)
    if problem is None:
        errors.error("unforeseen error", exc_info=error)
        problem = Problem(Reason.INTERNAL)
    request: Request = context["request"]
    response = problem_answer(problem, request._request)
    if isinstance(error, exceptions.MethodNotAllowed):
        response["Allow"] = ", ".join(context["view"].allowed_methods)
    return response


def read_body(request: Request, *, limit: int = MAX_BODY) -> tuple[bytes, dict[str, Any]]:
    """Read the body: its bytes, and the one JSON object they are. Raises as read_json does."""
    floor = request._request
    return read_json(floor.META, floor, by=getattr(floor, "subject", None), limit=limit)


def read_json(
    meta: Mapping[str, Any], stream: bodies.Stream, *, by: str | None, limit: int = MAX_BODY
) -> tuple[bytes, dict[str, Any]]:
    """Read a subject's body: its bytes, and the one JSON object they are (jsontext.read_object).

    Nobody may call it before 401, 404, 403 and 429 are decided: it waits for the client.
    Raises Problem: 415 for another media type or charset, 400 where it is not one JSON object, and
    what bodies.read raises.
    """
    _require_json(meta.get("CONTENT_TYPE", ""))
    raw = bodies.read(meta, stream, by=by, limit=limit)
    try:
        return raw, jsontext.read_object(raw)
    except jsontext.Unreadable as error:
        raise Problem(Reason.MALFORMED, f"{error}.") from error


def _require_json(content_type: str) -> None:
    media, _, parameters = content_type.partition(";")
    charset = parameters.strip().lower().removeprefix("charset=").strip('"')
    if media.strip().lower() != JSON or charset not in {"", "utf-8", "utf8"}:
        raise Problem(Reason.UNSUPPORTED_MEDIA_TYPE, "The body must be application/json in UTF-8.")


def query_of(request: Request, allowed: Sequence[str]) -> dict[str, str]:
    """Read the query string: each known parameter at most once, unknown ones refused.

    `format` is ignored everywhere (api.md §1). Raises Problem 400.
    """
    if not request._request.META.get("QUERY_STRING"):
        return {}
    asked = request._request.GET
    errors = []
    for name, values in asked.lists():
        if name not in allowed and name != "format":
            errors.append(FieldError(name, "unknown-parameter", "Unknown parameter.", allowed))
        elif len(values) > 1:
            errors.append(FieldError(name, "given-twice", "Give this parameter once."))
    if errors:
        raise Problem(Reason.BAD_PARAMETER, "The query is not understood.", errors=errors)
    return {name: asked[name] for name in allowed if name in asked}


def bad_parameter(
    field: str, reason: str, message: str, allowed: Sequence[str] | None = None
) -> Problem:
    """Make the 400 for one query parameter or header."""
    return Problem(
        Reason.BAD_PARAMETER, message, errors=[FieldError(field, reason, message, allowed)]
    )


class JsonOnly(negotiation.BaseContentNegotiation):
    """API views answer JSON whatever Accept or ?format= says (api.md §1)."""

    def select_parser(self, request: Any, parsers: Any) -> Any:
        """Take the only parser."""
        return parsers[0]

    def select_renderer(
        self, request: Any, renderers: Any, format_suffix: str | None = None
    ) -> Any:
        """Take the only renderer."""
        return renderers[0], renderers[0].media_type


_NEGOTIATION = JsonOnly()


class ApiView(APIView):
    """Base of every API view. Handlers return `answer(…)` or raise Problem.

    Of the steps DRF takes around a handler only those are kept whose outcome is not always the
    same: who asks, and may they. Versions, throttles and headers about them would say nothing.
    """

    http_method_names = ["get", "post", "put", "patch", "delete", "head"]
    content_negotiation_class = JsonOnly
    parser_classes = [parsers.JSONParser]
    renderer_classes = [renderers.JSONRenderer]
    permission_classes: list[Any] = []
    throttle_classes: list[Any] = []

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        """Wrap the request for its authenticators; nothing parses or negotiates it."""
        return Request(request, authenticators=self.get_authenticators(), negotiator=_NEGOTIATION)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Find out who asks, and judge it."""
        self.perform_authentication(request)
        self.check_permissions(request)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Let the answer go as it was made: it is rendered already."""
        return response

    @property
    def default_response_headers(self) -> dict[str, str]:
        """None: `Allow` belongs to a 405, and nothing varies."""
        return {}

    def get_exception_handler(self) -> Any:
        """One handler for every view."""
        return exception_handler
