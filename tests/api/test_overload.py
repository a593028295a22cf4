"""G16, G20: a web process whose reads all wait for a broker that hangs takes orders and cancels."""

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import requests

from tests.matrix.nodes import CALL_SECONDS, Caller, Web, patient_order, running
from tests.support.accounts import open_accounts
from tests.support.crowd import Stopwatch
from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until

pytestmark = [pytest.mark.django_db, pytest.mark.journeys]

READERS = 30
# A read waits five seconds for its broker; what is not shed would wait behind many of them.
AT_ONCE = 1.0


class Readers:
    """Clients that read positions of an account again and again, each answer at once."""

    def __init__(self, web: Web, accounts: list[str]) -> None:
        self._web, self._accounts = web, accounts
        self._closing = threading.Event()
        self.seen: Counter[int] = Counter()
        self.answers: list[requests.Response] = []

    @contextmanager
    def reading(self) -> Iterator["Readers"]:
        """Read until the block ends."""
        with ThreadPoolExecutor(READERS) as pool:
            reads: list[Future[None]] = [pool.submit(self._read, each) for each in self._accounts]
            try:
                yield self
            finally:
                self._closing.set()
                for read in reads:
                    read.result(CALL_SECONDS)

    def _read(self, account_id: str) -> None:
        caller = Caller(account_id)
        path = f"{self._web.origin}/api/v1/accounts/{account_id}/positions"
        while not self._closing.is_set():
            answer = requests.get(path, headers=caller.headers(), timeout=CALL_SECONDS)
            self.seen[answer.status_code] += 1
            self.answers.append(answer)


@pytest.mark.usefixtures("django_db_setup")
def test_g16_g20_while_reads_hang_orders_and_cancels_are_answered_at_once(
    sandbox: SandboxProcess, tmp_path_factory: pytest.TempPathFactory
) -> None:
    trader, *others = open_accounts(READERS + 1, url=sandbox.url)
    web = Web(tmp_path_factory.mktemp("overload"))
    with running(web):
        web.wait_until_ready()
        caller = Caller(trader)
        caller.place(web, "warm", patient_order())
        sandbox.fault("hang", times=0)
        with Readers(web, others).reading() as readers:
            until(lambda: readers.seen[503] > READERS)
            placed, took = [], []
            for number in range(10):
                with Stopwatch() as watch:
                    placed.append(caller.place(web, f"k-{number}", patient_order()))
                took.append(watch)
            for order in placed:
                with Stopwatch() as watch:
                    there = (
                        f"{web.origin}/api/v1{order.headers['Location'].removeprefix('/api/v1')}"
                    )
                    canceled = requests.delete(there, headers=caller.headers(), timeout=60)
                took.append(watch)
                assert canceled.status_code == 200, canceled.text
            sandbox.clear_faults()

    assert [order.status_code for order in placed] == [202] * 10
    assert [each for each in took if not each.is_within(AT_ONCE)] == []
    shed = [answer for answer in readers.answers if answer.json().get("reason") == "overloaded"]
    assert len(shed) > READERS / 2
    assert {answer.headers["Retry-After"] for answer in shed} == {"1"}
