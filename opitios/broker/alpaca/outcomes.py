"""The one place that decides what an HTTP answer of Alpaca means. Pure.

Trading answers errors as `{"code", "message", ...}`, market data as `{"message"}` alone, and what
stands in front of both answers HTML (alpaca-wire.md §0.6, §1).
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import msgspec

from opitios.broker.alpaca.routes import Route
from opitios.broker.errors import (
    AccessDenied,
    BrokerError,
    NotFound,
    OutcomeUnknown,
    Refused,
    Throttled,
    UnknownReason,
)
from opitios.broker.port import Answer, Rate

_EXACT_NUMBERS = msgspec.json.Decoder(float_hook=Decimal)
_FLOAT_NUMBERS = msgspec.json.Decoder()
# Deep nesting ends in RecursionError, an absurd exponent in ArithmeticError.
_NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ArithmeticError)

_REFUSALS = {
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.UNPROCESSABLE_ENTITY,
}
# A message is for people; the whole text is in `body`.
_MESSAGE_LENGTH = 500


@dataclass(frozen=True, slots=True)
class Reply:
    """One complete HTTP answer as it came; the names of its headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    ms: float


def judge(reply: Reply, route: Route, *, exact_numbers: bool) -> Answer:
    """Return the answer, or raise the `BrokerError` that names the permitted next step.

    2xx with the JSON the route promises is an answer. 400, 403, 404 and 422 are refusals, 401 an
    access denied, 429 a throttle. Everything else is unknown: redirects, 408, 5xx, statuses not
    named here, bodies that cannot be read, and encoded bodies (we ask for `identity`).
    """
    readable, parsed = _parse(reply, exact_numbers=exact_numbers)
    if not HTTPStatus.OK <= reply.status < HTTPStatus.MULTIPLE_CHOICES:
        raise _failure(reply, parsed)
    if not readable or (route.shape is not None and not isinstance(parsed, route.shape)):
        raise _unknown(reply, None, "unparsable")
    return Answer(
        http_status=reply.status,
        body=parsed,
        request_id=reply.headers.get("x-request-id"),
        raw_sha256=hashlib.sha256(reply.body).hexdigest(),
        ms=reply.ms,
        rate=_rate(reply.headers),
    )


def _parse(reply: Reply, *, exact_numbers: bool) -> tuple[bool, Any]:
    """Return whether the body can be understood, and what it says (None for no bytes)."""
    if _is_encoded(reply):
        return False, None
    if not reply.body:
        return True, None
    try:
        return True, (_EXACT_NUMBERS if exact_numbers else _FLOAT_NUMBERS).decode(reply.body)
    except _NOT_JSON:
        return False, None


def _is_encoded(reply: Reply) -> bool:
    return reply.headers.get("content-encoding", "identity").strip().lower() not in {"", "identity"}


def _failure(reply: Reply, parsed: Any) -> BrokerError:
    body = parsed if isinstance(parsed, dict) else None
    if reply.status == HTTPStatus.UNAUTHORIZED:
        return AccessDenied(**_said(reply, body))
    if reply.status == HTTPStatus.TOO_MANY_REQUESTS:
        return Throttled(**_said(reply, body), retry_after_seconds=_retry_after(reply.headers))
    if reply.status in _REFUSALS:
        return _refusal(reply, body)
    return _unknown(reply, body, _reason(reply.status))


def _refusal(reply: Reply, body: dict[str, Any] | None) -> BrokerError:
    if _is_encoded(reply):
        # The words decide whether a 422 means "already there", and they cannot be read.
        return _unknown(reply, None, "unparsable")
    if reply.status == HTTPStatus.NOT_FOUND and body is not None:
        return NotFound(**_said(reply, body))
    return Refused(**_said(reply, body))


def _unknown(reply: Reply, body: dict[str, Any] | None, reason: UnknownReason) -> OutcomeUnknown:
    return OutcomeUnknown(**_said(reply, body), reason=reason)


def _reason(status: int) -> UnknownReason:
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return "redirect"
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return "http-5xx"
    return "unexpected-status"


def _said(reply: Reply, body: dict[str, Any] | None) -> dict[str, Any]:
    """Return the fields every error carries."""
    said = body or {}
    code, message = said.get("code"), said.get("message")
    return {
        "message": message[:_MESSAGE_LENGTH] if isinstance(message, str) else _described(reply),
        "http_status": reply.status,
        "code": code if isinstance(code, int) and not isinstance(code, bool) else None,
        "body": body,
        "request_id": reply.headers.get("x-request-id"),
        "raw_sha256": hashlib.sha256(reply.body).hexdigest(),
        "ms": reply.ms,
        "rate": _rate(reply.headers),
    }


def _described(reply: Reply) -> str:
    kind = reply.headers.get("content-type", "no type").partition(";")[0].strip().lower()
    return f"the broker answered {reply.status} with {len(reply.body)} bytes of {kind[:50]}"


def _rate(headers: Mapping[str, str]) -> Rate | None:
    try:
        return Rate(
            limit=int(headers["x-ratelimit-limit"]),
            remaining=int(headers["x-ratelimit-remaining"]),
            resets_at=float(int(headers["x-ratelimit-reset"])),
        )
    except (KeyError, ValueError, OverflowError):
        return None


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Read `Retry-After` (RFC 9110 §10.2.3): seconds, or a date measured from the `Date` header."""
    value = headers.get("retry-after", "")
    try:
        if value.isascii() and value.isdigit():
            seconds = float(value)
        else:
            asked = parsedate_to_datetime(value)
            seconds = (asked - parsedate_to_datetime(headers.get("date", ""))).total_seconds()
    except (TypeError, ValueError, OverflowError):
        return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
