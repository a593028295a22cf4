"""The venue in real hours, its clock set by the test."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sandbox.conditions import Terms
from sandbox.instants import from_datetime
from sandbox.ledger import Ledger
from sandbox.orders import Order
from sandbox.venue import Venue, Visit

OPEN, SHUT = "2026-11-20T17:00:00", "2026-11-20T21:00:00"


class SetClock:
    """A clock that stands where the test put it, and still never answers twice."""

    def __init__(self, text: str) -> None:
        self.set(text)

    def set(self, text: str) -> None:
        self._at = from_datetime(datetime.fromisoformat(text).replace(tzinfo=UTC))

    def now(self) -> int:
        self._at += 1
        return self._at

    def hear_of(self, at: int) -> None:
        """The test's clock does not follow the ledger's."""


class Told:
    """A venue and what it told the stream."""

    def __init__(self, data: Path, at: str) -> None:
        self.words: list[str] = []
        self.ledger = Ledger(data)
        self.venue = Venue(self.ledger, Terms(mode="real"), self._hear)
        self.clock = SetClock(at)
        self.venue.clock = self.clock  # type: ignore[assignment] # the test's own clock
        self.venue.recover()

    def submit(self, **fields: str) -> Order:
        body = {
            "symbol": "AAPL",
            "qty": "1",
            "side": "buy",
            "type": "limit",
            "limit_price": "1.50",
            "time_in_force": "day",
            **fields,
        }
        raw = json.dumps(body).encode()
        return self.venue.place_order(Visit("r", "account_001", "POST", "/v2/orders", raw))

    def _hear(self, account: str, message: bytes) -> None:
        data: dict[str, Any] = json.loads(message)["data"]
        self.words.append(data["event"])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "books"


async def settled(order: Order, status: str) -> None:
    async with asyncio.timeout(5):
        while order.status != status:  # noqa: ASYNC110 - the order has no event to wait for
            await asyncio.sleep(0.001)


async def test_an_order_for_tomorrow_waits_for_the_opening_bell(data: Path) -> None:
    told = Told(data, SHUT)
    order = told.submit(limit_price="999")
    assert order.status == "accepted"

    told.clock.set("2026-11-23T14:30:00")
    told.venue.sweep()

    await settled(order, "filled")
    assert told.words == ["accepted", "new", "fill"]
    told.ledger.close()


async def test_the_closing_bell_ends_day_orders(data: Path) -> None:
    told = Told(data, OPEN)
    day, gtc = told.submit(), told.submit(time_in_force="gtc")
    await settled(day, "new")
    await settled(gtc, "new")

    told.clock.set(SHUT)
    told.venue.sweep()

    assert (day.status, gtc.status) == ("expired", "new")
    assert told.words == ["new", "new", "expired"]
    told.ledger.close()


async def test_a_bell_missed_while_no_process_ran_is_made_up_for(data: Path) -> None:
    told = Told(data, OPEN)
    order = told.submit()
    await settled(order, "new")
    told.ledger.close()

    later = Told(data, "2026-11-23T12:00:00")
    later.venue.sweep()

    assert later.venue.exchange.orders[order.id].status == "expired"
    later.ledger.close()


async def test_an_on_close_order_trades_at_the_bell(data: Path) -> None:
    told = Told(data, OPEN)
    order = told.submit(limit_price="999", time_in_force="cls")
    await settled(order, "new")
    told.venue.sweep()
    assert order.status == "new"

    told.clock.set(SHUT)
    told.venue.sweep()

    assert order.status == "filled"
    told.ledger.close()


async def test_instants_go_on_rising_after_a_ledger_from_a_clock_ahead(data: Path) -> None:
    told = Told(data, "2099-01-05T17:00:00")
    order = told.submit()
    told.ledger.close()

    ledger = Ledger(data)
    venue = Venue(ledger, Terms(), lambda *_: None)
    venue.recover()

    assert venue.clock.now() > order.created_at
    ledger.close()
