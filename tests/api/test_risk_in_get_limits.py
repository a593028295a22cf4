"""`GET limits` shows an account's risk limits, and how much of them is used (R17)."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from accounts.tokens import verifier
from opitios.core import clock
from tests.api.calls import Api, read
from tests.support.accounts import open_account
from tests.support.halting import ME
from tests.support.orders import asked, command, place
from trading import limits, orders
from trading.limitrows import next_day

pytestmark = pytest.mark.django_db


def shown(api: Api) -> dict[str, dict[str, Any]]:
    """The rows that are trading's, by name."""
    rows = read(api.get("/api/v1/limits"))["limits"]
    names = {"max-quantity", "max-notional", "duplicate-seconds", "orders-per-minute",
             "orders-per-day", "token-orders-per-day"}  # fmt: skip
    return {row["name"]: row for row in rows if row["name"] in names}


def test_each_limit_is_shown_with_what_is_used_of_it(api: Api) -> None:
    assert shown(api) == {}
    place(api.account)
    limits.change(
        api.account,
        {"max_quantity": Decimal("10.50"), "max_notional": Decimal(5000), "orders_per_day": 5,
         "orders_per_minute": 1, "duplicate_seconds": 3},
        actor=ME, reason="as agreed",
    )  # fmt: skip

    before = shown(api)
    assert place(api.account).denied is not None
    limits.change(api.account, {"orders_per_minute": 9, "duplicate_seconds": None}, actor=ME,
                  reason="more")  # fmt: skip
    place(api.account)
    after = shown(api)

    assert {name: (row["level"], row["value"]) for name, row in before.items()} == {
        "max-quantity": ("order", "10.5"), "max-notional": ("order", "5000"),
        "duplicate-seconds": ("order", 3), "orders-per-minute": ("account", 1),
        "orders-per-day": ("account", 5),
    }  # fmt: skip
    assert {row["account_id"] for row in before.values()} == {api.account}
    day, minute = before["orders-per-day"], before["orders-per-minute"]
    assert (day["used"], day["left"], minute["used"], minute["left"]) == (1, 4, 1, 0)
    assert day["resets_at"] is not None
    assert (after["orders-per-day"]["used"], after["orders-per-minute"]["left"]) == (2, 7)


def test_a_token_s_orders_of_the_day_are_shown(api: Api) -> None:
    account, subject = open_account(), f"bot-{uuid4().hex}"
    now = int(clock.now().timestamp())
    claims = {"sub": subject, "iat": now, "exp": now + 600, "account_id": api.account,
              "permissions": ["trade"], "rate_limits": {"orders_per_day": 3}}  # fmt: skip
    caller = Api(api.account, verifier().sign(claims, fleet=False))
    orders.place_order(command(), account_id=account, environment="sandbox",
                       asked=asked(subject=subject, orders_per_day=3))  # fmt: skip

    row = shown(caller)["token-orders-per-day"]

    assert (row["level"], row["value"], row["used"], row["left"]) == ("token", 3, 1, 2)
    assert caller.place().status_code == 202
    assert caller.place().status_code == 202
    assert read(caller.place())["reason"] == "risk-orders-per-day"


@pytest.mark.parametrize(("now", "then"), [
    (datetime(2026, 11, 20, 14, 30, tzinfo=UTC), datetime(2026, 11, 21, 5, tzinfo=UTC)),
    (datetime(2026, 11, 1, 4, 30, tzinfo=UTC), datetime(2026, 11, 2, 5, tzinfo=UTC)),
    (datetime(2026, 3, 8, 5, 30, tzinfo=UTC), datetime(2026, 3, 9, 4, tzinfo=UTC)),
])  # fmt: skip
def test_a_day_ends_at_new_york_s_midnight_whatever_its_length(
    now: datetime, then: datetime
) -> None:
    assert next_day(now) == then
