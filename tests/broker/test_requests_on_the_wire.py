"""What leaves for the broker, byte by byte."""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from opitios.broker.alpaca.data import AlpacaData
from opitios.broker.alpaca.endpoints import sandbox_endpoint
from opitios.broker.alpaca.session import Session
from opitios.broker.alpaca.transport import Transport
from opitios.broker.guard import Guard
from opitios.broker.port import Credentials
from tests.broker.conftest import KEY_ID, SECRET, BrokerStarter, TradingAt
from tests.broker.loopback import LoopbackBroker, answering, http

ORDER = {
    "symbol": "AAPL",
    "qty": Decimal("1E+2"),
    "limit_price": Decimal("123.10"),
    "notional": None,
}


@pytest.fixture
def broker(broker_that: BrokerStarter) -> LoopbackBroker:
    return broker_that(answering(http(200, {"id": "1"})))


@pytest.fixture
def listing(broker_that: BrokerStarter) -> LoopbackBroker:
    return broker_that(answering(http(200, [])))


def test_decimals_travel_as_plain_strings(broker: LoopbackBroker, trading_at: TradingAt) -> None:
    order = ORDER | {"extended_hours": False, "take_profit": {"limit_price": Decimal("0.00010")}}

    trading_at(broker.origin).submit_order(order)

    assert json.loads(broker.requests[0].body) == {
        "symbol": "AAPL",
        "qty": "100",
        "limit_price": "123.10",
        "extended_hours": False,
        "take_profit": {"limit_price": "0.00010"},
    }


def test_a_float_is_refused_before_anything_is_sent(
    broker: LoopbackBroker, trading_at: TradingAt
) -> None:
    with pytest.raises(TypeError):
        trading_at(broker.origin).submit_order(ORDER | {"qty": 0.1})

    assert broker.requests == []


def test_the_request_carries_keys_and_asks_for_plain_json(
    broker: LoopbackBroker, trading_at: TradingAt
) -> None:
    trading_at(broker.origin).submit_order(ORDER)

    sent = broker.requests[0]
    assert (sent.method, sent.target) == ("POST", "/v2/orders")
    assert sent.headers["host"] == broker.origin.removeprefix("http://")
    assert sent.headers["apca-api-key-id"] == KEY_ID
    assert sent.headers["apca-api-secret-key"] == SECRET
    assert sent.headers["accept-encoding"] == "identity"
    assert sent.headers["content-type"] == "application/json"
    assert "cookie" not in sent.headers


def test_a_cookie_of_one_account_never_reaches_another(
    broker_that: BrokerStarter, trading_at: TradingAt
) -> None:
    broker = broker_that(answering(http(200, {"id": "1"}, Set_Cookie="session=one")))

    trading_at(broker.origin).account()
    trading_at(broker.origin).account()

    assert "cookie" not in broker.requests[1].headers


@pytest.mark.parametrize(
    ("call", "target"),
    [
        (lambda trading: trading.order("a/../b"), "/v2/orders/a%2F..%2Fb"),
        (lambda trading: trading.position("BTC/USD"), "/v2/positions/BTC%2FUSD"),
        (
            lambda trading: trading.order_by_client_id("a b&c=ü\r\nX: y"),
            "/v2/orders:by_client_order_id?client_order_id=a%20b%26c%3D%C3%BC%0D%0AX:%20y",
        ),
        (lambda trading: trading.account(), "/v2/account"),
        (lambda trading: trading.clock(), "/v2/clock"),
    ],
)
def test_ids_and_symbols_cannot_change_the_path(
    broker: LoopbackBroker, trading_at: TradingAt, call: Callable[..., Any], target: str
) -> None:
    call(trading_at(broker.origin))

    assert broker.requests[0].target == target


@pytest.mark.parametrize("odd", ["", ".", ".."])
def test_an_id_that_is_no_name_is_refused_before_anything_is_sent(
    broker: LoopbackBroker, trading_at: TradingAt, odd: str
) -> None:
    with pytest.raises(ValueError, match="cannot be empty or dots"):
        trading_at(broker.origin).order(odd)

    assert broker.requests == []


def test_filters_are_written_as_the_broker_reads_them(
    listing: LoopbackBroker, trading_at: TradingAt
) -> None:
    trading_at(listing.origin).orders(
        status="all", limit=500, nested=True, symbols=["AAPL", "BRK.B"], until=None
    )

    assert listing.requests[0].target == (
        "/v2/orders?status=all&limit=500&nested=true&symbols=AAPL,BRK.B"
    )


def test_a_cancel_is_a_delete_without_a_body(
    broker_that: BrokerStarter, trading_at: TradingAt
) -> None:
    broker = broker_that(answering(http(204)))

    answer = trading_at(broker.origin).cancel_order("61e69015")

    assert (answer.http_status, answer.body) == (204, None)
    assert (broker.requests[0].method, broker.requests[0].target) == (
        "DELETE",
        "/v2/orders/61e69015",
    )
    assert broker.requests[0].body == b""


def test_alpacas_own_retries_are_off(trading_at: TradingAt) -> None:
    assert trading_at("http://127.0.0.1:9")._client._retry == 0


@pytest.mark.parametrize("feed", [None, "iex"])
def test_quotes_are_read_as_numbers(
    broker_that: BrokerStarter,
    credentials: Credentials,
    transport: Transport,
    guard: Guard,
    feed: str | None,
) -> None:
    broker = broker_that(answering(http(200, b'{"quotes":{"AAPL":{"ap":190.1,"bp":190}}}')))
    data = AlpacaData(
        credentials=credentials,
        endpoint=sandbox_endpoint(broker.origin),
        transport=transport,
        guard=guard,
    )

    answer = data.latest_quotes(["AAPL", "MSFT"], feed)

    asked = "" if feed is None else "&feed=iex"
    assert broker.requests[0].target == f"/v2/stocks/quotes/latest?symbols=AAPL,MSFT{asked}"
    assert answer.body == {"quotes": {"AAPL": {"ap": 190.1, "bp": 190}}}
    assert isinstance(answer.body["quotes"]["AAPL"]["ap"], float)


@pytest.mark.parametrize("path", ["http://evil.example/v2/account", "{origin}.evil/v2/account"])
def test_keys_never_leave_for_another_origin(
    broker: LoopbackBroker, transport: Transport, guard: Guard, path: str
) -> None:
    session = Session(transport=transport, guard=guard, origin=broker.origin, api="trading")

    with pytest.raises(ValueError, match=r"another origin|characters"):
        session.request("GET", path.format(origin=broker.origin), headers={"APCA": SECRET})

    assert broker.requests == []


def test_the_account_s_other_reads_have_alpaca_s_paths_and_names(
    broker: LoopbackBroker, listing: LoopbackBroker, trading_at: TradingAt
) -> None:
    trading_at(broker.origin).configurations()
    trading_at(broker.origin).portfolio_history(
        period="1M", end="2026-11-20T14:30:00+01:00", cashflow_types="CSD,CSW"
    )
    after = {"page_token": "20220203000000000::045b"}
    trading_at(listing.origin).activities(activity_types="FILL,DIV", page_size="50", **after)

    assert [request.target for request in (*broker.requests, *listing.requests)] == [
        "/v2/account/configurations",
        "/v2/account/portfolio/history?period=1M&end=2026-11-20T14:30:00%2B01:00"
        "&cashflow_types=CSD,CSW",
        "/v2/account/activities?activity_types=FILL,DIV&page_size=50"
        "&page_token=20220203000000000::045b",
    ]
