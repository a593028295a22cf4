"""Reading query parameters: an empty one is as good as none, a wrong one is 422."""

from collections.abc import Callable, Mapping
from datetime import date
from typing import TypeVar

from sandbox.instants import parse_instant
from sandbox.refusals import invalid

Word = TypeVar("Word", bound=str | None)
Value = TypeVar("Value")


def choice(query: Mapping[str, str], name: str, allowed: tuple[Word, ...]) -> Word:
    """The query's value; the first of the allowed where there is none."""
    value = query.get(name)
    if not value:
        return allowed[0]
    for word in allowed:
        if word == value.lower():
            return word
    raise invalid(f"invalid {name}")


def number(query: Mapping[str, str], name: str, otherwise: int, most: int) -> int:
    """A whole number from 1 on."""
    value = query.get(name)
    if not value:
        return otherwise
    if not (value.isascii() and value.isdigit() and 0 < int(value[:6]) <= most):
        raise invalid(f"invalid {name}")
    return int(value)


def instant(query: Mapping[str, str], name: str) -> int | None:
    """A day or an instant, in nanoseconds."""
    return read(query, name, parse_instant)


def day(query: Mapping[str, str], name: str, otherwise: date) -> date:
    """A calendar day."""
    return read(query, name, lambda text: date.fromisoformat(text[:10])) or otherwise


def read(query: Mapping[str, str], name: str, reader: Callable[[str], Value]) -> Value | None:
    """What the reader makes of the value; its ValueError is the caller's 422."""
    value = query.get(name)
    if not value:
        return None
    try:
        return reader(value)
    except ValueError as error:
        raise invalid(f"invalid {name}") from error


def words(value: str | None) -> frozenset[str]:
    """The words of a list with commas."""
    return frozenset(word for word in (value or "").split(",") if word)
