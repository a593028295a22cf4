"""One command has one fingerprint, however it was spelled (G5, H159 to H164)."""

import dataclasses
from decimal import Decimal
from typing import Any

import pytest

from opitios.core import clock, jsontext
from trading.commands import OrderCommand, read_stock_order

PLACE = {"method": "POST", "path": "/api/v1/accounts/a/orders/stocks", "subject": "bot-7"}
BODY = (
    b'{"symbol":"AAPL","side":"buy","type":"limit","time_in_force":"day","qty":"10",'
    b'"limit_price":"187.25","extended_hours":false,"client_order_id":"c-1",'
    b'"tags":{"a":"1","b":"2"},"not_after":"2999-11-20T14:31:00Z"}'
)


def fingerprint(raw: bytes, **place: str) -> str:
    """The fingerprint of a body as it came over the wire, whatever its deadline."""
    body = jsontext.read_object(raw)
    now = clock.now().replace(year=2999, month=11, day=20, hour=14, minute=0)
    return read_stock_order(body, now).fingerprint(**PLACE | place)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b'"10"', b"10"), (b'"10"', b'"10.0"'), (b'"10"', b'"10.000000000"'), (b'"10"', b"10.00"),
        (b'"187.25"', b"187.250"), (b",", b" ,\n\t"), (b":00Z", b":00.000000Z"),
        (b"14:31:00Z", b"09:31:00-05:00"), (b'"a":"1","b":"2"', b'"b":"2","a":"1"'),
        (b'"symbol":"AAPL","side":"buy"', b'"side":"buy","symbol":"AAPL"'),
        (b'"AAPL"', b'"\\u0041APL"'), (b'"client', b'"order_class":"simple","client'),
        (b'"extended_hours":false,', b""), (b'"extended_hours":false', b'"extended_hours":null'),
    ],
)  # fmt: skip
def test_spelling_does_not_matter(one: bytes, other: bytes) -> None:
    respelled = BODY.replace(one, other)

    assert respelled != BODY
    assert fingerprint(respelled) == fingerprint(BODY)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b'"AAPL"', b'"MSFT"'), (b'"buy"', b'"sell"'), (b'"day"', b'"gtc"'), (b'"10"', b'"10.1"'),
        (b'"10"', b'"100"'), (b'"10"', b'"1"'), (b'"187.25"', b'"187.250000001"'),
        (b'"limit","time', b'"market","time'), (b'"c-1"', b'"c-2"'), (b'"1"', b'"3"'),
        (b'"client_order_id":"c-1",', b""), (b'"tags":{"a":"1","b":"2"},', b""),
        (b"hours\":false", b"hours\":true"), (b":00Z", b":01Z"),
        (b',"not_after":"2999-11-20T14:31:00Z"', b""), (b'"a":"1"', b'"A":"1"'),
    ],
)  # fmt: skip
def test_every_field_matters(one: bytes, other: bytes) -> None:
    changed = BODY.replace(one, other)
    if b"market" in changed:
        changed = changed.replace(b'"limit_price":"187.25",', b"")

    assert changed != BODY
    assert fingerprint(changed) != fingerprint(BODY)


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(OrderCommand)])
def test_no_field_of_a_command_is_left_out(name: str) -> None:
    command = OrderCommand(symbol="AAPL", side="buy", type="market", time_in_force="day")
    texts = dict.fromkeys(("symbol", "side", "type", "time_in_force", "client_order_id"), "other")
    others = {"extended_hours": True, "tags": {"a": "b"}, "not_after": clock.now(), **texts}

    changed = dataclasses.replace(command, **{name: others.get(name, Decimal(7))})  # type: ignore[arg-type] # by name

    assert changed.fingerprint(**PLACE) != command.fingerprint(**PLACE)


@pytest.mark.parametrize(
    "place", [{"method": "PUT"}, {"path": "/api/v1/accounts/b/orders/stocks"}, {"subject": "bot-8"}]
)
def test_who_asked_and_where_matters(place: dict[str, Any]) -> None:
    assert fingerprint(BODY, **place) != fingerprint(BODY)


def test_large_decimals_do_not_collide_as_doubles_would() -> None:
    one = BODY.replace(b'"10"', b'"999999999999.000000001"')
    other = BODY.replace(b'"10"', b'"999999999999.000000002"')

    assert fingerprint(one) != fingerprint(other)
