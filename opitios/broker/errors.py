"""Every way a call to the broker can end without an answer, named by the permitted next step.

    BrokerError
    |-- Refused             a definitive no (400, 403, 404, 422): record it, never send it again
    |   `-- NotFound        the broker itself says that it knows no such thing (404 with JSON)
    |-- AccessDenied        the key pair is not accepted (401): the account is suspect
    |-- Throttled           not taken because of a rate limit (429): the same call, later
    |-- NotSent             no byte of the request left this process: the same call, now or later
    `-- OutcomeUnknown      bytes may have arrived and no answer is certain: look it up, never
                            send it again blindly

Pure: which of them an answer means is decided in `opitios.broker.alpaca.outcomes`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, ClassVar, Literal

from opitios.broker.port import Rate

UnsentReason = Literal["no-connection", "no-slot", "deadline", "breaker-open", "no-budget"]
UnknownReason = Literal[
    "timeout", "reset", "http-5xx", "unparsable", "too-large", "unexpected-status", "redirect"
]


@dataclass(eq=False, repr=False, kw_only=True)
class BrokerError(Exception):
    """A call without an answer, with everything the broker did say.

    `code` and `message` are the broker's own where it sent them. `body` is its JSON object with
    all extra keys, verbatim; None for HTML, text or nothing. `raw_sha256` is the hash of the bytes
    received, None if there was no body to hash.
    """

    outcome: ClassVar[str] = "error"

    message: str
    http_status: int | None = None
    code: int | None = None
    body: Mapping[str, Any] | None = None
    request_id: str | None = None
    raw_sha256: str | None = None
    ms: float = 0.0
    rate: Rate | None = None

    def __str__(self) -> str:
        facts = {"HTTP": self.http_status, "code": self.code, "request": self.request_id}
        known = [f"{name} {value}" for name, value in facts.items() if value is not None]
        return f"{self.message} ({', '.join(known)})" if known else self.message

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"


@dataclass(eq=False, repr=False, kw_only=True)
class Refused(BrokerError):
    """The broker took the request and said no; nothing was done."""

    outcome = "refused"

    @property
    def is_duplicate_client_order_id(self) -> bool:
        """True if the order is already there under this id: look it up and adopt it.

        The code is 40010001 or 42210000, so only status and words decide (alpaca-wire.md §0.5).
        """
        is_422 = self.http_status == HTTPStatus.UNPROCESSABLE_ENTITY
        return is_422 and "client_order_id must be unique" in self.message


@dataclass(eq=False, repr=False, kw_only=True)
class NotFound(Refused):
    """The broker's own 404. A 404 page of something in front of it is only `Refused`."""

    outcome = "not-found"


@dataclass(eq=False, repr=False, kw_only=True)
class AccessDenied(BrokerError):
    """The broker does not accept this key pair (401)."""

    outcome = "access-denied"


@dataclass(eq=False, repr=False, kw_only=True)
class Throttled(BrokerError):
    """Not taken because of a rate limit (429).

    `retry_after_seconds` is None where the broker did not say; `rate.resets_at` may.
    """

    outcome = "throttled"

    retry_after_seconds: float | None = None


@dataclass(eq=False, repr=False, kw_only=True)
class NotSent(BrokerError):
    """Proof that no byte of the request left this process.

    `retry_after_seconds` is known where our own guard held the call back.
    """

    outcome = "not-sent"

    reason: UnsentReason
    retry_after_seconds: float | None = None

    @property
    def is_held_back(self) -> bool:
        """True if our guard kept the call back: nothing failed, it is only too early."""
        return self.reason in {"breaker-open", "no-budget"}


@dataclass(eq=False, repr=False, kw_only=True)
class OutcomeUnknown(BrokerError):
    """Bytes may have reached the broker and nothing certain came back."""

    outcome = "unknown"

    reason: UnknownReason
