"""What a query may say: one check a parameter, and all that is wrong told at once."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from opitios.core.errors import FieldError, Problem, Reason

Query = Mapping[str, str]
Check = Callable[[str, str], FieldError | None]
Rule = Callable[[Query], FieldError | None]

_DAY_OR_TIME = re.compile(
    r"\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:\d\d))?", re.ASCII
)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_EPOCH = re.compile(r"[0-9]{1,11}")
_DECIMAL = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,6})?")


def one_of(*allowed: str) -> Check:
    """One of a closed list of words."""

    def check(name: str, value: str) -> FieldError | None:
        if value in allowed:
            return None
        return FieldError(name, "not-allowed", f"{name} is {' or '.join(allowed)}.", allowed)

    return check


def like(shape: "re.Pattern[str]", reason: str, message: str) -> Check:
    """A text of this shape."""

    def check(name: str, value: str) -> FieldError | None:
        return None if shape.fullmatch(value) else FieldError(name, reason, message)

    return check


def count_to(most: int) -> Check:
    """A whole number from 1 to `most`."""

    def check(name: str, value: str) -> FieldError | None:
        if re.fullmatch(r"[1-9][0-9]{0,4}", value) and int(value) <= most:
            return None
        return FieldError(name, "out-of-range", f"{name} is a number from 1 to {most}.")

    return check


def amount(name: str, value: str) -> FieldError | None:
    """A plain decimal number, not negative."""
    if _DECIMAL.fullmatch(value):
        return None
    return FieldError(name, "not-a-decimal", f"{name} is a number such as 187.50.")


def day(name: str, value: str) -> FieldError | None:
    """A calendar day."""
    if _DAY.fullmatch(value) and instant_of(value) is not None:
        return None
    return FieldError(name, "not-a-day", f"{name} is a day such as 2026-11-20.")


def day_or_time(name: str, value: str) -> FieldError | None:
    """A calendar day or an instant with its offset."""
    if _DAY_OR_TIME.fullmatch(value) and instant_of(value) is not None:
        return None
    message = f"{name} is a day or an instant, such as 2026-11-20 or 2026-11-20T14:30:00Z."
    return FieldError(name, "not-a-time", message)


def point(name: str, value: str) -> FieldError | None:
    """A calendar day, an instant with its offset, or epoch seconds."""
    return None if _EPOCH.fullmatch(value) else day_or_time(name, value)


def unspoiled(query: Query) -> dict[str, str]:
    """The parameters, a plus sign that was not escaped (it arrives as a space) mended."""
    return {name: value.replace(" ", "+") for name, value in query.items()}


def judge(given: Query, checks: Mapping[str, Check], rules: Sequence[Rule] = ()) -> None:
    """Judge each value, then what they say together. Raises Problem 422."""
    found = [checks[name](name, value) for name, value in sorted(given.items())]
    errors = [error for error in found if error is not None]
    if not errors:
        errors = [error for error in (rule(given) for rule in rules) if error is not None]
    if errors:
        detail = "; ".join(f"{error.field}: {error.message}" for error in errors[:3])
        raise Problem(Reason.INVALID_PARAMETER, detail, errors=errors)


def instant_of(text: str) -> datetime | None:
    """Read a day (midnight UTC), an instant with an offset, or epoch seconds; None: neither."""
    try:
        if _EPOCH.fullmatch(text):
            return datetime.fromtimestamp(int(text), UTC)
        found = datetime.fromisoformat(text) if _DAY_OR_TIME.fullmatch(text) else None
        return None if found is None else found.replace(tzinfo=found.tzinfo or UTC)
    except (ValueError, OverflowError, OSError):
        return None
