"""What a client asks for: the body of POST /v2/orders, read and checked by itself.

Checks that need the books (uniqueness, positions, buying power) are in `acceptance`.
"""

import re
from decimal import Decimal
from typing import Any, NamedTuple, cast, get_args

from sandbox.amounts import decimals, read_amount, text
from sandbox.orders import STOP_TYPES, Intent, OrderType, Side, TimeInForce
from sandbox.refusals import invalid, malformed_body, unprocessable

SIDES = ("buy", "sell")
TIMES_IN_FORCE = ("day", "gtc", "ioc", "fok", "opg", "cls")
INTENTS = ("buy_to_open", "buy_to_close", "sell_to_open", "sell_to_close")
MAX_CLIENT_ORDER_ID = 128
MAX_QTY_DECIMALS = 9
LEAST_TRAIL_PERCENT = Decimal("0.1")

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
    stop_price: Decimal | None
    trail_price: Decimal | None
    trail_percent: Decimal | None
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
        stop_price=_amount(fields, "stop_price"),
        trail_price=_amount(fields, "trail_price"),
        trail_percent=_amount(fields, "trail_percent"),
        extended_hours=_flag(fields, "extended_hours"),
        client_order_id=_client_order_id(fields),
        position_intent=intent,
        order_class=_order_class(fields),
    )
    _check_size(request)
    _check_prices(request)
    _check_trail(request)
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
    if word not in get_args(OrderType):
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


class _PriceRule(NamedTuple):
    """Which prices a type of order must and must not have, and what is said otherwise."""

    needs: tuple[str, ...]
    without: str
    refuses: tuple[str, ...]
    given: str


_PRICE_RULES: dict[OrderType, _PriceRule] = {
    "market": _PriceRule(
        (), "", ("limit_price", "stop_price"), "market orders require no stop or limit price"
    ),
    "limit": _PriceRule(
        ("limit_price",),
        "limit orders require a limit price",
        ("stop_price",),
        "limit orders require no stop price",
    ),
    "stop": _PriceRule(
        ("stop_price",),
        "stop orders require a stop price",
        ("limit_price",),
        "stop orders require no limit price",
    ),
    "stop_limit": _PriceRule(
        ("stop_price", "limit_price"),
        "stop limit orders require both stop and limit price",
        (),
        "",
    ),
    "trailing_stop": _PriceRule(
        (),
        "",
        ("limit_price", "stop_price"),
        "trailing stop orders require no stop or limit price",
    ),
}


def _check_prices(request: OrderRequest) -> None:
    rule = _PRICE_RULES[request.type]
    if any(getattr(request, name) is not None for name in rule.refuses):
        raise invalid(rule.given)
    if any(getattr(request, name) is None for name in rule.needs):
        raise invalid(rule.without)
    for name in rule.needs:
        _check_increment(name, getattr(request, name))


def _check_increment(name: str, price: Decimal) -> None:
    if price <= 0:
        raise invalid(f"{name.replace('_', ' ')} must be > 0")
    # SEC Rule 612: whole cents from a dollar upwards, a hundredth of a cent below.
    if decimals(price) > (2 if price >= 1 else 4):
        raise unprocessable(
            f"invalid {name} {text(price)}. "
            "sub-penny increment does not fulfill minimum pricing criteria"
        )


def _check_trail(request: OrderRequest) -> None:
    given = [
        amount for amount in (request.trail_price, request.trail_percent) if amount is not None
    ]
    if request.type != "trailing_stop":
        if given:
            raise invalid("only trailing stop orders accept trail_price or trail_percent")
        return
    if len(given) != 1:
        raise invalid("trailing stop orders must specify one of trail_price or trail_percent")
    if request.trail_price is not None and request.trail_price <= 0:
        raise invalid("trail_price must be > 0")
    if request.trail_percent is not None and request.trail_percent < LEAST_TRAIL_PERCENT:
        raise invalid(f"trail_percent must be greater than or equal to {LEAST_TRAIL_PERCENT}")


def _check_combination(request: OrderRequest) -> None:
    if request.is_fractional and request.time_in_force != "day":
        raise unprocessable("fractional orders must be DAY orders")
    if request.is_fractional and request.type == "trailing_stop":
        raise unprocessable("fractional orders cannot be trailing stop orders")
    if request.type in STOP_TYPES and request.time_in_force not in ("day", "gtc"):
        raise invalid("invalid time_in_force")
    if not request.extended_hours:
        return
    if request.type != "limit" or request.time_in_force not in ("day", "gtc"):
        raise unprocessable("extended hours order must be DAY or GTC limit orders")
