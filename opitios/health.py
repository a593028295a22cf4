"""Is it alive, is it ready, what is wrong (R25). Broker or Redis down is ready and degraded."""

from typing import Any

from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from rest_framework.request import Request

from accounts.access import Permission, Principal, TokenView
from accounts.pool import get_pool
from opitios import __version__, openapi
from opitios.core import database
from opitios.core.bus import get_bus
from opitios.core.http import answer


def root(request: HttpRequest) -> HttpResponse:
    """Say what this is and where to go on."""
    return answer(
        {
            "name": "opitios",
            "version": __version__,
            "docs": "/api/docs",
            "health": "/api/v1/health",
        }
    )


def live(request: HttpRequest) -> HttpResponse:
    """Answer without any I/O: the process runs."""
    return answer({"status": "alive"})


def ready(request: HttpRequest) -> HttpResponse:
    """Say whether requests can be served: Postgres answers and the accounts are loaded."""
    components = _components()
    is_ready = components["postgres"] == "up" and components["accounts"] == "loaded"
    return answer({"status": "ready" if is_ready else "not-ready"}, status=200 if is_ready else 503)


class HealthView(TokenView):
    """The whole picture for `monitor`, its one word for everybody else."""

    permission = None

    def check_permissions(self, request: Request) -> None:
        """Let everybody ask: what is shown depends on the token."""

    @openapi.read_health
    def get(self, request: Request) -> HttpResponse:
        """Answer status and version; with `monitor` also each component."""
        components = _components()
        body: dict[str, Any] = {"status": _status(components), "version": __version__}
        principal = request.auth
        if isinstance(principal, Principal) and principal.may(Permission.MONITOR):
            body["components"] = components
        return answer(body)


def _components() -> dict[str, str]:
    return {
        "postgres": "up" if _postgres_answers() else "down",
        "redis": "up" if get_bus().is_up else "down",
        "accounts": "loaded" if get_pool().is_loaded else "loading",
    }


def _status(components: dict[str, str]) -> str:
    if components["postgres"] == "down":
        return "down"
    return "ok" if components["redis"] == "up" else "degraded"


def _postgres_answers() -> bool:
    try:
        database.row("SELECT 1 AS one")
    except DatabaseError:
        return False
    return True
