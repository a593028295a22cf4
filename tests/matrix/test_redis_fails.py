"""Redis is stopped, emptied, or a black hole: orders flow all the same (C18 to C20, G17).

The limiter's half is in tests/api/test_limits_without_redis.py; of the clients' sockets it is told
in test_streams_resume.py.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import redis
import requests
from pytest_django import DjangoDbBlocker

from opitios.core.bus import CALL_SECONDS
from tests.matrix.nodes import Caller, Node, Web, desk_node, listens, patient_order, running
from tests.matrix.servers import Server, redis_server
from tests.support.accounts import open_account
from tests.support.crowd import Stopwatch
from tests.support.orders import entries, kinds
from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until
from tests.trading.desks import only
from tests.trading.test_desk_sends import held
from trading import queries

pytestmark = [pytest.mark.django_db, pytest.mark.journeys]

ORDERS = 20
# A request's own time, with nothing to wait for, is a tenth of this on a quiet machine.
OWN_SECONDS = 0.2


@dataclass
class Gateway:
    """A web server and a desk over a Redis that may fail."""

    redis: Server
    web: Web
    desk: Node
    caller: Caller

    @property
    def account_id(self) -> str:
        """The account that trades here."""
        return self.caller.account_id

    def place(self, key: str) -> Stopwatch:
        """Place an order; how long its request took."""
        order = patient_order()
        with Stopwatch() as took:
            answer = self.caller.place(self.web, key, order)
        assert answer.status_code == 202, answer.text
        return took

    def unfilled(self) -> int:
        """How many of the account's orders are not filled yet."""
        condition = "account_id = %s AND status <> 'filled'"
        return len(queries.orders_where(condition, (self.account_id,)))


@pytest.fixture(scope="module")
def gateway(
    django_db_setup: None,
    django_db_blocker: DjangoDbBlocker,
    sandbox: SandboxProcess,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("gateway")
    with django_db_blocker.unblock(), redis_server(folder) as server:
        account_id = open_account(url=sandbox.url)
        settings = {"REDIS_URL": server.url}
        with only(account_id):
            web, desk = Web(folder, None, **settings), desk_node(folder, **settings)
            with running(web, desk):
                web.wait_until_ready()
                listens(account_id)
                yield Gateway(server, web, desk, Caller(account_id))


@pytest.mark.parametrize(
    ("fail", "mend"),
    [(Server.kill, Server.start), (Server.freeze, Server.thaw)],
    ids=["c18-stopped", "c20-black-hole"],
)
def test_c18_c20_without_redis_orders_flow_and_nobody_piles_up_behind_it(
    gateway: Gateway,
    sandbox: SandboxProcess,
    fail: Callable[[Server], None],
    mend: Callable[[Server], None],
) -> None:
    gateway.place(f"before-{fail.__name__}")
    until(lambda: gateway.unfilled() == 0)
    there = len(held(sandbox, gateway.account_id))
    threads = gateway.web.threads() + gateway.desk.threads()

    fail(gateway.redis)
    try:
        took = [gateway.place(f"{fail.__name__}-{number}") for number in range(ORDERS)]
        told = requests.get(f"{gateway.web.origin}/api/v1/health", timeout=60).json()["status"]
        until(lambda: gateway.unfilled() == 0, seconds=20)
        grown = gateway.web.threads() + gateway.desk.threads() - threads
    finally:
        mend(gateway.redis)

    assert told == "degraded"
    # One request in five seconds waits for it, 200 ms; were it each, the one in the middle would.
    assert CALL_SECONDS == 0.2
    assert [each for each in took if not each.is_within(CALL_SECONDS + OWN_SECONDS)] == []
    assert sorted(took, key=lambda each: each.seconds)[ORDERS // 2].is_within(CALL_SECONDS / 4)
    assert grown < ORDERS
    assert len(held(sandbox, gateway.account_id)) == there + ORDERS
    assert "order.unknown" not in kinds(gateway.account_id)


def test_c19_an_emptied_redis_and_one_that_lost_its_last_second_cost_no_order(
    gateway: Gateway, sandbox: SandboxProcess
) -> None:
    there = len(held(sandbox, gateway.account_id))
    for number in range(10):
        gateway.place(f"emptied-{number}")
        if number == 3:
            with redis.Redis.from_url(gateway.redis.url) as client:
                client.flushall()
        if number == 6:
            # Nothing of it is on a disk: the next one knows nothing, as after a bad failover.
            gateway.redis.kill()
            gateway.redis.start()

    until(lambda: gateway.unfilled() == 0, seconds=20)

    assert len(held(sandbox, gateway.account_id)) == there + 10
    numbers = [entry["seq"] for entry in entries(gateway.account_id)]
    assert numbers == list(range(1, len(numbers) + 1))
