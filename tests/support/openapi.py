"""Alpaca's published OpenAPI files, to hold answers against."""

import json
from functools import cache
from importlib.resources import files
from typing import Any

from jsonschema import (  # type: ignore[import-untyped] # it has no stubs here
    Draft202012Validator,
    FormatChecker,
)
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

TRADING = "trading-api"
DATA = "market-data-api"


@cache
def _spec(name: str) -> dict[str, Any]:
    text = files("alpaca_mcp_server").joinpath(f"specs/{name}.json").read_text()
    spec: dict[str, Any] = json.loads(text)
    return spec


@cache
def _registry(name: str) -> Registry[Any]:
    resource = Resource.from_contents(_spec(name), default_specification=DRAFT202012)
    empty: Registry[Any] = Registry()
    registry: Registry[Any] = empty.with_resource(f"urn:{name}", resource)
    return registry


def response_schema(name: str, path: str, method: str, status: int) -> dict[str, Any]:
    """A reference to the schema of an operation's JSON answer."""
    pointer = path.replace("~", "~0").replace("/", "~1")
    answer = _spec(name)["paths"][path][method]["responses"][str(status)]
    if "$ref" in answer:
        base = answer["$ref"].removeprefix("#")
    else:
        base = f"/paths/{pointer}/{method}/responses/{status}"
    return {"$ref": f"urn:{name}#{base}/content/application~1json/schema"}


def check(name: str, path: str, body: object, *, method: str = "get", status: int = 200) -> None:
    """Hold an answer against the published schema.

    Raises:
        ValidationError: it does not fit.
    """
    schema = response_schema(name, path, method, status)
    validator = Draft202012Validator(
        schema, registry=_registry(name), format_checker=FormatChecker()
    )
    validator.validate(body)


def check_schema(name: str, schema: str, body: object) -> None:
    """Hold a body against a named schema of the components.

    Raises:
        ValidationError: it does not fit.
    """
    reference = {"$ref": f"urn:{name}#/components/schemas/{schema}"}
    Draft202012Validator(
        reference, registry=_registry(name), format_checker=FormatChecker()
    ).validate(body)


def properties(name: str, schema: str) -> frozenset[str]:
    """The property names of a component schema."""
    return frozenset(_spec(name)["components"]["schemas"][schema]["properties"])


def enumeration(name: str, schema: str) -> frozenset[str]:
    """The words of a component schema that is a closed list."""
    return frozenset(_spec(name)["components"]["schemas"][schema]["enum"])
