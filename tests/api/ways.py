"""The same request sent both ways: the express way and the usual one, each as a server sends it."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import pytest
from django.test import RequestFactory

from opitios.core import metrics
from opitios.core.handler import Handler
from opitios.express import Express
from tests.marketdata.calls import signed

QUOTE = "/api/v1/stocks/quote/AAPL"


def token_of(**claims: Any) -> str:
    """A token of a subject nobody else has."""
    return signed(**{"sub": f"express-{uuid4().hex[:12]}", "jti": uuid4().hex} | claims)


def counted(name: str, *labels: object) -> float:
    """How often this process has counted this."""
    told = metrics.snapshot().get(name, {"counts": []})["counts"]
    return next((value for *each, value in told if each == list(labels)), 0)


@dataclass(frozen=True)
class Answered:
    """An answer without what no two answers share, its line in the access log, and who made it."""

    status: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    line: Mapping[str, Any]
    express: bool

    @property
    def told(self) -> tuple[object, ...]:
        return self.status, self.headers, self.body, self.line


class Ways:
    """A process whose prices are at hand, asked both ways."""

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self._capfd = capfd
        self._usual = Handler()
        self.token = token_of()

    def express(self, path: str = QUOTE, method: str = "GET", **how: Any) -> Answered:
        """Ask as clients do."""
        handed_over: list[str] = []

        def usual(environ: dict[str, Any], start_response: Any) -> Any:
            handed_over.append(path)
            return self._usual(environ, start_response)

        return self._ask(Express(usual), handed_over, path, method, **how)

    def usual(self, path: str = QUOTE, method: str = "GET", **how: Any) -> Answered:
        """Ask as if there were no express way."""
        return self._ask(self._usual, [path], path, method, **how)

    def _ask(
        self, app: Any, handed_over: list[str], path: str, method: str, **how: Any
    ) -> Answered:
        self._capfd.readouterr()
        heads: list[tuple[str, list[tuple[str, str]]]] = []
        environ = _environ(path, method, **{"token": self.token} | how)
        body = b"".join(app(environ, lambda status, head: heads.append((status, head))))
        ((status, head),) = heads
        lines = [json.loads(each) for each in self._capfd.readouterr().err.splitlines()
                 if '"event":"request"' in each]  # fmt: skip
        (line,) = lines
        named = dict(head)["X-Request-ID"]
        given = environ.get("HTTP_X_REQUEST_ID") == named
        return Answered(
            status,
            tuple((name, _lasting(name, value, given=given)) for name, value in head),
            re.sub(rb'"age_ms":\d+', b'"age_ms":0', body).replace(named.encode(), b"-"),
            {name: "-" if name in {"at", "ms", "bytes"} else "-" if value == named else value
             for name, value in line.items()},
            not handed_over,
        )  # fmt: skip


def _environ(
    path: str, method: str, *, token: str, body: bytes = b"", **environ: Any
) -> dict[str, Any]:
    given = {"HTTP_AUTHORIZATION": f"Bearer {token}", **environ}
    made = RequestFactory().generic(method, path, body).environ
    # As a server has it: Django has decoded it by now.
    made["PATH_INFO"] = unquote(urlsplit(path).path, "iso-8859-1")
    if not body:
        # A server passes on what came, and with a GET there came none.
        made.pop("CONTENT_LENGTH", None)
    return {name: value for name, value in (made | given).items() if value is not None}


def _lasting(name: str, value: str, *, given: bool) -> str:
    if name == "X-Request-ID" and given:
        return value
    fleeting = {"X-Request-ID", "X-RateLimit-Reset", "Content-Length", "Retry-After"}
    return "-" if name in fleeting else value
