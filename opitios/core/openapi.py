"""The words in which rooms describe their endpoints: OpenAPI 3.1, as plain JSON Schema.

A room's `schema.py` holds its components by name (`COMPONENTS`) and one decorator a handler. The
roof puts them together (opitios/openapi.py).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema

from opitios.core.errors import BROKER_SLUGS, Reason
from opitios.core.http import JSON, PROBLEM

Schema = dict[str, Any]
Answers = dict[tuple[int, str], OpenApiResponse]
Handler = TypeVar("Handler", bound=Callable[..., Any])

TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}
NUMBER: Schema = {"type": "number"}
COUNT: Schema = {"type": "integer", "minimum": 0}
WHOLE: Schema = {"type": "integer"}
ANYTHING: Schema = {"type": "object", "additionalProperties": True}
UUID: Schema = {"type": "string", "format": "uuid"}
INSTANT: Schema = {
    "type": "string",
    "format": "date-time",
    "description": "RFC 3339 in UTC, with `Z`.",
}
DECIMAL: Schema = {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?$"}
SHA256: Schema = {"type": "string", "pattern": "^[0-9a-f]{64}$"}


def ref(name: str) -> Schema:
    """Point to a component."""
    return {"$ref": f"#/components/schemas/{name}"}


def word(*allowed: str) -> Schema:
    """One of a closed list of words."""
    return {"type": "string", "enum": list(allowed)}


def nullable(schema: Schema) -> Schema:
    """Allow null beside it."""
    kind = schema.get("type")
    if isinstance(kind, str) and "enum" not in schema:
        return {**schema, "type": [kind, "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


def listed(schema: Schema) -> Schema:
    """A list of it."""
    return {"type": "array", "items": schema}


def record(properties: Mapping[str, Schema], *, optional: Sequence[str] = ()) -> Schema:
    """An object whose properties are all there, but for the optional ones."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": dict(properties), "required": required}


def page(name: str, item: str, *, marked: bool = True) -> Schema:
    """A list under its name, and how to read on; `marked`: with its place in the journal."""
    mark = MARK if marked else {}
    return record({name: listed(ref(item)), "next_page_token": nullable(TEXT), **mark})


# The place of an answer in the account's journal: it holds everything up to that number.
MARK: Mapping[str, Schema] = {"as_of": INSTANT, "as_of_seq": COUNT}


def answers(status: int, schema: Schema, description: str) -> Answers:
    """Describe a JSON answer."""
    return {(status, JSON): OpenApiResponse(schema, description)}


_WHY: Mapping[int, str] = {
    400: "The body is not one JSON object, or a parameter or header cannot be read.",
    401: "No token came, or it is not valid.",
    403: "The token lacks the permission.",
    404: "There is no such thing for this token: not there and not yours are the same answer.",
    405: "The path has other methods; they stand in `Allow`.",
    409: "What is asked conflicts with what is.",
    413: "The body is too large.",
    415: "The body is not `application/json` in UTF-8.",
    422: "The body is readable and wrong, or the broker refused.",
    429: "Too often: a limit is reached; try again after `Retry-After` seconds.",
    503: "It cannot be answered now: try again after `Retry-After` seconds.",
}


def problems(*statuses: int) -> Answers:
    """Describe refusals: each is a Problem."""
    return {(status, PROBLEM): OpenApiResponse(ref("Problem"), _WHY[status]) for status in statuses}


def query(name: str, schema: Schema, description: str, *, required: bool = False) -> Any:
    """Describe a query parameter."""
    return OpenApiParameter(
        name, schema, OpenApiParameter.QUERY, required=required, description=description
    )


def header(name: str, schema: Schema, description: str) -> Any:
    """Describe a request header that may be sent."""
    return OpenApiParameter(name, schema, OpenApiParameter.HEADER, description=description)


def answer_header(name: str, schema: Schema, description: str, *statuses: int) -> Any:
    """Describe a header of answers with these statuses."""
    return OpenApiParameter(
        name, schema, OpenApiParameter.HEADER, description=description, response=[*statuses]
    )


_LIMIT: Schema = {"type": "integer", "minimum": 1, "maximum": 500, "default": 50}
LIMIT = query("limit", _LIMIT, "How many at most.")
PAGE_TOKEN = query("page_token", TEXT, "`next_page_token` of the page before.")


def operation(
    name: str,
    tag: str,
    about: str,
    *,
    answers: Answers,
    parameters: Sequence[Any] = (),
    **more: Any,
) -> Callable[[Handler], Handler]:
    """Describe one handler: its name, its chapter, one line about it, what it answers."""
    made: Callable[[Handler], Handler] = extend_schema(
        operation_id=name,
        tags=[tag],
        summary=about,
        responses=answers,
        parameters=list(parameters),
        **more,
    )
    return made


_SLUGS = sorted({reason.slug for reason in Reason} | BROKER_SLUGS)

COMPONENTS: Mapping[str, Schema] = {
    "FieldError": record(
        {
            "field": {**TEXT, "description": "Its path, such as `legs[1].ratio_qty`."},
            "reason": TEXT,
            "message": TEXT,
            "allowed": nullable(listed(TEXT)),
        }
    ),
    "Problem": record(
        {
            "type": TEXT,
            "title": TEXT,
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "detail": TEXT,
            "reason": word(*_SLUGS),
            "code": {**WHOLE, "description": "Alpaca's where the broker spoke, else ours."},
            "message": TEXT,
            "origin": word("gateway", "broker"),
            "next": {**TEXT, "description": "What to do."},
            "retry": {
                **word("never", "same_key", "new_key", "after_fix"),
                "description": "What is safe for a program.",
            },
            "retry_after_ms": nullable(COUNT),
            "request_id": nullable(TEXT),
            "account_id": nullable(TEXT),
            "order_id": nullable(TEXT),
            "errors": listed(ref("FieldError")),
            "broker": nullable(
                {
                    **record({"http_status": WHOLE, "request_id": nullable(TEXT)}),
                    "additionalProperties": True,
                    "description": "What the broker said beside its message, verbatim.",
                }
            ),
        }
    ),
}
