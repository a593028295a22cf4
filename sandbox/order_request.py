"""What a client asks for: the body of POST /v2/orders, read and checked by itself.

Checks that need the books (uniqueness, positions, buying power) are in `acceptance`.
"""

import re
from decimal import Decimal
from typing import Any, NamedTuple, cast

from sandbox.amounts import decimals, read_amount, text
from sandbox.orders import Intent, OrderType, Side, TimeInForce
from sandbox.refusals import RefusedError, invalid, malformed_body, unprocessable

SIDES = ("buy", "sell")
TIMES_IN_FORCE = ("day", "gtc", "ioc", "fok", "opg", "cls")
INTENTS = ("buy_to_open", "buy_to_close", "sell_to_open", "sell_to_close")
# Alpaca has them; they join with the issues that need them.
LATER_TYPES = ("stop", "stop_limit", "trailing_stop")
MAX_CLIENT_ORDER_ID = 128
MAX_QTY_DECIMALS = 9

_OPTION = re.compile(r"[A-Z]{1,6}\d{6}[CP]\d{8}", re.ASCII)


class OrderRequest(NamedTuple):
    """A readable order request; exactly one of `qty` and `notional` is set."""

    symbol: str
    side: Side
    type: OrderType
    time_in_force: TimeInForce
    qty: Decimal | None
    notional: Decimal | None
    limit_price: Decimal | None
    extended_hours: bool
    client_order_id: str | None
    position_intent: Intent | None
    order_class: str

    @property
    def is_fractional(self) -> bool:
        """Whether the order is for dollars or for a part of a share."""
        return self.qty is None or self.qty != self.qty.to_integral_value()


def read_order_request(body: object) -> OrderRequest:
    """Read the parsed JSON body of a submit.

    Raises:
        RefusedError: 400 where a field cannot be read, 422 where its value is not allowed.
    """
    if not isinstance(body, dict):
        raise malformed_body()
    fields = cast(dict[str, Any], body)
    intent = _intent(fields)
    request = OrderRequest(
        symbol=_symbol(fields),
        side=_side(fields, intent),
        type=_type(fields),
        time_in_force=_time_in_force(fields),
        qty=_amount(fields, "qty"),
        notional=_amount(fields, "notional"),
        limit_price=_amount(fields, "limit_price"),
        extended_hours=_flag(fields, "extended_hours"),
        client_order_id=_client_order_id(fields),
        position_intent=intent,
        order_class=_order_class(fields),
    )
    _check_size(request)
    _check_price(request, has_stop=_amount(fields, "stop_price") is not None)
    _check_combination(request)
    return request


def _word(fields: dict[str, Any], name: str) -> str | None:
    value = fields.get(name)
    if value is None or isinstance(value, str):
        return value or None
    raise malformed_body()


def _amount(fields: dict[str, Any], name: str) -> Decimal | None:
    try:
        return read_amount(fields.get(name))
    except ValueError as error:
        raise malformed_body() from error


def _flag(fields: dict[str, Any], name: str) -> bool:
    value = fields.get(name)
    if value is None or isinstance(value, bool):
        return bool(value)
    raise malformed_body()


def _symbol(fields: dict[str, Any]) -> str:
    symbol = _word(fields, "symbol")
    if symbol is None:
        raise invalid("symbol is required")
    if _OPTION.fullmatch(symbol):
        raise unprocessable("sandbox: option orders are not supported yet")
    return symbol


def _intent(fields: dict[str, Any]) -> Intent | None:
    word = _word(fields, "position_intent")
    if word is not None and word not in INTENTS:
        raise invalid("invalid position_intent")
    return cast(Intent | None, word)


def _side(fields: dict[str, Any], intent: Intent | None) -> Side:
    side = _word(fields, "side") or (intent and intent.partition("_")[0])
    if side not in SIDES:
        raise invalid("invalid side")
    return cast(Side, side)


def _type(fields: dict[str, Any]) -> OrderType:
    word = _word(fields, "type")
    if word in LATER_TYPES:
        raise unprocessable(f"sandbox: {word} orders are not supported yet")
    if word not in ("market", "limit"):
        raise invalid("invalid order type")
    return cast(OrderType, word)


def _time_in_force(fields: dict[str, Any]) -> TimeInForce:
    word = _word(fields, "time_in_force")
    if word not in TIMES_IN_FORCE:
        raise invalid("invalid time_in_force")
    return cast(TimeInForce, word)


def _client_order_id(fields: dict[str, Any]) -> str | None:
    word = _word(fields, "client_order_id")
    if word is not None and len(word) > MAX_CLIENT_ORDER_ID:
        raise invalid("client_order_id must be no more than 128 characters")
    return word


def _order_class(fields: dict[str, Any]) -> str:
    word = _word(fields, "order_class") or ""
    if word not in ("", "simple"):
        raise unprocessable(f"sandbox: {word} orders are not supported yet")
    return word


def _check_size(request: OrderRequest) -> None:
    if request.qty is None and request.notional is None:
        raise invalid("qty or notional is required")
    if request.qty is not None and request.notional is not None:
        raise invalid("only one of qty or notional is accepted")
    name, size = ("qty", request.qty) if request.qty is not None else ("notional", request.notional)
    if size is not None and size <= 0:
        raise invalid(f"{name} must be > 0")
    if size is not None and decimals(size) > MAX_QTY_DECIMALS:
        raise invalid(f"{name} must have no more than {MAX_QTY_DECIMALS} decimals")


def _check_price(request: OrderRequest, *, has_stop: bool) -> None:
    price = request.limit_price
    if request.type == "market":
        if price is not None or has_stop:
            raise invalid("market orders require no stop or limit price")
        return
    if has_stop:
        raise invalid("limit orders require no stop price")
    if price is None:
        raise invalid("limit orders require a limit price")
    if price <= 0:
        raise invalid("limit price must be > 0")
    # SEC Rule 612: whole cents from a dollar upwards, a hundredth of a cent below.
    if decimals(price) > (2 if price >= 1 else 4):
        raise _sub_penny(price)


def _sub_penny(price: Decimal) -> RefusedError:
    return unprocessable(
        f"invalid limit_price {text(price)}. "
        "sub-penny increment does not fulfill minimum pricing criteria"
    )


def _check_combination(request: OrderRequest) -> None:
    if request.is_fractional and request.time_in_force != "day":
        raise unprocessable("fractional orders must be DAY orders")
    if not request.extended_hours:
        return
    if request.type != "limit" or request.time_in_force not in ("day", "gtc"):
        raise unprocessable("extended hours order must be DAY or GTC limit orders")
