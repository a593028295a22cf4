"""Web processes and a broker of a test's own, asked as programs ask: over HTTP, with a token."""

import asyncio
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiohttp
import requests

from opitios.management.stack import WEB_THREADS
from tests.api import processes
from tests.support.accounts import open_accounts, token
from tests.support.crowd import patient
from tests.support.sandbox_process import SandboxProcess

AT_ONCE = 60
# A call waits for its turn besides.
CALL_SECONDS = patient(60)
AS_IT_RUNS = {
    "OPITIOS_LIMITS__REQUESTS_PER_SECOND": "100000",
    # Who waits for the broker is never all of them.
    "OPITIOS_WEB_THREADS": str(WEB_THREADS),
}


class Gateway:
    """Web processes that share nothing but Postgres and Redis, and the broker behind them."""

    def __init__(
        self, sandbox: SandboxProcess, origins: list[str], accounts: list[str], folder: Path
    ) -> None:
        self.sandbox = sandbox
        self._folder = folder
        self.origins = origins
        self.accounts = accounts
        self.headers = {
            "Authorization": f"Bearer {token([], permissions=['market_data'], sub='watcher')}"
        }
        self.session = requests.Session()
        self.session.headers.update(self.headers)

    def ask(self, *paths: str) -> list[tuple[int, Any]]:
        """Ask for every path, in turns of the processes and many at once."""
        return asyncio.run(self._ask(paths))

    async def _ask(self, paths: tuple[str, ...]) -> list[tuple[int, Any]]:
        connector = aiohttp.TCPConnector(limit=AT_ONCE)
        async with aiohttp.ClientSession(connector=connector, headers=self.headers) as client:
            calls = [
                self._get(client, f"{self.origins[place % len(self.origins)]}/api/v1/{path}")
                for place, path in enumerate(paths)
            ]
            return await asyncio.gather(*calls)

    async def _get(self, client: aiohttp.ClientSession, url: str) -> tuple[int, Any]:
        async with client.get(url, timeout=aiohttp.ClientTimeout(CALL_SECONDS)) as answer:
            return answer.status, await answer.json(content_type=None)

    def get(self, path: str, **query: Any) -> requests.Response:
        """Ask the first process for one path."""
        url = f"{self.origins[0]}/api/v1/{path}"
        return self.session.get(url, params=query, timeout=CALL_SECONDS)

    def read(self, path: str, **query: Any) -> Any:
        """The body of a path that answers."""
        answer = self.get(path, **query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def broker(self, path: str, **query: Any) -> Any:
        """What the broker itself answers a data account."""
        answer = self.sandbox.trade(self.accounts[0], "GET", path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def calls(self, route: str) -> int:
        """How many calls of a route the broker let in from the data accounts."""
        told = self.sandbox.get("calls")["calls"]
        return sum(told.get(account, {}).get(route, 0) for account in self.accounts)

    def lost_redis(self) -> bool:
        """Whether Redis kept any process waiting for too long: then each asks for itself."""
        logs = self._folder.glob("web-*/web.log")
        return any("redis does not answer" in log.read_text() for log in logs)


def gateway(folder: Path, stack: ExitStack, *, webs: int = 2, **settings: str) -> Gateway:
    """Start the broker, two data accounts and so many web processes, until the stack is left."""
    sandbox = stack.enter_context(SandboxProcess(folder / "sandbox"))
    accounts = open_accounts(2, url=sandbox.url, account_type="data")
    origins = []
    for number in range(webs):
        own = folder / f"web-{number}"
        own.mkdir()
        told = {**AS_IT_RUNS, **settings}
        origins.append(stack.enter_context(processes.web(own, f"web-{number}", **told)))
    made = Gateway(sandbox, origins, accounts, folder)
    stack.callback(made.session.close)
    return made
