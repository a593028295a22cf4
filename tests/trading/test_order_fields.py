"""Bad fields of an order are refused, all at once, each by name (H061 to H090)."""

from decimal import Decimal
from typing import Any

import pytest

from opitios.core import clock, jsontext
from opitios.core.errors import Problem, Reason
from trading.commands import OrderCommand, read_stock_order

GOOD = {"symbol": "AAPL", "side": "buy", "type": "limit", "time_in_force": "day", "qty": "10",
        "limit_price": "187.25"}  # fmt: skip

# What every decimal field refuses; the comment of a line is what another parser makes of it.
NOT_DECIMALS: list[Any] = [
    "NaN", "sNaN", "nan", "Infinity", "-Infinity", "inf", "1_000", "１２", "٣", "Ⅷ", "½",
    "-1", "-0", "+5", "1e400", "1E+999999", "1e-10", "1e5", "0x10", "0b1", "1,000", "1 000", " 5 ",
    "5\n", "\t5", "5\x00", "", ".5", "5.", "..", "1.2.3", "00.5", "012", "1.0000000001", "9" * 13,
    "9" * 19, "9" * 4301, "ten", "null", "$5", "5%", True, False, ["5"], {"qty": "5"}, 5, 5.5,
]  # fmt: skip
NOT_POSITIVE = ["0", "0.0", "0.000000000"]

# Every decimal field, and what the good order must change to take it.
DECIMALS: dict[str, dict[str, Any]] = {
    "qty": {},
    "notional": {"qty": None},
    "limit_price": {},
    "stop_price": {"type": "stop", "limit_price": None},
    "trail_price": {"type": "trailing_stop", "limit_price": None},
    "trail_percent": {"type": "trailing_stop", "limit_price": None},
}


def read(**changed: Any) -> OrderCommand:
    """Read a good order with some fields changed."""
    return read_stock_order(GOOD | changed, clock.now())


def wrong(**changed: Any) -> dict[str, str]:
    """Field and slug of every complaint about an order with some fields changed."""
    with pytest.raises(Problem) as caught:
        read(**changed)
    assert caught.value.reason is Reason.INVALID_ORDER
    assert caught.value.status == 422
    return {error.field: error.reason for error in caught.value.errors}


@pytest.mark.parametrize("field", DECIMALS)
@pytest.mark.parametrize("value", NOT_DECIMALS, ids=lambda value: repr(value)[:20])
def test_what_is_no_plain_decimal_is_refused(field: str, value: Any) -> None:
    assert wrong(**DECIMALS[field], **{field: value}) == {field: "not-a-decimal"}


@pytest.mark.parametrize("field", DECIMALS)
@pytest.mark.parametrize("value", NOT_POSITIVE)
def test_nothing_is_ordered_for_nothing(field: str, value: str) -> None:
    assert wrong(**DECIMALS[field], **{field: value}) == {field: "not-positive"}


@pytest.mark.parametrize("field", DECIMALS)
@pytest.mark.parametrize(
    "value", ["1", "0.000000001", "187.25", "999999999999.999999999", "10.0", "1.10"]
)
def test_a_plain_decimal_is_kept_to_the_last_digit(field: str, value: str) -> None:
    as_number = jsontext.read_object(b'{"it":%s}' % value.encode())["it"]

    for given in (value, as_number):
        command = read(**DECIMALS[field], **{field: given})
        assert getattr(command, field).as_tuple() == Decimal(value).as_tuple()


@pytest.mark.parametrize(
    ("field", "value", "slug"),
    [
        ("side", "BUY", "not-allowed"), ("side", "hold", "not-allowed"),
        ("side", "buy ", "not-allowed"),
        ("side", 1, "not-a-string"), ("side", ["buy"], "not-a-string"),
        ("type", "iceberg", "not-allowed"), ("type", "Limit", "not-allowed"),
        ("type", True, "not-a-string"),
        ("time_in_force", "gtd", "not-allowed"), ("time_in_force", {}, "not-a-string"),
        ("extended_hours", "true", "not-a-boolean"), ("extended_hours", 1, "not-a-boolean"),
        ("order_class", "bracket", "not-allowed"), ("order_class", [], "not-a-string"),
        ("client_order_id", "", "malformed"), ("client_order_id", "a" * 129, "malformed"),
        ("client_order_id", "a b", "malformed"), ("client_order_id", "a/b", "malformed"),
        ("client_order_id", "ключ", "malformed"), ("client_order_id", "a\n", "malformed"),
        ("client_order_id", "op1-mine", "reserved"), ("client_order_id", 7, "not-a-string"),
        ("tags", [], "not-tags"), ("tags", "a=b", "not-tags"), ("tags", {"": "x"}, "not-tags"),
        ("tags", {"a b": "x"}, "not-tags"), ("tags", {"n" * 33: "x"}, "not-tags"),
        ("tags", {"n": "x" * 129}, "not-tags"), ("tags", {"n": "a\x00b"}, "not-tags"),
        ("tags", {"n": "\ud800"}, "not-tags"), ("tags", {"n": "a\r\nb"}, "not-tags"),
        ("tags", {"n": {"deep": "x"}}, "not-a-string"), ("tags", {"n": None}, "not-a-string"),
        ("tags", {f"n{i}": "x" for i in range(11)}, "not-tags"),
        # Mass assignment: what the gateway decides is no field of a request.
        ("id", "019aa0c2-6f1e-7c3a-9b1e-2f5d8c1a7e40", "unknown-field"),
        ("status", "filled", "unknown-field"), ("account_id", "other", "unknown-field"),
        ("__proto__", {}, "unknown-field"), ("filled_qty", "5", "unknown-field"),
        ("is_admin", True, "unknown-field"), ("\ud800", 1, "unknown-field"),
    ],
    ids=lambda value: ascii(value)[:24],
)  # fmt: skip
def test_a_bad_field_is_named_with_its_reason(field: str, value: Any, slug: str) -> None:
    assert wrong(**{field: value}) == {field: slug}


def test_every_wrong_field_is_named_at_once() -> None:
    errors = wrong(qty="NaN", limit_price="-1", symbol="aapl", side="hold", colour="red", tags=[])

    assert errors == {
        "qty": "not-a-decimal",
        "limit_price": "not-a-decimal",
        "symbol": "not-a-symbol",
        "side": "not-allowed",
        "colour": "unknown-field",
        "tags": "not-tags",
    }


def test_every_missing_field_is_named_at_once_and_null_is_missing() -> None:
    with pytest.raises(Problem) as caught:
        read_stock_order({"qty": None, "tags": None}, clock.now())

    errors = {error.field: error.reason for error in caught.value.errors}
    assert errors == dict.fromkeys(("qty", "side", "symbol", "time_in_force", "type"), "required")
    assert read(client_order_id=None, extended_hours=None).client_order_id is None


def test_the_allowed_values_are_told() -> None:
    with pytest.raises(Problem) as caught:
        read(side="hold")

    assert caught.value.errors[0].allowed == ("buy", "sell")


def test_a_complaint_is_answerable_json_whatever_was_sent() -> None:
    with pytest.raises(Problem) as caught:
        read(**{"\u202e": 1, "\x00": 2, "n" * 1000: 3})

    assert jsontext.dumps(caught.value.body("req_1"))
    assert all(len(error.field) <= 64 for error in caught.value.errors)
