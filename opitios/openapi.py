"""The API's documents put together: what the rooms declare, and what holds for every answer."""

from collections.abc import Iterator, Mapping
from typing import Any

from accounts import schema as accounts
from marketdata import schema as marketdata
from opitios.core import openapi
from opitios.core.http import JSON, PROBLEM
from opitios.core.openapi import Schema, answers, operation, problems, record, ref, word
from trading import schema as trading

_COMPONENTS = {
    "postgres": word("up", "down"),
    "redis": word("up", "down"),
    "accounts": word("loaded", "loading"),
    "keys": word("open", "missing"),
    "clock": word("agrees", "off"),
    "start": word("checked", "unchecked"),
}
COMPONENTS: Mapping[str, Schema] = {
    "Health": record(
        {
            "status": word("ok", "degraded", "down"),
            "version": openapi.TEXT,
            "components": {
                **record(_COMPONENTS),
                "description": "For a token with `monitor`.",
            },
        },
        optional=("components",),
    ),
    "Alive": record({"status": word("alive")}),
    "Ready": record({"status": word("ready", "not-ready")}),
    "About": record(dict.fromkeys(("name", "version", "docs", "health"), openapi.TEXT)),
}

read_health = operation(
    "readHealth",
    "Operation",
    "Say how it is; with `monitor` also each component.",
    # The token may be left out.
    auth=[{}, {"bearer": []}],
    answers=answers(200, ref("Health"), "How it is.") | problems(401),
)

_REQUEST_ID: Schema = {"type": "string", "pattern": "^[A-Za-z0-9._:-]{1,128}$"}

# Headers that every answer of a status carries, beside X-Request-ID.
_HEADERS: Mapping[str, tuple[str, ...]] = {
    "401": ("WWW-Authenticate",),
    "405": ("Allow",),
    "429": ("Retry-After",),
    "503": ("Retry-After",),
}
_LIMIT_HEADERS = (
    *("RateLimit-Policy", "RateLimit"),
    *("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"),
)
_HEADER_WORDS: Mapping[str, str] = {
    "X-Request-ID": "The caller's own if it sent a sane one.",
    "WWW-Authenticate": "`Bearer`.",
    "Allow": "The methods of this path.",
    "RateLimit-Policy": "The tightest limit: `q` requests within `w` seconds (IETF draft).",
    "RateLimit": "How it stands: `r` are left, all of them again in `t` seconds.",
    "X-RateLimit-Limit": "Its requests within its window.",
    "X-RateLimit-Remaining": "How many are left.",
    "X-RateLimit-Reset": "When all of them are there again, in epoch seconds.",
    "Retry-After": "Seconds to wait before the next try.",
}


def complete(result: Schema, generator: Any, request: Any, public: bool) -> Schema:  # noqa: FBT001
    """Add components, plain paths and what is true of every operation: spectacular's last step."""
    components = result.setdefault("components", {})
    rooms = (openapi.COMPONENTS, accounts.COMPONENTS, marketdata.COMPONENTS, trading.COMPONENTS)
    schemas = {name: schema for room in (*rooms, COMPONENTS) for name, schema in room.items()}
    components["schemas"] = dict(sorted(schemas.items()))
    components["headers"] = {
        name: {"schema": openapi.TEXT, "description": about}
        for name, about in _HEADER_WORDS.items()
    }
    components["parameters"] = {
        "X-Request-ID": {
            "name": "X-Request-ID",
            "in": "header",
            "schema": _REQUEST_ID,
            "description": "A name for this request: it comes back, and stands in the journal.",
        }
    }
    result["paths"] |= _plain_paths()
    for told in _operations(result):
        _add_what_always_holds(told)
    return result


def _operations(result: Schema) -> Iterator[Schema]:
    for path in result["paths"].values():
        yield from path.values()


def _add_what_always_holds(told: Schema) -> None:
    # Spectacular's own choice, the handler's docstring, is for who reads the code.
    told.pop("description", None)
    if "requestBody" in told:
        told["requestBody"]["required"] = True
    told.setdefault("parameters", []).append({"$ref": "#/components/parameters/X-Request-ID"})
    if "bearer" in {name for each in told.get("security", []) for name in each}:
        for (status, _), about in problems(405, 429, 503).items():
            content = {PROBLEM: {"schema": about.response}}
            said = {"content": content, "description": about.description}
            told["responses"].setdefault(str(status), said)
    for status, answer in told["responses"].items():
        names = ["X-Request-ID", *_LIMIT_HEADERS, *_HEADERS.get(status, ())]
        answer.setdefault("headers", {}).update(
            {name: {"$ref": f"#/components/headers/{name}"} for name in names}
        )


def _plain_paths() -> Schema:
    return {
        "/": _plain("readAbout", "Say what this is.", {"200": "About"}),
        "/health/live": _plain("readAlive", "Say that the process runs.", {"200": "Alive"}),
        "/health/ready": _plain(
            "readReady", "Say whether requests can be served.", {"200": "Ready", "503": "Ready"}
        ),
    }


def _plain(name: str, about: str, found: Mapping[str, str]) -> Schema:
    responses = {
        status: {"description": about, "content": {JSON: {"schema": ref(component)}}}
        for status, component in found.items()
    }
    told = {"operationId": name, "summary": about, "tags": ["Operation"], "responses": responses}
    return {"get": told | {"security": [{}]}}
