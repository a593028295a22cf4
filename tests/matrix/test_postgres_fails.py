"""Postgres is killed, stands still, or takes no writes: nothing accepted is lost (C22, C23, C29).

The server is the test's own, durable as in production. The power cut is simulated: every process
dies at once, but the machine's own cache lives.
"""

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import psycopg
import pytest

from opitios.core.database import ANSWER_SECONDS
from opitios.management.stack import accounts_yaml
from tests.api.processes import ROOT
from tests.campaigns.ledger import read_ledger
from tests.campaigns.oracle import VIEWS
from tests.campaigns.story import Story, read_books
from tests.campaigns.traffic import Maker, Sent, Told, Traffic
from tests.matrix.nodes import Caller, Node, Web, desk_node, patient_order
from tests.matrix.servers import Database, database_of_its_own
from tests.support.accounts import token
from tests.support.crowd import Stopwatch
from tests.support.proxy import Proxy
from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until

pytestmark = [pytest.mark.django_db, pytest.mark.journeys]

ACCOUNTS = ["account_001", "account_002"]
# G18: so soon after Postgres is back, everything is.
BACK_SECONDS = 30.0
# Orders of one load; a number in the environment for a longer one (make matrix).
ORDERS = int(os.environ.get("OPITIOS_MATRIX_ORDERS", "40"))

_UNSETTLED = (
    "SELECT count(*) FROM trading_order WHERE NOT final AND (type = 'market'"
    " OR status IN ('queued', 'submitting', 'unknown') OR cancel_requested_at IS NOT NULL)"
    " OR fills_short"
)


@dataclass
class Gateway:
    """A web server and a desk over a database that may die, and all that its clients ever sent."""

    database: Database
    sandbox: SandboxProcess
    way: Proxy
    folder: Path
    web: Web
    desk: Node
    maker: Maker
    sent: list[Sent] = field(default_factory=list)

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

    def made(self, count: int) -> list[Sent]:
        """Make orders that nobody has made before."""
        orders = self.maker.make(count)
        self.sent += orders
        return orders

    def place(self, order: Sent) -> int:
        """Place one order by hand; the answer's status."""
        caller = Caller(order.account_id, bearer=token(ACCOUNTS))
        answer = caller.place(self.web, order.key or order.name, order.body)
        if answer.ok:
            order.answers.append(answer.content)
        return answer.status_code

    def traffic(self) -> Traffic:
        """Clients that do not give up, at work from now on; a quarter of it is answered."""
        orders, told = self.made(ORDERS), Told()
        made = Traffic(f"127.0.0.1:{self.web.port}", token(ACCOUNTS), orders, told)
        made.start()
        until(lambda: made.answered >= ORDERS // 4, seconds=30)
        return made

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Read the database as its owner."""
        with psycopg.connect(self.database.url) as connection:
            return connection.execute(query.encode()).fetchall()

    def submits(self) -> int:
        """How many orders the broker was ever sent."""
        return len(read_ledger(self.sandbox.data / "ledger.jsonl").submits)

    def disagreements(self) -> list[str]:
        """What clients, books, journal and broker tell differently, once all is quiet."""
        until(lambda: self.rows(_UNSETTLED) == [(0,)], seconds=BACK_SECONDS)
        ledger = read_ledger(self.sandbox.data / "ledger.jsonl")
        story = Story(self.sent, read_books(self.database.url), ledger, [])
        return list(chain.from_iterable(view.disagreements(story) for view in VIEWS))

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
    with (
        SandboxProcess(folder / "sandbox") as sandbox,
        Proxy(("127.0.0.1", sandbox.port)) as way,
        database_of_its_own(folder) as database,
    ):
        roster = folder / "accounts.yaml"
        roster.touch(0o600)
        roster.write_text(accounts_yaml(len(ACCOUNTS), url=f"http://127.0.0.1:{way.port}"))
        manage(database, "import_accounts", str(roster))
        settings = database.settings
        web, desk = Web(folder, None, **settings), desk_node(folder, **settings)
        maker = Maker(ACCOUNTS, random.Random(22), "pg")  # noqa: S311 - repeatable on purpose
        made = Gateway(database, sandbox, way, folder, web, desk, maker)
        try:
            made.web.wait_until_ready()
            yield made
        finally:
            made.kill()


def test_c22_postgres_killed_under_load_loses_nothing_that_was_acknowledged(
    gateway: Gateway,
) -> None:
    traffic = gateway.traffic()

    gateway.database.server.kill()
    # It is felt, and told as what it is.
    until(lambda: traffic.told.statuses["503"])
    gateway.database.server.start()
    with Stopwatch() as took:
        gateway.web.wait_until_ready()

    assert took.is_within(BACK_SECONDS), took
    until(lambda: traffic.is_done, seconds=60 + ORDERS)
    assert gateway.disagreements() == []
    assert not traffic.told.statuses["500"]


def test_c23_a_server_that_stands_still_is_a_503_in_time_and_loses_nothing(
    gateway: Gateway,
) -> None:
    traffic = gateway.traffic()

    gateway.database.server.freeze()
    try:
        until(lambda: traffic.told.statuses["503"] >= 2, seconds=20)
        [order] = gateway.made(1)
        order.body |= {"not_after": patient_order()["not_after"]}
        with Stopwatch() as took:
            assert gateway.place(order) == 503
    finally:
        gateway.database.server.thaw()

    # A statement that nobody answers, or no connection.
    assert took.is_within(ANSWER_SECONDS + 1), took
    until(lambda: gateway.place(order) == 202)
    until(lambda: traffic.is_done, seconds=60 + ORDERS)
    assert gateway.disagreements() == []
    assert not traffic.told.statuses["500"]


def test_c23_a_server_that_takes_no_writes_is_a_503_and_a_held_answer_is_not_lost(
    gateway: Gateway,
) -> None:
    held, refused = gateway.made(2)
    for order in (held, refused):
        order.body |= {
            "type": "market",
            "limit_price": None,
            "not_after": patient_order()["not_after"],
        }
    before = gateway.submits()
    gateway.way.keep_back_the_answer_to(b"POST /v2/orders")
    assert gateway.place(held) == 202
    assert gateway.way.keeps.wait(60)

    gateway.database.take_no_writes(on=True)
    try:
        with Stopwatch() as took:
            assert gateway.place(refused) == 503
        # The broker's answer comes while nothing can be written.
        gateway.way.let_go()
        until(lambda: "a sender failed" in gateway.desk.log.read_text(), seconds=20)
    finally:
        gateway.database.take_no_writes(on=False)

    assert took.is_within(1), took
    until(lambda: gateway.rows(_UNSETTLED) == [(0,)], seconds=BACK_SECONDS)
    assert gateway.submits() == before + 1
    assert gateway.place(refused) == 202
    assert gateway.disagreements() == []
    [found] = gateway.rows(
        f"SELECT attempts, status FROM trading_order WHERE tags->>'command' = '{held.name}'"  # noqa: S608 - a name of ours
    )
    assert found == (1, "filled")


def test_c29_after_a_power_cut_the_books_are_what_was_acknowledged(gateway: Gateway) -> None:
    traffic = gateway.traffic()

    gateway.database.server.kill()
    gateway.kill()
    gateway.database.server.start()
    gateway.start()

    until(lambda: traffic.is_done, seconds=60 + ORDERS)
    assert gateway.disagreements() == []
    # Every chain, whatever became of the server in the tests before this one too.
    assert gateway.verified()["ok"]
