"""Is it alive, is it ready, what is wrong (R25). Broker or Redis down is ready and degraded."""

from typing import Any

from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from rest_framework.request import Request

from accounts.access import Permission, Principal, TokenView
from accounts.checks import missing_master_keys
from accounts.pool import get_pool
from accounts.timekeeping import get_timekeeping
from opitios import __version__, openapi
from opitios.core import startup
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
    """Say whether requests can be served: Redis and the broker may be away (design.md §6)."""
    components = _components()
    is_ready = all(components[name] == word for name, word in _NEEDED.items())
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


# Without these nothing is served.
_NEEDED = {
    "postgres": "up",
    "accounts": "loaded",
    "keys": "open",
    "clock": "agrees",
    "start": "checked",
}


def _components() -> dict[str, str]:
    missing = _missing_keys()
    return {
        "postgres": "down" if missing is None else "up",
        "redis": "up" if get_bus().is_up else "down",
        "accounts": "loaded" if get_pool().is_loaded else "loading",
        "keys": "missing" if missing else "open",
        "clock": "agrees" if get_timekeeping().agrees else "off",
        "start": "checked" if startup.admission.is_granted else "unchecked",
    }


def _status(components: dict[str, str]) -> str:
    if any(components[name] != word for name, word in _NEEDED.items()):
        return "down"
    return "ok" if components["redis"] == "up" else "degraded"


def _missing_keys() -> list[str] | None:
    """The master keys that accounts need and this process lacks; None: Postgres is away."""
    try:
        return missing_master_keys()
    except DatabaseError:
        return None
