"""Lists and pages say what was asked for, whatever the order's type and size."""

from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

pytestmark = pytest.mark.django_db

ASKED: list[tuple[dict[str, Any], str, str]] = [
    ({"type": "market", "qty": None, "notional": Decimal("50.5")}, "USD 50.5", "market"),
    ({"type": "stop", "stop_price": Decimal(190)}, "10", "stop 190"),
    (
        {"type": "stop_limit", "stop_price": Decimal(190), "limit_price": Decimal("190.5")},
        "10",
        "stop_limit 190 / 190.5",
    ),
    ({"type": "trailing_stop", "trail_percent": Decimal("1.50")}, "10", "trailing_stop 1.5%"),
]


@pytest.mark.parametrize(("fields", "size", "kind"), ASKED)
def test_an_order_is_told_by_its_size_and_prices(
    superuser: Client, account: str, fields: dict[str, Any], size: str, kind: str
) -> None:
    from tests.support.orders import place  # noqa: PLC0415

    order = place(account, **{"limit_price": None, **fields})

    listed = superuser.get("/admin/trading/order/", {"q": account}).content.decode()
    page = superuser.get(f"/admin/trading/order/{order.order_id}/change/").content.decode()

    assert kind in listed
    assert size in listed
    assert f"buy {size} AAPL" in page
    assert f"{kind} day" in page
