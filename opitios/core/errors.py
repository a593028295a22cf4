"""Why something was refused: one enum for orders and problems, and the problem answer (RFC 9457).

`code` is eight digits: the HTTP status, 9 (ours, never Alpaca's), then a number. `retry` tells a
program what is safe: never, same_key, new_key, after_fix (api.md §4).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

Retry = Literal["never", "same_key", "new_key", "after_fix"]


@dataclass(frozen=True, slots=True)
class Ruling:
    """What is always true of one reason: its words, its status, what to do next, what is safe."""

    slug: str
    status: int
    number: int
    title: str
    next: str
    retry: Retry

    @property
    def code(self) -> int:
        """The stable eight-digit code."""
        return self.status * 100_000 + 90_000 + self.number


class Reason(Enum):
    """Every reason of ours; docs/errors.md is made from it."""

    MALFORMED = Ruling(
        "malformed-body",
        400,
        1,
        "Malformed body",
        "Send one JSON object in UTF-8 without duplicate keys, NaN or Infinity.",
        "after_fix",
    )
    BAD_PARAMETER = Ruling(
        "bad-parameter",
        400,
        2,
        "Bad query parameter or header",
        "Correct what errors[] names.",
        "after_fix",
    )
    UNAUTHORIZED = Ruling(
        "unauthorized",
        401,
        1,
        "No valid token",
        "Send `Authorization: Bearer <token>` with a token that is signed and not expired.",
        "after_fix",
    )
    FORBIDDEN = Ruling(
        "missing-permission",
        403,
        1,
        "Permission missing",
        "Use a token that carries the permission named in detail.",
        "after_fix",
    )
    NO_TRADING_ACCOUNT = Ruling(
        "no-trading-account",
        403,
        2,
        "Not an account for trading",
        "Send the order to an account of the type trading: the others serve market data.",
        "after_fix",
    )
    NOT_FOUND = Ruling(
        "not-found",
        404,
        1,
        "Not found",
        "Check the account and the id: the token names its accounts.",
        "after_fix",
    )
    METHOD_NOT_ALLOWED = Ruling(
        "method-not-allowed",
        405,
        1,
        "Method not allowed",
        "Use one of the methods in the Allow header.",
        "after_fix",
    )
    CLIENT_ORDER_ID_USED = Ruling(
        "client-order-id-used",
        409,
        1,
        "client_order_id already used",
        "Read the order by this client_order_id, or send a new order under a new one.",
        "new_key",
    )
    ORDER_FINAL = Ruling(
        "order-final",
        409,
        2,
        "Order is final",
        "Nothing to do: the order can no longer change.",
        "never",
    )
    TOO_LARGE = Ruling(
        "body-too-large",
        413,
        1,
        "Body too large",
        "Send at most the size named in detail.",
        "after_fix",
    )
    UNSUPPORTED_MEDIA_TYPE = Ruling(
        "unsupported-media-type",
        415,
        1,
        "Unsupported media type",
        "Send `Content-Type: application/json`.",
        "after_fix",
    )
    INVALID_ORDER = Ruling(
        "invalid-order",
        422,
        1,
        "Invalid order",
        "Correct the fields in errors[], then send the order again; nothing was stored.",
        "after_fix",
    )
    IDEMPOTENCY_MISMATCH = Ruling(
        "idempotency-mismatch",
        422,
        2,
        "Key used for another command",
        "Use a new Idempotency-Key for a new command.",
        "new_key",
    )
    REJECTED = Ruling(
        "rejected-by-broker",
        422,
        3,
        "Refused by the broker",
        "Read broker and message, correct the order, then send it with a new key.",
        "new_key",
    )
    INVALID_PARAMETER = Ruling(
        "invalid-parameter",
        422,
        4,
        "Invalid query parameter",
        "Correct what errors[] or, where the broker refused, message names.",
        "after_fix",
    )
    INVALID_ROSTER = Ruling(
        "invalid-account-file",
        422,
        31,
        "Invalid account file",
        "Correct on the server what errors[] names, then reload; the accounts are as they were.",
        "after_fix",
    )
    UNKNOWN_SYMBOL = Ruling(
        "unknown-symbol",
        404,
        2,
        "Unknown symbol",
        "Check the symbol: it is unknown to the broker.",
        "after_fix",
    )
    TOO_MANY_REQUESTS = Ruling(
        "rate-limited",
        429,
        1,
        "Too many requests",
        "Wait for Retry-After seconds.",
        "same_key",
    )
    WOULD_LAPSE = Ruling(
        "would-lapse",
        429,
        2,
        "Would lapse before it could be sent",
        "Wait for Retry-After seconds, or give it a later not_after; nothing was stored.",
        "same_key",
    )
    UNAVAILABLE = Ruling(
        "storage-unavailable",
        503,
        1,
        "Storage unavailable",
        "Try again with the same key after Retry-After seconds; nothing was stored unless a replay "
        "says so.",
        "same_key",
    )
    OUTCOME_UNKNOWN = Ruling(
        "outcome-unknown",
        503,
        2,
        "Outcome unknown",
        "Send the same request with the same key: it is stored once or replayed.",
        "same_key",
    )
    BROKER_UNAVAILABLE = Ruling(
        "broker-unavailable",
        503,
        3,
        "Broker unavailable",
        "Try again after Retry-After seconds.",
        "same_key",
    )
    ACCOUNT_QUARANTINED = Ruling(
        "account-quarantined",
        503,
        4,
        "Account quarantined",
        "The broker refuses this account's key: replace it, or wait until it is released.",
        "same_key",
    )
    SLOW_BODIES = Ruling(
        "slow-bodies",
        503,
        21,
        "Too many slow bodies",
        "Send the whole body at once, again with the same key after Retry-After seconds; nothing "
        "was stored.",
        "same_key",
    )
    OVERLOADED = Ruling(
        "overloaded",
        503,
        31,
        "Overloaded",
        "Try again with the same key after Retry-After seconds; nothing was stored. Cancels and "
        "halts are taken all the time.",
        "same_key",
    )
    ACCOUNT_SUSPENDED = Ruling(
        "account-suspended",
        403,
        11,
        "Account suspended",
        "Ask the operator: new orders are taken when the account is resumed. Cancels pass; nothing "
        "was stored.",
        "same_key",
    )
    INTERNAL = Ruling(
        "internal-error",
        500,
        1,
        "Internal error",
        "Report request_id to the operator; with the same key a repeat is safe.",
        "same_key",
    )
    # Reasons an order carries.
    DEADLINE_BEFORE_SEND = Ruling(
        "deadline-before-send",
        422,
        11,
        "Deadline passed before sending",
        "It was never sent: send a new order with a new key if it is still wanted.",
        "new_key",
    )
    NOT_AT_BROKER = Ruling(
        "not-at-broker",
        422,
        12,
        "Not at the broker",
        "It was looked up and is proven absent: send a new order with a new key if still wanted.",
        "new_key",
    )
    CANCELED_BEFORE_SEND = Ruling(
        "canceled-before-send",
        422,
        13,
        "Cancelled before sending",
        "It was never sent.",
        "new_key",
    )
    SUSPENDED_BEFORE_SEND = Ruling(
        "suspended-before-send",
        422,
        21,
        "Account suspended before sending",
        "It was never sent: send a new order with a new key when the account is resumed.",
        "new_key",
    )
    HALTED = Ruling(
        "halted",
        422,
        51,
        "Halted",
        "Orders are taken again when the halt is lifted: then send a new one with a new key.",
        "new_key",
    )
    REDUCE_ONLY = Ruling(
        "reduce-only",
        422,
        52,
        "Only reducing orders",
        "Send an order that makes a position smaller, or wait until the halt is lifted.",
        "new_key",
    )
    RISK_MAX_QUANTITY = Ruling(
        "risk-max-quantity",
        422,
        53,
        "Quantity over the limit",
        "Lower qty below the limit in detail, then send it with a new key.",
        "after_fix",
    )
    RISK_MAX_NOTIONAL = Ruling(
        "risk-max-notional",
        422,
        54,
        "Notional over the limit",
        "Lower qty or notional below the limit in detail, then send it with a new key.",
        "after_fix",
    )
    RISK_SYMBOL = Ruling(
        "risk-symbol",
        422,
        55,
        "Symbol not allowed",
        "Use a symbol that the account may trade, or ask the operator.",
        "after_fix",
    )
    RISK_ORDERS_PER_MINUTE = Ruling(
        "risk-orders-per-minute",
        422,
        56,
        "Too many orders this minute",
        "Wait until older orders are a minute old, then send it with a new key.",
        "new_key",
    )
    RISK_ORDERS_PER_DAY = Ruling(
        "risk-orders-per-day",
        422,
        57,
        "Too many orders today",
        "Wait for the next New York day, or ask for a higher limit.",
        "new_key",
    )
    RISK_DUPLICATE = Ruling(
        "risk-duplicate",
        422,
        58,
        "Same order a moment ago",
        "If it is meant, send it with a new key when the window in detail is over.",
        "new_key",
    )
    NO_REFERENCE_PRICE = Ruling(
        "no-reference-price",
        422,
        59,
        "No reference price",
        "Give it a limit_price, or send it with a new key when quotes are back.",
        "new_key",
    )
    MISSING_AT_BROKER = Ruling(
        "missing-at-broker",
        404,
        3,
        "Missing at the broker",
        "The broker acknowledged this order and no longer knows it: the operator was alarmed.",
        "never",
    )
    NEEDS_ATTENTION = Ruling(
        "needs-attention",
        503,
        5,
        "Outcome unknown for long",
        "Do not send it again: it is still looked up, and the operator was alarmed.",
        "never",
    )
    LATE_ARRIVAL = Ruling(
        "late-arrival",
        409,
        3,
        "Appeared after its deadline",
        "It was cancelled at once; read the order for what was filled.",
        "never",
    )

    @property
    def slug(self) -> str:
        """The stable last part of `type`."""
        return self.value.slug


@dataclass(frozen=True, slots=True)
class FieldError:
    """One wrong field: its path (`legs[1].ratio_qty`), a slug, a sentence, the allowed values."""

    field: str
    reason: str
    message: str
    allowed: Sequence[str] | None = None

    def as_json(self) -> dict[str, Any]:
        """The element of `errors[]`."""
        return {
            "field": self.field,
            "reason": self.reason,
            "message": self.message,
            "allowed": list(self.allowed) if self.allowed is not None else None,
        }


class Problem(Exception):
    """A refusal, raised anywhere and written once, by the HTTP floor.

    status, code and title default to the reason's; where the broker refused they are its own.
    """

    def __init__(
        self,
        reason: Reason,
        detail: str = "",
        *,
        errors: Sequence[FieldError] = (),
        retry_after_seconds: float | None = None,
        broker: "BrokerRefusal | None" = None,
        **about: str | None,
    ) -> None:
        super().__init__(f"{reason.slug}: {detail}")
        self.reason = reason
        self.detail = detail or reason.value.title
        self.errors = tuple(errors)
        self.retry_after_seconds = retry_after_seconds
        self.broker = broker
        self.account_id = about.get("account_id")
        self.order_id = about.get("order_id")

    @property
    def status(self) -> int:
        """The HTTP status of the answer: the broker's 400, 403 and 422 stay, its others are 422."""
        if self.broker is None:
            return self.reason.value.status
        return self.broker.http_status if self.broker.http_status in {400, 403, 422} else 422

    def body(self, request_id: str | None) -> dict[str, Any]:
        """The problem object of api.md §4."""
        ruling = self.reason.value
        broker = self.broker
        return {
            "type": f"/problems/{broker.slug if broker else ruling.slug}",
            "title": broker.title if broker else ruling.title,
            "status": self.status,
            "detail": self.detail,
            "reason": broker.slug if broker else ruling.slug,
            "code": broker.code if broker and broker.code else ruling.code,
            "message": broker.message if broker else self.detail,
            "origin": "broker" if broker else "gateway",
            "next": ruling.next,
            "retry": ruling.retry,
            "retry_after_ms": self._retry_after_ms(),
            "request_id": request_id,
            "account_id": self.account_id,
            "order_id": self.order_id,
            "errors": [error.as_json() for error in self.errors],
            "broker": broker.as_json() if broker else None,
        }

    def _retry_after_ms(self) -> int | None:
        return None if self.retry_after_seconds is None else int(self.retry_after_seconds * 1000)


