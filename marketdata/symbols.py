"""What a symbol looks like: refused here with a sentence, never sent on."""

import re
from collections.abc import Callable, Sequence
from datetime import date
from functools import lru_cache

from opitios.core.errors import FieldError, Problem, Reason
from opitios.core.http import bad_parameter

# design: R19, a batch of quotes names so many symbols at the most.
MOST_SYMBOLS = 100

# Alpaca's stock symbols: letters, and a class, unit or warrant after a dot.
_STOCK = re.compile(r"[A-Z]{1,6}(\.[A-Z]{1,3})?")
_STOCK_RULE = (
    "A stock symbol is 1–6 capital letters, with 1–3 more after a dot where it has them, "
    "such as AAPL or BRK.B."
)
# OCC: root (a digit after it where a split adjusted the contract), day, call or put, strike.
_OPTION = re.compile(r"[A-Z]{1,6}[0-9]?([0-9]{6})[CP][0-9]{8}")
_OPTION_RULE = (
    "An option's symbol is its root, the day of expiry as YYMMDD, C or P, and the strike in "
    "thousandths with eight digits, such as AAPL261218C00190000."
)

Check = Callable[[str], str]


def stock_symbol(text: str) -> str:
    """Read a stock's symbol. Raises Problem 400 saying what one looks like."""
    if not _STOCK.fullmatch(text):
        raise bad_parameter("symbol", "not-a-symbol", _STOCK_RULE)
    return text


def option_symbol(text: str) -> str:
    """Read a contract's OCC symbol. Raises Problem 400 saying what one looks like."""
    if expiry_of(text) is None:
        raise bad_parameter("symbol", "not-a-symbol", _OPTION_RULE)
    return text


def asset_name(text: str) -> str:
    """Read a symbol, an id or a CUSIP of an asset. Raises Problem 400."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9./-]{0,35}", text) or ".." in text:
        raise bad_parameter("symbol", "not-a-symbol", "An asset has a symbol, an id or a CUSIP.")
    return text


def several(text: str | None, check: Check, *, most: int = MOST_SYMBOLS) -> list[str]:
    """Read a list of symbols with commas, each once.

    Raises Problem 400: none, too many, or which of them are no symbols.
    """
    return list(_read_list(text or "", check, most))


# Programs ask for the same list again and again.
@lru_cache(maxsize=256)
def _read_list(text: str, check: Check, most: int) -> Sequence[str]:
    symbols = tuple(dict.fromkeys(text.split(",")))
    if not any(symbols):
        raise bad_parameter("symbols", "missing", "Name symbols, such as symbols=AAPL,MSFT.")
    if len(symbols) > most:
        message = f"Name at most {most} symbols; these are {len(symbols)}."
        raise bad_parameter("symbols", "too-many", message)
    errors = [error for place, each in enumerate(symbols) for error in _faults(place, each, check)]
    if errors:
        raise Problem(Reason.BAD_PARAMETER, errors[0].message, errors=errors)
    return symbols


def _faults(place: int, symbol: str, check: Check) -> Sequence[FieldError]:
    try:
        check(symbol)
    except Problem as problem:
        (error,) = problem.errors
        return [FieldError(f"symbols[{place}]", error.reason, error.message)]
    return []


def expiry_of(text: str) -> date | None:
    """Read the day a contract expires on out of its OCC symbol; None where it is no such symbol."""
    match = _OPTION.fullmatch(text)
    if match is None:
        return None
    digits = match[1]
    try:
        return date(2000 + int(digits[:2]), int(digits[2:4]), int(digits[4:]))
    except ValueError:
        return None
