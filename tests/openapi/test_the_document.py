"""`/api/schema`: for everybody, whole, and the one that is committed."""

import json

import pytest
from django.test import Client
from jsonschema import ValidationError  # type: ignore[import-untyped] # it has no stubs here

from opitios import urls
from opitios.core import clock, jsontext
from opitios.core.errors import Problem
from tests.openapi.document import SCHEMA, Document
from tests.support.committed import committed
from trading import commands

pytestmark = pytest.mark.django_db

TRAILS = {"type": "trailing_stop", "trail_price": "2", "trail_percent": "1"}


def test_the_document_needs_no_token() -> None:
    response = Client().get(SCHEMA)

    assert response.status_code == 200
    assert response.json()["openapi"].startswith("3.1")


def test_every_path_of_the_api_is_told_and_the_account_is_account_id() -> None:
    told = set(Document().told["paths"])

    assert len(told) >= len(urls.api)
    assert {"/health/live", "/health/ready", "/api/v1/health", "/api/v1/pool"} <= told
    under_accounts = {path for path in told if path.startswith("/api/v1/accounts/")}
    # The one that is about all of them.
    under_accounts.remove("/api/v1/accounts/reload")
    assert under_accounts
    assert all(path.startswith("/api/v1/accounts/{account_id}/") for path in under_accounts)


def test_every_operation_under_the_api_takes_a_token() -> None:
    document = Document()

    for name, told in document.operations().items():
        bare = name in {"readAbout", "readAlive", "readReady"}
        assert ({"bearer": []} in told["security"]) is not bare, name
    assert document.told["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"


def test_no_operation_tells_what_is_meant_for_who_reads_the_code() -> None:
    assert not [name for name, told in Document().operations().items() if "description" in told]


def test_a_request_may_hold_what_the_commands_read_and_nothing_else() -> None:
    schemas = Document().told["components"]["schemas"]

    names = [each["$ref"].rpartition("/")[2] for each in schemas["StockOrderRequest"]["oneOf"]]
    assert len(names) == len(commands.TYPES)
    for name in names:
        assert schemas[name]["properties"].keys() == commands.FIELDS.keys()
        assert schemas[name]["additionalProperties"] is False
        assert set(schemas[name]["required"]) >= commands.REQUIRED


@pytest.mark.parametrize(
    ("body", "fits"),
    [
        ({}, True),
        ({"qty": 10, "tags": None, "extended_hours": None, "client_order_id": "c-1"}, True),
        ({"type": "market", "limit_price": None}, True),
        ({"limit_price": None}, False),
        ({"type": "market"}, False),
        ({"qty": "1e3"}, False),
        ({"qty": -1}, False),
        ({"symbol": "aapl"}, False),
        ({"client_order_id": "op1-x"}, False),
        ({"tags": {"a b": "x"}}, False),
        ({"stop_price": "1"}, False),
        ({"stop_price": None, "notional": None}, True),
        ({"qty": None, "notional": "50.5"}, True),
        ({"qty": None}, False),
        ({"notional": "50"}, False),
        ({"type": "stop", "stop_price": "190", "limit_price": None}, True),
        ({"type": "stop", "stop_price": "190"}, False),
        ({"type": "stop_limit", "stop_price": 190}, True),
        ({"type": "stop_limit"}, False),
        ({"type": "trailing_stop", "trail_price": "2", "limit_price": None}, True),
        ({"type": "trailing_stop", "trail_percent": 1.5, "limit_price": None}, True),
        ({"type": "trailing_stop", "trail_price": "2"}, False),
        ({"type": "trailing_stop", "limit_price": None}, False),
        ({**TRAILS, "limit_price": None}, False),
        ({**TRAILS, "limit_price": None, "trail_price": None}, True),
        ({"trail_price": "2"}, False),
    ],
)
def test_the_document_and_the_commands_agree_about_a_body(
    body: dict[str, object], fits: bool
) -> None:
    document = Document()
    good = {"symbol": "AAPL", "side": "buy", "type": "limit", "time_in_force": "day", "qty": "10",
            "limit_price": "187.25"}  # fmt: skip
    schema = {"$ref": "#/components/schemas/StockOrderRequest"}

    if fits:
        document.validate(schema, good | body)
        commands.read_stock_order(as_read(good | body), clock.now())
        return
    with pytest.raises(ValidationError):
        document.validate(schema, good | body)
    with pytest.raises(Problem):
        commands.read_stock_order(as_read(good | body), clock.now())


def as_read(body: dict[str, object]) -> dict[str, object]:
    """The body as it comes from the wire, its numbers as text."""
    return jsontext.read_object(json.dumps(body).encode())


def test_the_committed_document_is_the_served_one() -> None:
    assert committed() == Document().told


def test_the_pages_of_the_docs_come_from_here() -> None:
    page = Client().get("/api/docs").content.decode()

    assert "/static/drf_spectacular_sidecar/" in page
    assert "https://" not in page
