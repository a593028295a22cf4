"""JSON at the edges: what clients write is read strictly, what we write is rendered by orjson."""

import json
import re
from collections import Counter
from decimal import Decimal
from functools import lru_cache, partial
from typing import Any, NoReturn

import orjson

# A body deeper or wider than this is an attack, not an order (reliability.md §4, P19).
MAX_DEPTH = 20
MAX_KEYS = 200


class Number(str):
    """A JSON number kept as the text the client wrote, so that no digit is lost in a float."""

    __slots__ = ()


class Unreadable(ValueError):
    """The bytes are not one JSON object, and why."""


def dumps(value: Any) -> bytes:
    """Render compactly; UUIDs and datetimes are written by the caller's own rule, as strings.

    A Decimal is a number with a fraction in something the broker said: it becomes a string.
    """
    return orjson.dumps(value, default=_as_text)


def canonical(value: Any) -> str:
    """Render with sorted keys: the same value is the same text, to be hashed."""
    return orjson.dumps(value, default=_as_text, option=orjson.OPT_SORT_KEYS).decode()


def _as_text(value: Any) -> str:
    if isinstance(value, Decimal):
        # With its exponent: written out, 1e999999999 would fill the memory.
        return str(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def read_object(raw: bytes, *, max_keys: int = MAX_KEYS) -> dict[str, Any]:
    """Read one JSON object strictly; numbers come back as Number, in the client's own digits.

    Raises Unreadable on bad UTF-8 or syntax, half a surrogate pair, a duplicate key, NaN or
    Infinity, more than MAX_DEPTH levels, more than `max_keys` keys in an object, or anything but an
    object.
    """
    _refuse_depth(raw)
    try:
        value = _strict(max_keys).decode(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise Unreadable("the body is not UTF-8") from error
    except json.JSONDecodeError as error:
        raise Unreadable(f"not JSON: {error.msg} at character {error.pos}") from error
    if not isinstance(value, dict):
        raise Unreadable("the body is not a JSON object")
    if b"\\u" in raw:
        _refuse_half_pairs(value)
    return value


def _refuse_half_pairs(value: dict[str, Any]) -> None:
    # `"\ud800"` is JSON and no Unicode: it could be neither stored nor answered.
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise Unreadable("half a surrogate pair is not Unicode") from error


def _refuse_constant(word: str) -> NoReturn:
    raise Unreadable(f"{word} is not JSON")


def _unique(max_keys: int, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > max_keys:
        raise Unreadable(f"more than {max_keys} keys in one object")
    value = dict(pairs)
    if len(value) == len(pairs):
        return value
    twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
    raise Unreadable(f"the key {twice[:64]!r} stands twice")


@lru_cache(maxsize=4)
def _strict(max_keys: int) -> json.JSONDecoder:
    """Make a decoder, once: json.loads would make one for every body."""
    return json.JSONDecoder(
        object_pairs_hook=partial(_unique, max_keys),
        parse_int=Number,
        parse_float=Number,
        parse_constant=_refuse_constant,
    )


# Strings are taken out first: a bracket inside one nests nothing. Possessive, and an open string
# ends with the text: otherwise 64 KiB of `"\"\"\"…` would be scanned once for every quote in it.
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
_BRACKET = re.compile(rb"[\[\]{}]")


def _refuse_depth(raw: bytes) -> None:
    # Few brackets cannot nest deeply: the scan is for the rest.
    if raw.count(b"[") + raw.count(b"{") <= MAX_DEPTH:
        return
    depth = 0
    for bracket in _BRACKET.findall(_STRING.sub(b"", raw)):
        depth += 1 if bracket in b"[{" else -1
        if depth > MAX_DEPTH:
            raise Unreadable(f"nested deeper than {MAX_DEPTH} levels")
