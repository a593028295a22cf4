"""Nanosecond instants and amounts as text."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.amounts import read_amount, text
from sandbox.ids import Ulids
from sandbox.instants import RisingClock, parse_instant, rfc3339


@given(st.integers(min_value=0, max_value=4_000_000_000_000_000_000))
def test_an_instant_survives_its_text(at: int) -> None:
    assert parse_instant(rfc3339(at)) == at


@pytest.mark.parametrize(
    ("written", "same"),
    [
        ("2026-11-20", "2026-11-20T00:00:00.000000000Z"),
        ("2026-11-20T10:00:00-05:00", "2026-11-20T15:00:00.000000000Z"),
        ("2026-11-20T10:00:00.123456+00:00", "2026-11-20T10:00:00.123456000Z"),
        # A plus sign that a query string turned into a blank.
        ("2026-11-20T10:00:00 01:00", "2026-11-20T09:00:00.000000000Z"),
        ("2026-11-20T10:00:00", "2026-11-20T10:00:00.000000000Z"),
    ],
)
def test_how_callers_write_instants(written: str, same: str) -> None:
    assert rfc3339(parse_instant(written)) == same


@pytest.mark.parametrize("wrong", ["", "yesterday", "2026-13-01", "2026-11-20T25:00:00Z", "5"])
def test_what_is_no_instant(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_instant(wrong)


def test_the_clock_never_answers_twice_and_never_goes_back() -> None:
    clock = RisingClock()
    clock.hear_of(clock.now() + 10**15)

    answers = [clock.now() for _ in range(100)]

    assert answers == sorted(set(answers))


def test_ulids_rise_within_and_across_milliseconds() -> None:
    ulids = Ulids()

    made = [ulids.at(at) for at in (10**18, 10**18, 10**18 + 1, 10**18 + 10**6, 10**18 - 10**9)]

    assert made == sorted(set(made))
    assert {len(each) for each in made} == {26}


@pytest.mark.parametrize(
    ("value", "written"),
    [("10.00", "10"), (100, "100"), (1.5, "1.5"), ("-0.0", "0"), (1e-7, "0.0000001"), ("5.", "5")],
)
def test_amounts_lose_idle_zeros(value: object, written: str) -> None:
    amount = read_amount(value)

    assert amount is not None
    assert text(amount) == written


@pytest.mark.parametrize(
    "wrong",
    ["", "x", "1e5", "1_000", "\uff11", "NaN", "Infinity", " 1", "1\n", True, [], 1e300, "9" * 20],
)
def test_what_is_no_amount(wrong: object) -> None:
    with pytest.raises(ValueError, match="not a plain decimal number"):
        read_amount(wrong)


def test_an_absent_amount_stays_absent() -> None:
    assert read_amount(None) is None
    assert text(Decimal("1E+3")) == "1000"
