"""The WSGI application: Django's handler without the steps that an API call does not need.

What was left out, and what each step cost an order: docs/adr/0012.
"""

from functools import lru_cache
from typing import Any

from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest
from django.urls import ResolverMatch, get_resolver

# Nothing that a client invents may fill the memory: neither many paths nor long ones are kept.
KEPT_PATHS = 4096
LONGEST_KEPT = 200


class Handler(WSGIHandler):
    """Answers in one piece, and remembers which view a path leads to."""

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Answer a request with the body's parts.

        granian sends a list at once; through any other iterable it steps chunk by chunk, and takes
        the interpreter's lock for each.
        """
        response: Any = super().__call__(environ, start_response)
        if getattr(response, "streaming", True):
            return response
        try:
            return [response.content]
        finally:
            response.close()

    def resolve_request(self, request: HttpRequest) -> ResolverMatch:
        """Find the view of a path. Raises Resolver404."""
        path = request.path_info
        match = _match(path) if len(path) <= LONGEST_KEPT else get_resolver().resolve(path)
        request.resolver_match = match
        return match


@lru_cache(maxsize=KEPT_PATHS)
def _match(path: str) -> ResolverMatch:
    return get_resolver().resolve(path)
