"""The API's own document, and answers held against it."""

import copy
import json
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.http import HttpResponse
from django.test import Client
from jsonschema import (  # type: ignore[import-untyped] # it has no stubs here
    Draft202012Validator,
    FormatChecker,
)

SCHEMA = "/api/schema?format=json"

formats = FormatChecker()


@formats.checks("date-time", raises=ValueError)  # type: ignore[untyped-decorator] # no stubs
def _is_an_instant(value: object) -> bool:
    return not isinstance(value, str) or (
        value.endswith("Z") and datetime.fromisoformat(value).tzinfo is not None
    )


def read_document() -> dict[str, Any]:
    """Read the document as anybody reads it."""
    found: dict[str, Any] = json.loads(Client().get(SCHEMA).content)
    return found


@dataclass
class Document:
    """The document; `seen` are the operations and statuses that were held against it."""

    told: dict[str, Any] = field(default_factory=read_document)
    seen: set[tuple[str, int]] = field(default_factory=set)

    def __post_init__(self) -> None:
        # Clients may meet new keys one day; a test may not.
        self._strict = copy.deepcopy(self.told)
        close(self._strict["components"]["schemas"])

    def operations(self) -> dict[str, dict[str, Any]]:
        """Every operation by its name."""
        return {
            told["operationId"]: told
            for path in self.told["paths"].values()
            for told in path.values()
        }

    def hold(self, method: str, path: str, answer: HttpResponse) -> None:
        """Hold one answer against the document: status, media type, headers, every key.

        Raises:
            ValidationError: the body does not fit.
            AssertionError: the rest does not.
        """
        told = self._operation(method, path)
        response = told["responses"].get(str(answer.status_code))
        assert response, f"{told['operationId']} says nothing of a {answer.status_code}"
        [(media, content)] = response["content"].items()
        assert answer["Content-Type"] == media
        always = {name.lower() for name in response["headers"] if name in _ALWAYS}
        assert always <= {name.lower() for name in answer.headers}, answer.headers
        self.validate(content["schema"], json.loads(answer.content))
        self.seen.add((told["operationId"], answer.status_code))

    def validate(self, schema: dict[str, Any], body: object) -> None:
        """Hold a value against a schema of the document. Raises ValidationError."""
        whole = {**self._strict, **schema}
        Draft202012Validator(whole, format_checker=formats).validate(body)

    def _operation(self, method: str, path: str) -> dict[str, Any]:
        templates = sorted(self.told["paths"], key=lambda template: template.count("{"))
        plain = path.partition("?")[0]
        template = next(each for each in templates if re.fullmatch(_pattern(each), plain))
        found: dict[str, Any] = self.told["paths"][template][method.lower()]
        return found


_ALWAYS = {
    *("X-Request-ID", "WWW-Authenticate", "Retry-After", "Allow", "Location"),
    *("RateLimit-Policy", "RateLimit"),
    *("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"),
}


def _pattern(template: str) -> str:
    return "[^/]+".join(map(re.escape, re.split(r"\{[^}]+\}", template)))


def close(schema: Any) -> None:
    """Let every object of these schemas hold the keys it tells of, and no other."""
    if isinstance(schema, dict):
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
        for value in schema.values():
            close(value)
    elif isinstance(schema, list):
        for value in schema:
            close(value)
