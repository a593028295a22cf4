"""The check against the published files must itself be able to fail."""

import pytest
from jsonschema import ValidationError  # type: ignore[import-untyped] # it has no stubs here

from tests.support.openapi import DATA, TRADING, check, check_schema

pytestmark = pytest.mark.contract


@pytest.mark.parametrize(
    ("name", "path", "body"),
    [
        (TRADING, "/v2/account", {"id": "not-a-uuid", "status": "ACTIVE"}),
        (TRADING, "/v2/account", {"id": "714f5f6f-4dde-4803-8816-e2731f6d4d22", "status": "GONE"}),
        (TRADING, "/v2/clock", {"is_open": True}),
        (TRADING, "/v2/positions", [{"symbol": "AAPL"}]),
        (DATA, "/v2/stocks/quotes/latest", {"quotes": {"AAPL": {"bp": 1.0}}}),
    ],
)
def test_a_wrong_shape_is_found(name: str, path: str, body: object) -> None:
    with pytest.raises(ValidationError):
        check(name, path, body)


def test_an_order_with_a_number_for_a_price_is_found() -> None:
    order = {"notional": None, "type": "limit", "time_in_force": "day", "limit_price": 1.5}

    with pytest.raises(ValidationError):
        check_schema(TRADING, "Order", order)
