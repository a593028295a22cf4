"""An account at a sandbox, with an order that went the whole way."""

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until

if TYPE_CHECKING:
    from tests.api.calls import Api


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    """A broker that answers."""
    with SandboxProcess(tmp_path_factory.mktemp("sandbox")) as process:
        yield process


@pytest.fixture
def api(db: None, sandbox: SandboxProcess) -> "Api":
    """An account of the test's own that holds 10 AAPL, and a token for everything about it."""
    from tests.api.calls import Api  # noqa: PLC0415 - Django is set up after this file
    from tests.support.accounts import token  # noqa: PLC0415

    api = Api.open(url=sandbox.url)
    api.token = token(
        [api.account], permissions=("account_read", "trade", "market_data", "monitor")
    )
    body = {"symbol": "AAPL", "qty": "10", "side": "buy", "type": "market", "time_in_force": "day"}
    sandbox.trade(api.account, "POST", "/v2/orders", json=body)
    until(lambda: sandbox.trade(api.account, "GET", "/v2/positions").json())
    return api


@pytest.fixture
def quoted(api: "Api", monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the account's own client read quotes."""
    from accounts.pool import get_pool  # noqa: PLC0415
    from marketdata import api as marketdata_api  # noqa: PLC0415
    from marketdata.routing import Router  # noqa: PLC0415
    from marketdata.shared import get_shared  # noqa: PLC0415
    from marketdata.sources import Sources  # noqa: PLC0415

    account = get_pool().get(api.account)
    assert account is not None
    data = dataclasses.replace(account, account_type="data")
    sources = Sources(Router(lambda: [data]), get_shared())
    monkeypatch.setattr(marketdata_api, "get_sources", lambda: sources)
