"""JSON from a client is read strictly, in linear time, and no digit of it is lost (P19, H061)."""

import json
import time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opitios.core import jsontext
from opitios.core.jsontext import MAX_DEPTH, MAX_KEYS, Number, Unreadable, read_object

# Everything JSON can say, but for numbers, which come back as text.
values = st.recursive(
    st.none() | st.booleans() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab[]{}\"\\", max_size=3),
                                                               inner, max_size=3),
    max_leaves=15,
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.text('key[{"\\', max_size=4), values, max_size=4), st.booleans())
def test_what_json_can_say_is_read_as_it_was_said(value: dict[str, Any], ascii_: bool) -> None:
    raw = json.dumps(value, ensure_ascii=ascii_).encode()

    assert read_object(raw) == value


@pytest.mark.parametrize("text", ["5", "-0", "187.250", "1e400", "0.10", "9" * 5000])
def test_a_number_is_the_text_the_client_wrote(text: str) -> None:
    number = read_object(b'{"n":%s}' % text.encode())["n"]

    assert isinstance(number, Number)
    assert number == text


@pytest.mark.parametrize("depth", [MAX_DEPTH - 1, MAX_DEPTH])
def test_so_deep_may_a_body_nest_and_no_deeper(depth: int) -> None:
    inner = b'"]}[{"'

    assert read_object(b'{"a":' + b"[" * (depth - 1) + inner + b"]" * (depth - 1) + b"}")
    with pytest.raises(Unreadable, match="nested"):
        read_object(b'{"a":' + b"[" * MAX_DEPTH + inner + b"]" * MAX_DEPTH + b"}")


def test_brackets_within_texts_nest_nothing() -> None:
    body = {"a": "[" * 5000, "b": '{"' * 5000, "c\\": "\\" * 99 + "[" * 99}

    assert read_object(json.dumps(body).encode()) == body


def test_an_object_has_so_many_keys_and_no_more() -> None:
    keys = [f"k{n}" for n in range(MAX_KEYS + 1)]

    assert len(read_object(json.dumps(dict.fromkeys(keys[1:])).encode())) == MAX_KEYS
    with pytest.raises(Unreadable, match="more than"):
        read_object(json.dumps(dict.fromkeys(keys)).encode())


@pytest.mark.parametrize(
    "unit", [b'\\"', b'"', b"\\", b'"\\', b'""', b'"a":"', b"{", b"[{", b'{"":'], ids=repr
)
def test_64_kib_of_anything_take_no_time(unit: bytes) -> None:
    # Twenty-one brackets make the scan of depth run; each unit is chosen to make it run long.
    raws = [b"[" * 21 + start + unit * (65_000 // len(unit)) for start in (b"", b'"')]
    began = time.process_time()

    for raw in raws:
        with pytest.raises(Unreadable):
            read_object(raw)

    assert time.process_time() - began < 0.5


@pytest.mark.parametrize("raw", [b'{"\\ud800":1}', b'{"a":"\\udfff"}', b'{"a":[{"b":"x\\ud83d"}]}'])
def test_half_a_surrogate_pair_is_refused_and_a_whole_one_is_read(raw: bytes) -> None:
    with pytest.raises(Unreadable, match="surrogate"):
        read_object(raw)
    assert read_object(b'{"a":"\\ud83c\\udf4e"}') == {"a": "🍎"}


def test_the_key_that_stands_twice_is_named_in_plain_text() -> None:
    with pytest.raises(Unreadable) as caught:
        read_object(b'{"a":{"\\u0007\\ud800":1,"\\u0007\\ud800":2}}')

    assert str(caught.value).isascii()


def test_the_same_value_is_the_same_canonical_text() -> None:
    one = jsontext.canonical({"b": 1, "a": {"z": Decimal("187.20"), "y": None}})

    assert one == jsontext.canonical({"a": {"y": None, "z": Decimal("187.20")}, "b": 1})
    assert one == '{"a":{"y":null,"z":"187.20"},"b":1}'


def test_a_decimal_is_written_as_text_and_nothing_else_odd_is_written() -> None:
    assert jsontext.dumps([Decimal("1E+999999999"), Decimal("0.10")]) == (
        b'["1E+999999999","0.10"]'
    )
    with pytest.raises(TypeError):
        jsontext.dumps(object())