# Alpaca's codes and words with a name of their own; anything else is `rejected-by-broker`.
_BROKER_WORDS = (
    ("insufficient buying power", "insufficient-buying-power", "Insufficient buying power"),
    ("insufficient qty", "insufficient-qty", "Insufficient quantity"),
    ("wash trade", "wash-trade", "Potential wash trade"),
    ("not found", "asset-not-found", "Asset not found"),
)
BROKER_SLUGS = frozenset(slug for _, slug, _ in _BROKER_WORDS)


@dataclass(frozen=True, slots=True)
class BrokerRefusal:
    """What the broker answered, kept verbatim: `extra` holds its further fields."""

    http_status: int
    code: int | None
    message: str
    request_id: str | None
    extra: Mapping[str, Any]

    @property
    def slug(self) -> str:
        """Our stable word for the broker's message."""
        return self._named()[0]

    @property
    def title(self) -> str:
        """The title beside the slug."""
        return self._named()[1]

    def _named(self) -> tuple[str, str]:
        for words, slug, title in _BROKER_WORDS:
            if words in self.message:
                return slug, title
        return Reason.REJECTED.value.slug, Reason.REJECTED.value.title

    def as_json(self) -> dict[str, Any]:
        """The `broker` object of a problem."""
        return {"http_status": self.http_status, "request_id": self.request_id, **self.extra}
