"""The limiter's half of C18 to C20 (R23, R24, G17): limits of two real web processes.

By how much they may be exceeded: docs/limits.md.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from uuid import uuid4

import pytest
import redis
import requests
from pytest_django import DjangoDbBlocker

from accounts.models import ProcessRow
from accounts.tokens import Grant, mint
from opitios.core import clock
from tests.matrix.nodes import CALL_SECONDS, Web, patient_order, running
from tests.matrix.servers import Server, redis_server
from tests.support.accounts import open_account
from tests.support.until import until

pytestmark = [pytest.mark.django_db, pytest.mark.journeys]

# Of a subject in an account; what is earned while a test asks is less than one.
ORDERS = READS = 12
LIMITS = {
    "OPITIOS_LIMITS__SUBJECT_ORDERS_PER_MINUTE": str(ORDERS),
    "OPITIOS_LIMITS__POSITIONS_PER_MINUTE": str(READS),
    "OPITIOS_LIMITS__QUOTES_PER_MINUTE": str(READS),
}
TRIES = 60
# docs/limits.md: what processes may not have told each other yet.
UNTOLD = 1.25
ALL = ["trade", "account_read", "market_data", "monitor"]


@dataclass
class Pair:
    """Two web servers over one Redis that may fail."""

    redis: Server
    webs: tuple[Web, Web]
    account_id: str

    def caller(self) -> str:
        """A token of a subject nobody has counted yet."""
        grant = Grant(f"bot-{uuid4().hex[:8]}", [self.account_id], ALL, timedelta(hours=1))
        return mint(grant, now=clock.now())

    def let_in(self, token: str, call: Callable[["Pair", Web, str], requests.Response]) -> int:
        """Ask both in turns, eight at a time; how often nobody said 429."""
        with ThreadPoolExecutor(8) as pool:
            asked = [pool.submit(call, self, self.webs[n % 2], token) for n in range(TRIES)]
            statuses = Counter(each.result().status_code for each in asked)
        assert not {status for status in statuses if status >= 500} - {503}, statuses
        return TRIES - statuses[429]

    def earned(self, since: float) -> int:
        """How many permits of a limit a minute were earned since."""
        return int((clock.monotonic() - since) * ORDERS / 60) + 1


def place(pair: Pair, web: Web, token: str) -> requests.Response:
    """Place an order."""
    return _ask(web, "POST", f"accounts/{pair.account_id}/orders/stocks", token, patient_order())


def positions(pair: Pair, web: Web, token: str) -> requests.Response:
    """Read positions; that there is no broker does not matter."""
    return _ask(web, "GET", f"accounts/{pair.account_id}/positions", token)


def quote(_: Pair, web: Web, token: str) -> requests.Response:
    """Ask for a quote; as above."""
    return _ask(web, "GET", "stocks/quote/AAPL", token)


def _ask(web: Web, method: str, path: str, token: str, body: object = None) -> requests.Response:
    told = {"Authorization": f"Bearer {token}"}
    there = f"{web.origin}/api/v1/{path}"
    return requests.request(method, there, headers=told, json=body, timeout=CALL_SECONDS)


@pytest.fixture(scope="module")
def pair(
    django_db_setup: None,
    django_db_blocker: DjangoDbBlocker,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("pair")
    with django_db_blocker.unblock(), redis_server(folder) as server:
        account_id = open_account()
        # Those of other tests would be counted as sharing the limits.
        ProcessRow.objects.filter(role="web").delete()
        settings = {"REDIS_URL": server.url, **LIMITS}
        webs = Web(folder, None, **settings), Web(folder, None, **settings)
        with running(*webs):
            for web in webs:
                web.wait_until_ready()
            names = [web.name for web in webs]
            rows = ProcessRow.objects.filter(role="web")
            until(lambda: {row.name.partition(":")[0] for row in rows.all()} >= set(names))
            written = [row.seen_at for row in rows.all()]
            # Each counts the others after it wrote its own row.
            until(lambda: all(row.seen_at not in written for row in rows.all()))
            yield Pair(server, webs, account_id)


@pytest.mark.parametrize("call", [place, positions])
def test_r23_two_processes_are_one_limit(
    pair: Pair, call: Callable[[Pair, Web, str], requests.Response]
) -> None:
    began = clock.monotonic()

    let_in = pair.let_in(pair.caller(), call)

    assert ORDERS <= let_in <= ORDERS * UNTOLD + pair.earned(began)


def test_r23_quotes_never_wait_for_redis_and_are_one_limit_in_the_long_run(pair: Pair) -> None:
    token, began = pair.caller(), clock.monotonic()

    first = pair.let_in(token, quote)
    again = pair.let_in(token, quote)

    assert READS <= first <= READS * 2 + pair.earned(began)
    assert first + again <= READS * 2 + pair.earned(began)


@pytest.mark.parametrize(
    ("fail", "mend"),
    [(Server.kill, Server.start), (Server.freeze, Server.thaw)],
    ids=["c18-stopped", "c20-black-hole"],
)
def test_c18_c20_without_redis_limits_hold_within_their_factor_and_are_one_again_afterwards(
    pair: Pair, fail: Callable[[Server], None], mend: Callable[[Server], None]
) -> None:
    under_load, later = pair.caller(), pair.caller()
    began = clock.monotonic()
    with ThreadPoolExecutor(1) as pool:
        running_load = pool.submit(pair.let_in, under_load, place)
        fail(pair.redis)
        try:
            let_in = running_load.result()
            # Everybody knows by now: fresh subjects are counted by each process for itself.
            orders = pair.let_in(later, place)
            reads = pair.let_in(pair.caller(), positions)
            quotes = pair.let_in(pair.caller(), quote)
        finally:
            mend(pair.redis)

    earned = pair.earned(began)
    assert ORDERS <= let_in <= ORDERS * 2 + earned
    assert ORDERS <= orders <= ORDERS * 2 + earned
    assert READS / 2 <= reads <= READS + earned
    assert READS / 2 <= quotes <= READS + earned
    until(lambda: _is_one_limit_again(pair), seconds=30)


def _is_one_limit_again(pair: Pair) -> bool:
    began = clock.monotonic()
    let_in = pair.let_in(pair.caller(), place)
    return ORDERS <= let_in <= ORDERS * UNTOLD + pair.earned(began)


def test_c19_an_emptied_redis_gives_nobody_a_second_bucket(pair: Pair) -> None:
    until(lambda: _is_one_limit_again(pair), seconds=30)
    token, began = pair.caller(), clock.monotonic()
    first = pair.let_in(token, place)

    with redis.Redis.from_url(pair.redis.url) as client:
        client.flushall()
    again = pair.let_in(token, place)

    assert first + again <= ORDERS * UNTOLD + pair.earned(began)
