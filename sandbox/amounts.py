"""Quantities, prices and money: Decimal inside, JSON strings without idle zeros outside."""

import re
from decimal import ROUND_DOWN, Decimal

ZERO = Decimal(0)
# The finest share quantity Alpaca keeps (nine decimals).
NANO = Decimal("0.000000001")

# Longer numbers are no order of anybody's; Decimal would take them, and full-width digits too.
_PLAIN = re.compile(r"[+-]?(?:\d{1,15}(?:\.\d{0,18})?|\.\d{1,18})", re.ASCII)


def read_amount(value: object) -> Decimal | None:
    """Read a JSON string or number as a Decimal; None stays None.

    Raises:
        ValueError: not a plain decimal number, or longer than any real amount.
    """
    if value is None:
        return None
    written = _as_written(value)
    if _PLAIN.fullmatch(written) is None:
        raise ValueError(f"not a plain decimal number: {value!r}")
    return Decimal(written)


def _as_written(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return format(Decimal(repr(value)), "f")
    return ""


def text(amount: Decimal) -> str:
    """The amount as Alpaca writes it: `10`, `187.25`, never an exponent or an idle zero."""
    plain = format(amount, "f")
    if "." in plain:
        plain = plain.rstrip("0").rstrip(".")
    return "0" if plain in ("-0", "") else plain


def text_or_none(amount: Decimal | None) -> str | None:
    """The amount's text, or None where the amount is unset."""
    return None if amount is None else text(amount)


def cut(amount: Decimal, step: Decimal) -> Decimal:
    """The amount rounded towards zero to a whole number of steps (a power of ten)."""
    return amount.quantize(step, rounding=ROUND_DOWN)


def decimals(amount: Decimal) -> int:
    """How many decimals the amount really needs: 1.50 needs one."""
    exponent = amount.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0
