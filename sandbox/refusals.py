"""Every refusal of the trading API: HTTP status, code, message and extra fields.

Recorded from Alpaca where a recording exists. Where the sandbox cannot do what Alpaca can, the
message says so and begins with "sandbox:".
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal

from sandbox.amounts import text


class RefusedError(Exception):
    """A request the sandbox answers with an error body."""

    def __init__(
        self, status: int, code: int | None, message: str, extra: Mapping[str, object] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.extra = dict(extra or {})

    @property
    def body(self) -> dict[str, object]:
        """The JSON body; the data API and the sandbox's own routes send no code."""
        coded: dict[str, object] = {} if self.code is None else {"code": self.code}
        return {**self.extra, **coded, "message": self.message}


class DuplicateClientOrderIdError(RefusedError):
    """The client_order_id was spent by an accepted order, however long ago."""

    def __init__(self, order_id: str) -> None:
        super().__init__(422, 40010001, "client_order_id must be unique")
        self.order_id = order_id


def unauthorized() -> RefusedError:
    """Absent, unknown or revoked key: this answer has no code."""
    return RefusedError(401, None, "unauthorized.")


def rate_limited() -> RefusedError:
    """More requests in a minute than the account may send."""
    return RefusedError(429, 42910000, "rate limit exceeded")


def malformed_body() -> RefusedError:
    """The body is not a JSON object, or a field has a type Alpaca cannot read."""
    return RefusedError(400, 40010000, "request body format is invalid")


def invalid(message: str) -> RefusedError:
    """A parameter is missing or wrong (code 40010001 travels with HTTP 422)."""
    return RefusedError(422, 40010001, message)


def unprocessable(message: str) -> RefusedError:
    """The parameters are readable, but the market's rules forbid the combination."""
    return RefusedError(422, 42210000, message)


def forbidden(message: str, extra: Mapping[str, object] | None = None) -> RefusedError:
    """The account may not do this now."""
    return RefusedError(403, 40310000, message, extra)


def not_found(message: str) -> RefusedError:
    """No such order, position, asset or endpoint."""
    return RefusedError(404, 40410000, message)


def insufficient_buying_power(*, buying_power: Decimal, cost_basis: Decimal) -> RefusedError:
    """The order costs more than the account can spend."""
    return forbidden(
        "insufficient buying power",
        {"buying_power": text(buying_power), "cost_basis": text(cost_basis)},
    )


def insufficient_qty(
    *, symbol: str, requested: Decimal, existing: Decimal, held: Decimal, related: Sequence[str]
) -> RefusedError:
    """The position is smaller than the order, or other orders hold its shares."""
    available = max(existing - held, Decimal(0))
    return forbidden(
        "insufficient qty available for order "
        f"(requested: {text(requested)}, available: {text(available)})",
        {
            "available": text(available),
            "existing_qty": text(existing),
            "held_for_orders": text(held),
            "related_orders": list(related),
            "symbol": symbol,
        },
    )


def wash_trade(*, existing_order_id: str, existing_is_limit: bool) -> RefusedError:
    """An open order of the same account could trade against this one."""
    reason = (
        "opposite side limit order exists. use complex/limit/stop_limit orders"
        if existing_is_limit
        else "opposite side market/stop order exists"
    )
    return forbidden(
        "potential wash trade detected. use complex orders",
        {"existing_order_id": existing_order_id, "reject_reason": reason},
    )
