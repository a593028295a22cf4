"""What a client may ask: bodies to commands, field by field. Pure: values in, values out.

Local rules are only those that are certain; whatever may change at Alpaca is left to Alpaca to
refuse (alpaca-wire.md §6, pitfall 18).
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from opitios.core import clock, jsontext
from opitios.core.errors import FieldError, Problem, Reason
from trading.lifecycle import text_of

# Our own ids begin so; a client's may not (api.md §1).
OWN_PREFIX = "op1-"

# design.md §4: how long an order may wait here for being sent, unless the client says otherwise.
SEND_WITHIN = {"market": timedelta(seconds=10)}
SEND_WITHIN_OTHERS = timedelta(seconds=60)
LONGEST_WAIT = timedelta(hours=24)

SIDES = ("buy", "sell")
TYPES = ("market", "limit", "stop", "stop_limit", "trailing_stop")
PRICES = ("limit_price", "stop_price", "trail_price", "trail_percent")
# Which of them a type must have; of a trail, exactly one.
PRICES_OF: Mapping[str, tuple[str, ...]] = {
    "market": (),
    "limit": ("limit_price",),
    "stop": ("stop_price",),
    "stop_limit": ("stop_price", "limit_price"),
}
TRAILS = ("trail_price", "trail_percent")
TIMES_IN_FORCE = ("day", "gtc", "opg", "cls", "ioc", "fok")

SYMBOL = re.compile(r"[A-Z]{1,6}(\.[A-Z]{1,2})?")
# No sign, no exponent, no grouping, ASCII digits only: 12 before the point, 9 after it.
DECIMAL = re.compile(r"(0|[1-9][0-9]{0,11})(\.[0-9]{1,9})?")
CLIENT_ORDER_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
TAG_NAME = re.compile(r"[A-Za-z0-9_.-]{1,32}")
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)
MAX_TAGS = 10
MAX_TAG_VALUE = 128


class _Wrong(ValueError):
    """One field is wrong: slug, sentence, allowed values."""

    def __init__(self, reason: str, message: str, allowed: tuple[str, ...] | None = None) -> None:
        super().__init__(message)
        self.reason, self.message, self.allowed = reason, message, allowed


@dataclass(frozen=True, slots=True)
class OrderCommand:
    """One stock order as asked, validated. `not_after` None means the default of its type.

    Either `qty` (shares) or `notional` (USD) is set, and the prices of its type (PRICES_OF).
    """

    symbol: str
    side: str
    type: str
    time_in_force: str
    qty: Decimal | None = None
    notional: Decimal | None = None
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    trail_price: Decimal | None = None
    trail_percent: Decimal | None = None
    extended_hours: bool = False
    client_order_id: str | None = None
    tags: Mapping[str, str] | None = None
    not_after: datetime | None = None

    def deadline(self, accepted_at: datetime) -> datetime:
        """The instant after which it is not sent any more."""
        within = SEND_WITHIN.get(self.type, SEND_WITHIN_OTHERS)
        return self.not_after or accepted_at + within

    def fingerprint(self, *, method: str, path: str, subject: str) -> str:
        """SHA-256 over the validated command, so that spelling and key order do not matter."""
        said = {
            "method": method,
            "path": path,
            "subject": subject,
            "symbol": self.symbol,
            "side": self.side,
            "type": self.type,
            "time_in_force": self.time_in_force,
            "qty": text_of(self.qty),
            "notional": text_of(self.notional),
            **{name: text_of(getattr(self, name)) for name in PRICES},
            "extended_hours": self.extended_hours,
            "client_order_id": self.client_order_id,
            "tags": dict(self.tags or {}),
            "not_after": None if self.not_after is None else clock.rfc3339(self.not_after),
        }
        return hashlib.sha256(jsontext.canonical(said).encode()).hexdigest()


def read_stock_order(body: Mapping[str, Any], now: datetime) -> OrderCommand:
    """Read `POST …/orders/stocks`. An explicit null means absent.

    Raises Problem 422 `invalid-order`, naming every wrong field at once.
    """
    given = {name: value for name, value in body.items() if value is not None}
    errors = [
        FieldError(name[:64], "unknown-field", "This field is not known.", tuple(FIELDS))
        for name in given
        if name not in FIELDS
    ]
    values: dict[str, Any] = {}
    errors += [
        FieldError(name, "required", f"{name} is required.") for name in REQUIRED - given.keys()
    ]
    for name in FIELDS.keys() & given.keys():
        try:
            values[name] = FIELDS[name](given[name])
        except _Wrong as wrong:
            errors.append(FieldError(name, wrong.reason, wrong.message, wrong.allowed))
    errors += _together(values, given.keys(), now)
    if errors:
        errors.sort(key=lambda error: error.field)
        detail = "; ".join(f"{error.field}: {error.message}" for error in errors[:3])
        raise Problem(Reason.INVALID_ORDER, detail, errors=errors)
    values.pop("order_class", None)
    return OrderCommand(**values)


def _together(values: Mapping[str, Any], given: Set[str], now: datetime) -> list[FieldError]:
    """Judge fields against each other and against the clock."""
    errors = [*_size_errors(given), *_price_errors(values.get("type"), given)]
    not_after = values.get("not_after")
    if not_after is not None and not_after > now + LONGEST_WAIT:
        errors.append(_OUT_OF_RANGE)
    return errors


_OUT_OF_RANGE = FieldError(
    "not_after", "out-of-range", "not_after must lie ahead, at most 24 hours."
)


def passed_deadline(command: OrderCommand, now: datetime) -> Problem | None:
    """Say that the client's own deadline lies behind; None where it lies ahead or is not given.

    Judged apart from the body: a replay whose deadline has passed meanwhile is none the less one.
    """
    if command.not_after is None or command.not_after > now:
        return None
    detail = f"{_OUT_OF_RANGE.field}: {_OUT_OF_RANGE.message}"
    return Problem(Reason.INVALID_ORDER, detail, errors=[_OUT_OF_RANGE])


def _size_errors(given: Set[str]) -> Iterator[FieldError]:
    if not given & {"qty", "notional"}:
        yield FieldError("qty", "required", "qty or notional is required.")
    elif {"qty", "notional"} <= given:
        yield FieldError("notional", "not-allowed", "An order takes qty or notional, not both.")


def _price_errors(kind: str | None, given: Set[str]) -> Iterator[FieldError]:
    """Judge the prices of a type that is known; which values they may have is the broker's say."""
    if kind is None:
        return
    needed = PRICES_OF.get(kind, ())
    if kind == "trailing_stop":
        needed = tuple(name for name in TRAILS if name in given)[:1]
        if not needed:
            message = "A trailing_stop order needs a trail_price or a trail_percent."
            yield FieldError("trail_price", "required", message)
            return
    for name in needed:
        if name not in given:
            yield FieldError(name, "required", f"A {kind} order needs a {name}.")
    for name in PRICES:
        if name in given and name not in needed:
            yield FieldError(name, "not-allowed", _not_taken(kind, name))


