"""Postgres is killed, or refuses to write: nothing acknowledged is lost (C22, C23, C29).

The server is the test's own, durable as in production. The power cut is simulated: every process
dies at once, but the machine's own cache lives.
"""

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from opitios.core import clock
from opitios.management.stack import accounts_yaml
from tests.api.calls import GOOD
from tests.api.processes import ROOT
from tests.campaigns.oracle import compare, read_books
from tests.campaigns.traffic import Sent, Traffic, made_orders
from tests.matrix.nodes import Caller, Node, Web, desk_node
from tests.matrix.servers import Database, database_of_its_own
from tests.support.accounts import token
from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until

pytestmark = [pytest.mark.django_db, pytest.mark.journeys, pytest.mark.timeout(240)]

ACCOUNTS = ["account_001", "account_002"]
BACK_SECONDS = 30.0

_UNSETTLED = (
    "SELECT count(*) FROM trading_order WHERE NOT final AND (type = 'market'"
    " OR status IN ('queued', 'submitting', 'unknown') OR cancel_requested_at IS NOT NULL)"
    " OR fills_short"
)


@dataclass
class Gateway:
    """A web server and a desk over a database that may die."""

    database: Database
    sandbox: SandboxProcess
    folder: Path
    web: Web
    desk: Node
    token: str

    def start(self) -> None:
        """Start both anew: on the same port, over the same database."""
        settings = self.database.settings
        self.web = Web(self.folder, self.web.port, **settings)
        self.desk = desk_node(self.folder, **settings)
        self.web.wait_until_ready()

    def kill(self) -> None:
        """SIGKILL both."""
        self.web.kill()
        self.desk.kill()

    def traffic(self, label: str, count: int = 60) -> Traffic:
        """Clients that do not give up, at work from now on."""
        dice = random.Random(label)  # noqa: S311 - repeatable on purpose
        made = Traffic(
            f"127.0.0.1:{self.web.port}", self.token, made_orders(count, ACCOUNTS, dice, label)
        )
        made.start(4)
        return made

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Read the database as its owner."""
        with psycopg.connect(self.database.url) as connection:
            return connection.execute(query.encode()).fetchall()

    def disagreements(self, sent: list[Sent]) -> list[str]:
        """What clients, books, journal and broker tell differently, once all is quiet."""
        until(lambda: self.rows(_UNSETTLED) == [(0,)], seconds=BACK_SECONDS)
        books = read_books(self.database.url, self.sandbox.url, ACCOUNTS)
        return compare(sent, books).disagreements

    def verified(self) -> dict[str, Any]:
        """What `verify_journal` says of every chain."""
        said: dict[str, Any] = json.loads(manage(self.database, "verify_journal", "--json"))
        return said


def manage(database: Database, *arguments: str) -> str:
    """Run a `manage.py` command on the database; what it printed."""
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=os.environ | database.settings | {"OPITIOS_DEMO": "true"},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return done.stdout


@pytest.fixture(scope="module")
def gateway(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("durable")
    with SandboxProcess(folder / "sandbox") as sandbox, database_of_its_own(folder) as database:
        roster = folder / "accounts.yaml"
        roster.touch(0o600)
        roster.write_text(accounts_yaml(len(ACCOUNTS), url=sandbox.url))
        manage(database, "import_accounts", str(roster))
        settings = database.settings
        web, desk = Web(folder, None, **settings), desk_node(folder, **settings)
        made = Gateway(database, sandbox, folder, web, desk, token(ACCOUNTS))
        try:
            made.web.wait_until_ready()
            yield made
        finally:
            made.kill()


def has_begun(traffic: Traffic) -> bool:
    """Whether a quarter of the orders is acknowledged: the kill meets the others."""
    return traffic.statuses[202] >= len(traffic.orders) // 4


def test_c22_postgres_killed_under_load_loses_nothing_that_was_acknowledged(
    gateway: Gateway,
) -> None:
    traffic = gateway.traffic("c22")
    until(lambda: has_begun(traffic), seconds=20)

    gateway.database.server.kill()
    began = clock.monotonic()
    gateway.database.server.start()
    gateway.web.wait_until_ready()

    assert clock.monotonic() - began < BACK_SECONDS
    until(lambda: traffic.is_done, seconds=60)
    assert gateway.disagreements(traffic.orders) == []
    # It was felt, and told as what it is.
    assert traffic.statuses[503]
    assert not traffic.statuses[500]
    assert gateway.verified()["ok"]


def test_c29_after_a_power_cut_the_books_are_what_was_acknowledged(gateway: Gateway) -> None:
    traffic = gateway.traffic("c29")
    until(lambda: has_begun(traffic), seconds=20)

    gateway.database.server.kill()
    gateway.kill()
    gateway.database.server.start()
    gateway.start()

    until(lambda: traffic.is_done, seconds=60)
    assert gateway.disagreements(traffic.orders) == []
    assert gateway.verified()["ok"]


def test_c23_a_server_that_takes_no_writes_is_a_503_and_a_held_answer_is_not_lost(
    gateway: Gateway,
) -> None:
    account_id, body = ACCOUNTS[0], {**GOOD, "type": "market", "limit_price": None}
    caller = Caller(account_id)
    gateway.sandbox.fault(
        "delay", account=account_id, route="POST /v2/orders", when="after", ms=1500
    )
    before = len(gateway.sandbox.ledger(account=account_id))
    assert caller.place(gateway.web, "c23-held", body).status_code == 202
    until(lambda: len(gateway.sandbox.ledger(account=account_id)) == before + 1)

    gateway.database.take_no_writes(on=True)
    try:
        began = clock.monotonic()
        refused = caller.place(gateway.web, "c23-refused", body)
        took = clock.monotonic() - began
        # The broker's answer comes while nothing can be written.
        until(lambda: "a sender failed" in gateway.desk.log.read_text(), seconds=10)
    finally:
        gateway.database.take_no_writes(on=False)

    assert (refused.status_code, refused.json()["reason"]) == (503, "storage-unavailable")
    assert took < 1
    assert gateway.disagreements([]) == []
    assert len(gateway.sandbox.ledger(account=account_id)) == before + 1
    [held] = gateway.rows("SELECT attempts, status FROM trading_order"
                          " WHERE idempotency_key = 'c23-held'")  # fmt: skip
    assert held == (1, "filled")
    assert caller.place(gateway.web, "c23-refused", body).status_code == 202
    assert gateway.disagreements([]) == []
