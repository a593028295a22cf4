"""How long an order may wait here for being sent: the default of its type, or the client's word."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from opitios.core.errors import Problem
from tests.trading.test_order_fields import GOOD
from trading.commands import OrderCommand, passed_deadline, read_stock_order

NOW = datetime(2026, 11, 20, 14, 30, 0, 120331, tzinfo=UTC)


def read(not_after: Any, **changed: Any) -> OrderCommand:
    """Read an order with this deadline, at a known instant."""
    return read_stock_order(GOOD | changed | {"not_after": not_after}, NOW)


def slug(not_after: Any) -> str:
    """Why a deadline is refused."""
    with pytest.raises(Problem) as caught:
        raise passed_deadline(read(not_after), NOW) or AssertionError("it was taken")
    [error] = caught.value.errors
    assert error.field == "not_after"
    return error.reason


@pytest.mark.parametrize(("type_", "seconds"), [("market", 10), ("limit", 60)])
def test_a_deadline_not_given_is_the_default_of_the_type(type_: str, seconds: int) -> None:
    price = None if type_ == "market" else "5"

    command = read(None, type=type_, limit_price=price)

    assert command.not_after is None
    assert command.deadline(NOW) == NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-11-20T14:31:00Z", "2026-11-20T14:31:00+00:00"),
        ("2026-11-20T09:31:00-05:00", "2026-11-20T14:31:00+00:00"),
        ("2026-11-20T20:01:00+05:30", "2026-11-20T14:31:00+00:00"),
        ("2026-11-20T14:30:00.5Z", "2026-11-20T14:30:00.5+00:00"),
        # More digits than Python keeps are cut, never rounded up.
        ("2026-11-20T14:30:01.999999999Z", "2026-11-20T14:30:01.999999+00:00"),
        ("2026-11-20T14:30:00.120332Z", "2026-11-20T14:30:00.120332+00:00"),
        ("2026-11-21T14:30:00.120331Z", "2026-11-21T14:30:00.120331+00:00"),
    ],
)
def test_a_deadline_is_an_instant_with_an_offset(text: str, instant: str) -> None:
    command = read(text)

    assert command.not_after == command.deadline(NOW) == datetime.fromisoformat(instant)
    assert passed_deadline(command, NOW) is None


@pytest.mark.parametrize(
    "text",
    ["2026-11-20T14:30:00.120331Z", "2026-11-20T14:30:00.120331999Z", "2026-11-20T14:29:59Z",
     "2026-11-21T14:30:00.120332Z", "2026-11-20T14:30:00+01:00", "0001-01-01T00:00:00Z",
     "9999-12-31T23:59:59Z"],
)  # fmt: skip
def test_a_deadline_lies_ahead_and_at_most_a_day(text: str) -> None:
    assert slug(text) == "out-of-range"


@pytest.mark.parametrize(
    "value",
    ["", "now", "2026-11-20", "2026-11-20T14:31:00", "2026-11-20 14:31:00Z", "20261120T143100Z",
     "2026-11-20T14:31Z", "2026-11-20T14:31:00z", "2026-11-20T14:31:00+0100",
     "2026-11-20T14:31:00+1",
     "2026-13-20T14:31:00Z", "2026-02-30T14:31:00Z", "2026-11-20T24:00:01Z", "2026-11-20T14:31:60Z",
     "2026-11-20T14:31:00.Z", "2026-11-20T14:31:00.0000000000Z", "２026-11-20T14:31:00Z",
     "2026-11-20T14:31:00+99:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00",
     "0000-01-01T00:00:00Z", "2026-11-20T14:31:00Z\n", "1795271460"],
)  # fmt: skip
def test_what_is_no_instant_is_refused(value: str) -> None:
    assert slug(value) == "not-a-time"


@pytest.mark.parametrize("value", [1795271460, True, ["2026-11-20T14:31:00Z"], {}])
def test_a_deadline_is_a_text(value: object) -> None:
    assert slug(value) == "not-a-string"