def _not_taken(kind: str, name: str) -> str:
    if kind == "trailing_stop" and name in TRAILS:
        return "A trailing_stop order takes a trail_price or a trail_percent, not both."
    return f"A {kind} order takes no {name}."


def _text(value: Any) -> str:
    if isinstance(value, str) and not isinstance(value, jsontext.Number):
        return value
    raise _Wrong("not-a-string", "This must be a string.")


def _symbol(value: Any) -> str:
    if SYMBOL.fullmatch(text := _text(value)):
        return text
    raise _Wrong("not-a-symbol", "A stock symbol is 1–6 capital letters, such as AAPL or BRK.B.")


def _decimal(value: Any) -> Decimal:
    if not isinstance(value, str) or not DECIMAL.fullmatch(value):
        raise _Wrong(
            "not-a-decimal",
            "This must be a decimal such as 10 or 187.25: ASCII digits, at most 12 before and 9 "
            "after the point, no sign, no exponent.",
        )
    if (number := Decimal(value)) > 0:
        return number
    raise _Wrong("not-positive", "This must be greater than zero.")


def _one_of(*allowed: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if (text := _text(value)) in allowed:
            return text
        raise _Wrong("not-allowed", f"This must be one of {', '.join(allowed)}.", allowed)

    return read


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise _Wrong("not-a-boolean", "This must be true or false.")


def _client_order_id(value: Any) -> str:
    text = _text(value)
    if not CLIENT_ORDER_ID.fullmatch(text):
        raise _Wrong("malformed", "A client_order_id is 1–128 of A-Z a-z 0-9 . _ : -.")
    if text.startswith(OWN_PREFIX):
        raise _Wrong("reserved", f"A client_order_id may not begin with {OWN_PREFIX}.")
    return text


def _tags(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or len(value) > MAX_TAGS:
        raise _Wrong("not-tags", f"tags is an object of at most {MAX_TAGS} names and texts.")
    for name, text in value.items():
        if not TAG_NAME.fullmatch(name):
            raise _Wrong("not-tags", "A tag's name is 1–32 of A-Z a-z 0-9 _ . -.")
        if len(_printable(text)) > MAX_TAG_VALUE:
            raise _Wrong("not-tags", f"A tag's text has at most {MAX_TAG_VALUE} characters.")
    return value


def _printable(value: Any) -> str:
    if (text := _text(value)).isprintable():
        return text
    raise _Wrong("not-tags", "A tag's text has no control characters.")


def _instant(value: Any) -> datetime:
    text = _text(value)
    try:
        if _RFC3339.fullmatch(text):
            # Python reads six digits of a second; more are cut, never rounded up.
            cut = re.sub(r"(\.\d{6})\d+", r"\1", text)
            return datetime.fromisoformat(cut).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise _Wrong("not-a-time", f"This is no instant: {error}.") from error
    raise _Wrong("not-a-time", "This must be RFC 3339 with an offset: 2026-11-20T14:31:00Z.")


FIELDS: Mapping[str, Callable[[Any], Any]] = {
    "symbol": _symbol,
    "side": _one_of(*SIDES),
    "type": _one_of(*TYPES),
    "time_in_force": _one_of(*TIMES_IN_FORCE),
    "qty": _decimal,
    "notional": _decimal,
    **dict.fromkeys(PRICES, _decimal),
    "extended_hours": _boolean,
    "order_class": _one_of("", "simple"),
    "client_order_id": _client_order_id,
    "tags": _tags,
    "not_after": _instant,
}
REQUIRED = frozenset({"symbol", "side", "type", "time_in_force"})
