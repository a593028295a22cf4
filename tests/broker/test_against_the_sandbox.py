"""The whole room against the sandbox, a real process: place, hear the fill, look up, refuse."""

from collections.abc import Iterator
from decimal import Decimal

import pytest

from opitios.broker.alpaca.clients import Clients, clients_for
from opitios.broker.alpaca.endpoints import sandbox_endpoint
from opitios.broker.alpaca.transport import Transport
from opitios.broker.alpaca.wire import TradeUpdate, decode_trade_update
from opitios.broker.errors import AccessDenied, NotFound, Refused
from opitios.broker.guard import Guard
from opitios.broker.port import Credentials
from tests.broker.conftest import Owner, StreamsStarter
from tests.support.sandbox_process import SandboxProcess

pytestmark = pytest.mark.contract

ACCOUNT = "account_001"
KEYS = Credentials(SandboxProcess.key(ACCOUNT), SandboxProcess.secret(ACCOUNT))


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    with SandboxProcess(tmp_path_factory.mktemp("sandbox")) as process:
        yield process


@pytest.fixture
def clients(sandbox: SandboxProcess, guard: Guard) -> Iterator[Clients]:
    transport = Transport()
    yield clients_for(
        credentials=KEYS,
        endpoint=sandbox_endpoint(sandbox.url),
        transport=transport,
        guard=guard,
    )
    transport.close()


def market_order(client_order_id: str) -> dict[str, object]:
    return {
        "symbol": "AAPL",
        "qty": Decimal(1),
        "side": "buy",
        "type": "market",
        "time_in_force": "day",
        "client_order_id": client_order_id,
    }


def test_an_order_is_placed_and_its_fill_is_heard(
    sandbox: SandboxProcess, clients: Clients, streams_for: StreamsStarter, owner: Owner
) -> None:
    streams_for().listen(ACCOUNT, KEYS, sandbox.stream_url)
    owner.wait_until(lambda heard: "listening" in heard.states())

    answer = clients.trading.submit_order(market_order("op1-fill"))
    owner.wait_until(lambda heard: "fill" in _events(heard))

    fill = next(update for update in _updates(owner) if update.event == "fill")
    assert answer.http_status == 200
    assert answer.request_id is not None
    assert answer.rate is not None
    assert fill.order["id"] == answer.body["id"]
    assert (fill.qty, fill.order["filled_qty"]) == ("1", "1")
    assert fill.execution_id is not None


def test_a_spent_id_is_refused_and_found_by_look_up(clients: Clients) -> None:
    placed = clients.trading.submit_order(market_order("op1-spent"))

    with pytest.raises(Refused) as caught:
        clients.trading.submit_order(market_order("op1-spent"))

    assert caught.value.is_duplicate_client_order_id
    found = clients.trading.order_by_client_id("op1-spent")
    assert found.body["id"] == placed.body["id"]
    assert clients.trading.order(placed.body["id"]).body["client_order_id"] == "op1-spent"


def test_an_id_never_sent_is_not_found(clients: Clients) -> None:
    with pytest.raises(NotFound):
        clients.trading.order_by_client_id("op1-never")


def test_the_reads_answer(clients: Clients) -> None:
    trading, data = clients.trading, clients.data

    assert trading.account().body["status"] == "ACTIVE"
    assert isinstance(trading.positions().body, list)
    assert isinstance(trading.orders(status="all", limit=500).body, list)
    assert isinstance(trading.clock().body["is_open"], bool)
    assert set(data.latest_quotes(["AAPL"]).body["quotes"]) == {"AAPL"}
    assert set(data.latest_trades(["AAPL"]).body["trades"]) == {"AAPL"}


def test_a_wrong_secret_is_an_access_denied(sandbox: SandboxProcess, guard: Guard) -> None:
    transport = Transport()
    stranger = clients_for(
        credentials=Credentials(KEYS.key_id, "wrong"),
        endpoint=sandbox_endpoint(sandbox.url),
        transport=transport,
        guard=guard,
    )

    with pytest.raises(AccessDenied):
        stranger.trading.account()
    with pytest.raises(AccessDenied):
        stranger.data.latest_quotes(["AAPL"])

    transport.close()


def test_refused_keys_are_told_by_the_stream(
    sandbox: SandboxProcess, streams_for: StreamsStarter, owner: Owner
) -> None:
    streams_for().listen(ACCOUNT, Credentials(KEYS.key_id, "wrong"), sandbox.stream_url)

    owner.wait_until(lambda heard: "unauthorized" in heard.states())

    assert owner.messages() == []


def _updates(owner: Owner) -> list[TradeUpdate]:
    read = [decode_trade_update(raw) for raw in owner.messages()]
    return [update for update in read if isinstance(update, TradeUpdate)]


def _events(owner: Owner) -> list[str]:
    return [update.event for update in _updates(owner)]
