"""Who is at the other end: the browser's origin and the client's token, never from the URL."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.http.request import split_domain_port, validate_host

from accounts.access import bearer_token
from accounts.gate import get_gate
from accounts.tokens import Principal, verifier
from opitios.core import client_address
from opitios.core.errors import Problem, Reason
from streaming.protocol import Code, Refusal

# As ASGI has them: names in lower case.
Headers = Iterable[tuple[bytes, bytes]]


def header(headers: Headers, name: bytes) -> str | None:
    """Read a header; one given twice is joined by commas (RFC 9110 §5.2), None where it is not."""
    values = [value.decode("latin-1") for given, value in headers if given == name]
    return ", ".join(values) if values else None


def address_of(scope: Mapping[str, Any]) -> str | None:
    """Find the client's address; None where the server knows no peer."""
    peer = (scope.get("client") or (None,))[0]
    return client_address.client_address(peer, header(scope["headers"], b"x-forwarded-for"))


def is_own_origin(headers: Headers) -> bool:
    """Whether the socket may be opened from where it is: a bot says nothing, a browser tells.

    A page of another site would use its visitor's network position.
    """
    origin = header(headers, b"origin")
    if origin is None:
        return True
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    # A browser writes scheme, host and port, and nothing else.
    if parts.scheme not in {"http", "https"} or parts.path or parts.query or parts.fragment:
        return False
    domain, _port = split_domain_port(parts.netloc)
    return bool(domain) and validate_host(domain, settings.ALLOWED_HOSTS)


def header_token(headers: Headers) -> str | None:
    """Take the token out of the Authorization header, None where there is none. Raises Refusal."""
    given = header(headers, b"authorization")
    try:
        return None if given is None else bearer_token(given)
    except Problem as problem:
        raise Refusal(Code.AUTH_FAILED, problem.detail) from problem


def verified(token: str) -> Principal:
    """Verify a token. Raises Refusal, saying "expired" or "not valid" and no more."""
    try:
        return verifier().principal(token)
    except Problem as problem:
        raise _refusal(problem) from problem


async def ready() -> None:
    """Give a fresh process a moment to learn which tokens are denied: a deploy is no error."""
    gate = get_gate()
    if not gate.is_loaded:
        await asyncio.to_thread(gate.wait_until_loaded)


def admitted(principal: Principal, address: str | None) -> Principal:
    """Let a verified token in from this address, now and again: it may be denied since.

    Raises Refusal: the same as for a token that is not valid; INTERNAL where nobody can say now.
    """
    try:
        return get_gate().admit(principal, address)
    except Problem as problem:
        raise _refusal(problem) from problem


def _refusal(problem: Problem) -> Refusal:
    if problem.reason is Reason.UNAUTHORIZED:
        return Refusal(Code.AUTH_FAILED, problem.detail)
    return Refusal(Code.INTERNAL, problem.detail)
