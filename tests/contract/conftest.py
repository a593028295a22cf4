"""One sandbox for all contract tests; every test has an account of its own.

Tests take the clients as Any: alpaca-py types every answer as "model or raw", which no test is.
"""

import warnings
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.sandbox_process import SandboxProcess

with warnings.catch_warnings():
    # alpaca-py 0.44 imports websockets.legacy, whose deprecation is not ours to cure.
    warnings.simplefilter("ignore", DeprecationWarning)
    from alpaca.data.historical.stock import StockHistoricalDataClient
    from alpaca.trading.client import TradingClient


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    data: Path = tmp_path_factory.mktemp("sandbox")
    with SandboxProcess(data, measured=True) as process:
        yield process


@pytest.fixture
def account() -> str:
    return f"t-{uuid4().hex[:12]}"


@pytest.fixture
def parsed(broker: SandboxProcess, account: str) -> Iterator[TradingClient]:
    client = TradingClient(broker.key(account), broker.secret(account), url_override=broker.url)
    yield client
    client._session.close()


@pytest.fixture
def raw(broker: SandboxProcess, account: str) -> Iterator[TradingClient]:
    client = TradingClient(
        broker.key(account), broker.secret(account), url_override=broker.url, raw_data=True
    )
    yield client
    client._session.close()


@pytest.fixture
def data_parsed(broker: SandboxProcess, account: str) -> Iterator[StockHistoricalDataClient]:
    client = StockHistoricalDataClient(
        broker.key(account), broker.secret(account), url_override=broker.url
    )
    yield client
    client._session.close()


@pytest.fixture
def data_raw(broker: SandboxProcess, account: str) -> Iterator[StockHistoricalDataClient]:
    client = StockHistoricalDataClient(
        broker.key(account), broker.secret(account), url_override=broker.url, raw_data=True
    )
    yield client
    client._session.close()


@pytest.fixture(autouse=True)
def _undisturbed(broker: SandboxProcess) -> Iterator[None]:
    yield
    broker.clear_faults()
