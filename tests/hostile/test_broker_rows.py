"""Orders that only the broker can judge: each is sent once and ends as it says (H077 to H088)."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import pytest

from tests.api.calls import Api, new_key, read
from tests.hostile.corpus import MANY, order
from tests.support.orders import entries
from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until
from tests.trading.desks import RunningDesk

pytestmark = pytest.mark.django_db

# Seconds: twenty orders of one account go one after the other.
PATIENCE = 60.0


@pytest.fixture
def sent(there: Api, sandbox: SandboxProcess, desk: RunningDesk) -> "Sent":
    """Orders on their way to that broker, by a desk at work."""
    return Sent(there, sandbox)


class Sent:
    """Orders of one account, followed to their ends."""

    def __init__(self, api: Api, sandbox: SandboxProcess) -> None:
        self.api, self.sandbox = api, sandbox

    def all(self, bodies: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Place each, wait until the broker has said something of all; as the API shows them.

        Each was stored once, arrived once, and has one answer.
        """
        assert len(bodies) >= MANY
        placed = [read(self.api.place(body, key=new_key())) for body in bodies]
        ids = [each["id"] for each in placed]
        until(lambda: all(self._is_answered(each) for each in ids), seconds=PATIENCE)
        told = [read(self.api.get(f"/{each}")) for each in ids]
        for each in told:
            received = self.sandbox.ledger(client_order_id=each["client_order_id"])
            assert [line["method"] for line in received] == ["POST"]
            assert [step["kind"] for step in each["attempts"]] == ["submit"]
        return told

    def rejected(self, bodies: Sequence[dict[str, Any]]) -> set[str]:
        """Place each; all end `rejected` with the broker's words. Which words there were."""
        told = self.all(bodies)
        for each in told:
            assert (each["status"], each["final"]) == ("rejected", True), each
            assert each["problem"]["origin"] == "broker"
            assert each["problem"]["order_id"] == each["id"]
            assert each["filled_qty"] == "0"
            assert each["executions"] == []
            kinds = [step["kind"] for step in entries(self.api.account)
                     if step["order_id"] == each["id"]]  # fmt: skip
            assert kinds == ["order.queued", "order.submitting", "order.rejected"]
        open_there = self.sandbox.trade(self.api.account, "GET", "/v2/orders?status=all").json()
        assert open_there == []
        return {each["problem"]["message"] for each in told}

    def _is_answered(self, order_id: str) -> bool:
        status = read(self.api.get(f"/{order_id}"))["status"]
        assert status not in {"denied", "lapsed", "canceled"}, status
        return status not in {"queued", "submitting", "unknown", "pending_new"}


def test_h077_a_fraction_of_a_share_where_it_may_not_be(sent: Sent) -> None:
    sizes: list[dict[str, Any]] = [{"qty": "0.5"}, {"qty": "1.000000001"}, {"qty": None,
                                   "notional": "50.5"}]  # fmt: skip
    limits: list[dict[str, Any]] = [{"type": "limit", "limit_price": "187.2", "time_in_force": tif}
              for tif in ("gtc", "ioc", "fok", "opg", "cls")]  # fmt: skip
    markets: list[dict[str, Any]] = [{"type": "market", "limit_price": None, "time_in_force": tif}
               for tif in ("gtc", "ioc", "fok")]  # fmt: skip

    words = sent.rejected(
        [order(**size, **kind) for size, kind in product(sizes, limits + markets)]
    )

    assert words == {"fractional orders must be DAY orders"}


def test_h078_a_price_finer_than_its_tick(sent: Sent) -> None:
    prices = ("187.123", "187.001", "1.001", "0.12345", "0.99999", "999999.999", "10.005")
    kinds: list[dict[str, Any]] = [
        {"type": "limit"}, {"type": "stop", "limit_price": None},
        {"type": "stop_limit", "limit_price": "200"},
    ]  # fmt: skip
    names = ("limit_price", "stop_price", "stop_price")

    words = sent.rejected(
        [order(**{**kind, name: price}) for price in prices
         for kind, name in zip(kinds, names, strict=True)]
    )  # fmt: skip

    assert all("sub-penny increment does not fulfill" in each for each in words)


def test_h079_a_stop_on_the_wrong_side_goes_to_the_broker_once(sent: Sent) -> None:
    """Whether it triggers at once or is refused is the broker's say: nothing is guessed here."""
    wrong = [order(qty="1", type="stop", limit_price=None, stop_price=str(price), symbol="AAPL")
             for price in range(100, 120)]  # fmt: skip

    told = sent.all(wrong)

    assert {each["status"] for each in told} <= {"new", "accepted", "filled", "rejected"}


def test_h082_shares_times_price_beyond_any_number(sent: Sent) -> None:
    sizes = ("999999999999", "100000000000", "1000000000.5", "123456789012.123456789", "99999999")
    prices = ("999999999999", "99999999999.99", "1000000", "999999.99")

    words = sent.rejected(
        [order(qty=qty, limit_price=price) for qty, price in product(sizes, prices)]
    )

    assert words == {"insufficient buying power"}


def test_h083_more_than_the_account_has(sent: Sent) -> None:
    power = sent.sandbox.trade(sent.api.account, "GET", "/v2/account").json()["buying_power"]
    more = int(float(power))
    orders = [order(qty=str(more // 187 + 1 + step), limit_price="187.25") for step in range(10)]
    orders += [order(qty=None, notional=str(more + step), type="market", limit_price=None)
               for step in range(1, 11)]  # fmt: skip

    assert sent.rejected(orders) == {"insufficient buying power"}


def test_h084_short_where_nobody_lends(sent: Sent) -> None:
    # GME is not shortable at this broker.
    orders = [
        order(symbol="GME", side="sell", qty=str(n), limit_price="27.6") for n in range(1, 11)
    ]
    orders += [order(symbol="GME", side="sell", qty=str(n), type="market", limit_price=None)
               for n in range(1, 11)]  # fmt: skip

    assert sent.rejected(orders) == {'asset "GME" cannot be sold short'}


def test_h085_market_orders_while_the_market_is_closed_wait_for_it(sent: Sent) -> None:
    """The broker keeps them for the next opening; one that may not wait ends as it says."""
    sent.sandbox.post("market", {"mode": "closed"})
    try:
        told = sent.all([order(type="market", limit_price=None, qty=str(n), time_in_force=tif)
                         for n in range(1, 11) for tif in ("day", "ioc")])  # fmt: skip
    finally:
        sent.sandbox.post("market", {"mode": "always-open"})

    waiting = {each["time_in_force"]: each["status"] for each in told}
    assert waiting["day"] == "accepted"
    assert all(each["filled_qty"] == "0" for each in told)


def test_h088_extended_hours_where_they_may_not_be(sent: Sent) -> None:
    kinds: list[dict[str, Any]] = [
        {"type": "market", "limit_price": None},
        {"type": "stop", "limit_price": None, "stop_price": "200"},
        {"type": "stop_limit", "stop_price": "200"},
        {"type": "trailing_stop", "limit_price": None, "trail_percent": "1.5"},
    ]
    orders = [order(extended_hours=True, time_in_force=tif, side=side, **kind)
              for kind, tif, side in product(kinds, ("day", "gtc"), ("buy", "sell"))]  # fmt: skip
    orders += [order(extended_hours=True, time_in_force=tif, side=side)
               for tif, side in product(("ioc", "fok", "opg", "cls"), ("buy", "sell"))]  # fmt: skip

    assert sent.rejected(orders) == {"extended hours order must be DAY or GTC limit orders"}
