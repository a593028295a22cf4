"""Each type of order has its own prices, and its size in shares or in dollars."""

from decimal import Decimal
from typing import Any

import pytest

from tests.trading.test_order_fields import read, wrong

PRICES = {"limit_price": None, "stop_price": None, "trail_price": None, "trail_percent": None}
# What each type needs, beside the good order's other fields.
NEEDS: dict[str, dict[str, str]] = {
    "market": {},
    "limit": {"limit_price": "187.25"},
    "stop": {"stop_price": "190"},
    "stop_limit": {"stop_price": "190", "limit_price": "191"},
    "trailing_stop": {"trail_percent": "1.5"},
}
TIMES_IN_FORCE = ["day", "gtc", "opg", "cls", "ioc", "fok"]


def of_type(kind: str, **more: Any) -> dict[str, Any]:
    """The fields that make the good order one of this type."""
    return PRICES | NEEDS[kind] | {"type": kind} | more


@pytest.mark.parametrize("kind", NEEDS)
@pytest.mark.parametrize("size", [{"qty": "10"}, {"qty": "0.5"}, {"qty": None, "notional": "50"}])
def test_an_order_of_each_type_is_read(kind: str, size: dict[str, Any]) -> None:
    command = read(**of_type(kind, **size))

    told = {name: getattr(command, name) for name in PRICES if getattr(command, name) is not None}
    assert told == {name: Decimal(text) for name, text in NEEDS[kind].items()}
    assert command.type == kind
    for name in ("qty", "notional"):
        text = size.get(name)
        assert getattr(command, name) == (None if text is None else Decimal(text))


@pytest.mark.parametrize("kind", NEEDS)
@pytest.mark.parametrize("tif", TIMES_IN_FORCE)
@pytest.mark.parametrize("extended_hours", [True, False])
def test_which_combinations_are_taken_is_left_to_the_broker(
    kind: str, tif: str, extended_hours: bool
) -> None:
    command = read(**of_type(kind, time_in_force=tif, extended_hours=extended_hours, qty="0.5"))

    assert (command.time_in_force, command.extended_hours) == (tif, extended_hours)


@pytest.mark.parametrize(
    ("kind", "missing"),
    [
        ("limit", "limit_price"), ("stop", "stop_price"),
        ("stop_limit", "stop_price"), ("stop_limit", "limit_price"),
    ],
)  # fmt: skip
def test_a_type_needs_its_prices(kind: str, missing: str) -> None:
    assert wrong(**of_type(kind, **{missing: None})) == {missing: "required"}


def test_a_stop_limit_order_is_told_of_both_prices_at_once() -> None:
    assert wrong(**PRICES, type="stop_limit") == {
        "limit_price": "required",
        "stop_price": "required",
    }


@pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, name) for kind in NEEDS for name in PRICES
     if name not in NEEDS[kind] and kind != "trailing_stop"]
    + [("trailing_stop", "limit_price"), ("trailing_stop", "stop_price")],
)  # fmt: skip
def test_a_type_takes_no_price_of_another(kind: str, name: str) -> None:
    assert wrong(**of_type(kind, **{name: "1"})) == {name: "not-allowed"}


def test_a_trail_is_dollars_or_per_cent_and_not_both() -> None:
    assert wrong(**PRICES, type="trailing_stop") == {"trail_price": "required"}
    assert wrong(**of_type("trailing_stop", trail_price="2")) == {"trail_percent": "not-allowed"}
    assert read(**PRICES | {"type": "trailing_stop", "trail_price": "2"}).trail_percent is None


def test_a_size_is_shares_or_dollars_and_not_both() -> None:
    assert wrong(qty=None) == {"qty": "required"}
    assert wrong(notional="50") == {"notional": "not-allowed"}
    assert read(qty=None, notional="50").qty is None


def test_prices_are_not_judged_by_a_type_nobody_knows() -> None:
    assert wrong(type="iceberg", stop_price="1") == {"type": "not-allowed"}


def test_a_price_that_is_wrong_is_there_all_the_same() -> None:
    assert wrong(**of_type("stop", stop_price="x")) == {"stop_price": "not-a-decimal"}
    assert wrong(**of_type("trailing_stop", trail_percent="-1")) == {
        "trail_percent": "not-a-decimal"
    }
