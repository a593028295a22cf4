"""Market data through two real web processes: one call for all of them, and an account lost."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.api import processes
from tests.support.accounts import open_accounts, token
from tests.support.sandbox_process import SandboxProcess

pytestmark = [pytest.mark.journeys, pytest.mark.django_db, pytest.mark.usefixtures("own_database")]

REQUESTS = 500
AT_ONCE = 60
AWAY = "redis://127.0.0.1:1/0"
QUOTES = "GET /v2/stocks/quotes/latest"


class Gateway:
    """Two web processes that share nothing but Postgres and Redis, and the broker behind them."""

    def __init__(self, sandbox: SandboxProcess, origins: list[str], accounts: list[str]) -> None:
        self.sandbox = sandbox
        self.origins = origins
        self.accounts = accounts
        self._headers = {"Authorization": f"Bearer {token([], permissions=['market_data'])}"}

    def ask(self, *paths: str) -> list[tuple[int, Any]]:
        """Ask for every path, in turns of both processes and many at once."""
        return asyncio.run(self._ask(paths))

    async def _ask(self, paths: tuple[str, ...]) -> list[tuple[int, Any]]:
        connector = aiohttp.TCPConnector(limit=AT_ONCE)
        async with aiohttp.ClientSession(connector=connector, headers=self._headers) as client:
            calls = [
                self._get(client, f"{self.origins[place % 2]}/api/v1/{path}")
                for place, path in enumerate(paths)
            ]
            return await asyncio.gather(*calls)

    async def _get(self, client: aiohttp.ClientSession, url: str) -> tuple[int, Any]:
        async with client.get(url, timeout=aiohttp.ClientTimeout(60)) as answer:
            return answer.status, await answer.json(content_type=None)

    def calls(self) -> int:
        """How many calls for quotes the broker let in."""
        told = self.sandbox.get("calls")["calls"]
        return sum(told.get(account, {}).get(QUOTES, 0) for account in self.accounts)


def gateway(folder: Path, stack: ExitStack, **settings: str) -> Gateway:
    sandbox = stack.enter_context(SandboxProcess(folder / "sandbox"))
    accounts = open_accounts(2, url=sandbox.url, account_type="data")
    origins = []
    for name in "ab":
        own = folder / name
        own.mkdir()
        told = {"OPITIOS_LIMITS__REQUESTS_PER_SECOND": "100000", **settings}
        origins.append(stack.enter_context(processes.web(own, f"web-{name}", **told)))
    return Gateway(sandbox, origins, accounts)


@pytest.fixture
def shared(_django_db_helper: None, tmp_path: Path) -> Iterator[Gateway]:
    with ExitStack() as stack:
        yield gateway(tmp_path, stack)


def test_500_requests_for_one_cold_symbol_make_one_call_and_an_account_may_be_lost(
    shared: Gateway,
) -> None:
    warm = shared.ask("stocks/quote/SPY", "stocks/quote/SPY")
    before = shared.calls()

    answers = shared.ask(*["stocks/quote/AAPL"] * REQUESTS)

    assert {status for status, _ in (*warm, *answers)} == {200}
    assert {body["source"] for _, body in answers} <= {"broker", "cache"}
    # A quote is fresh for a second: whoever comes later than that asks anew.
    times = {body["t"] for _, body in answers}
    assert shared.calls() - before == len(times)

    shared.sandbox.fault("401", account=shared.accounts[0], route="*", times=0)
    lost = shared.ask(*[f"stocks/quote/{symbol}" for symbol in ("F", "GM", "T", "VZ", "KO", "PEP")])
    assert {status for status, _ in lost} == {200}


@pytest.mark.usefixtures("_django_db_helper")
def test_without_redis_each_process_makes_its_own_call(tmp_path: Path) -> None:
    with ExitStack() as stack:
        alone = gateway(tmp_path, stack, REDIS_URL=AWAY)
        alone.ask("stocks/quote/SPY", "stocks/quote/SPY")
        before = alone.calls()

        answers = alone.ask(*["stocks/quote/AAPL"] * 40)

        assert {status for status, _ in answers} == {200}
        assert 1 <= alone.calls() - before <= 2 * len({body["t"] for _, body in answers})
