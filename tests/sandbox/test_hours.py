"""When the sandbox trades, and when orders end."""

from datetime import UTC, datetime

import pytest

from sandbox.hours import Hours, Mode
from sandbox.instants import from_datetime, rfc3339
from sandbox.orders import TimeInForce
from sandbox.refusals import RefusedError


def utc(text: str) -> int:
    return from_datetime(datetime.fromisoformat(text).replace(tzinfo=UTC))


SATURDAY, FRIDAY_NOON = utc("2026-11-21T17:00:00"), utc("2026-11-20T17:00:00")


@pytest.mark.parametrize(
    ("mode", "at", "is_open"),
    [
        ("always-open", SATURDAY, True),
        ("real", SATURDAY, False),
        ("real", FRIDAY_NOON, True),
        ("closed", FRIDAY_NOON, False),
    ],
)
def test_the_mode_says_when_the_market_is_open(mode: Mode, at: int, is_open: bool) -> None:
    hours = Hours(mode)

    assert hours.is_open(at) is is_open
    assert hours.render_clock(at)["is_open"] is is_open


@pytest.mark.parametrize(
    ("tif", "at", "ends"),
    [
        ("day", "2026-11-20T17:00:00", "2026-11-20T21:00:00.000000000Z"),
        ("day", "2026-11-20T21:00:00", "2026-11-23T21:00:00.000000000Z"),
        ("ioc", "2026-11-27T16:00:00", "2026-11-27T18:00:00.000000000Z"),
        # Ninety days on, at 16:15 in New York: here across the change to daylight saving.
        ("gtc", "2026-01-05T17:00:00", "2026-04-05T20:15:00.000000000Z"),
    ],
)
def test_when_an_order_ends(tif: TimeInForce, at: str, ends: str) -> None:
    assert rfc3339(Hours("always-open").expiry(tif, utc(at))) == ends


AUCTIONS = [
    ("opg", "2026-11-20T14:27:59", False),  # 09:27:59 in New York
    ("opg", "2026-11-20T14:28:00", True),
    ("opg", "2026-11-20T23:59:59", True),
    ("opg", "2026-11-21T00:00:00", False),  # 19:00
    ("cls", "2026-11-20T20:49:59", False),
    ("cls", "2026-11-20T20:50:00", True),  # 15:50
    ("day", "2026-11-20T20:50:00", False),
]


@pytest.mark.parametrize(("tif", "at", "refused"), AUCTIONS)
def test_an_auction_order_can_be_too_late(tif: TimeInForce, at: str, refused: bool) -> None:
    hours = Hours("real")

    if not refused:
        hours.check_auction(tif, utc(at))
        return
    with pytest.raises(RefusedError, match=f"{tif} orders cannot be submitted between") as late:
        hours.check_auction(tif, utc(at))
    assert (late.value.status, late.value.code) == (403, 40310000)


@pytest.mark.parametrize("tif", ["opg", "cls"])
def test_a_market_always_open_has_no_auctions_to_miss(tif: TimeInForce) -> None:
    Hours("always-open").check_auction(tif, utc("2026-11-20T20:55:00"))


def test_the_clock_has_nanoseconds_and_new_yorks_offset() -> None:
    clock = Hours("real").render_clock(FRIDAY_NOON + 123)

    assert clock["timestamp"] == "2026-11-20T12:00:00.000000123-05:00"
