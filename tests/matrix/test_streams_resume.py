"""Updates reach clients whatever dies in the middle of a burst: the union is the journal (C18-C20).

A client that is cut off comes back with the number it has; another one, at a second stream process,
is never cut off. Both end with what `GET …/journal` lists, entry for entry (G19).
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Any, Self

import pytest
import redis
import requests
from pytest_django import DjangoDbBlocker
from websockets.exceptions import WebSocketException

from tests.matrix.nodes import (
    CALL_SECONDS,
    Caller,
    Node,
    Web,
    desk_node,
    listens,
    patient_order,
    running,
)
from tests.matrix.servers import Server, redis_server
from tests.streaming.stream_process import StreamProcess
from tests.support.accounts import open_account, token
from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until
from tests.trading.desks import only
from trading import shapes

pytestmark = [pytest.mark.django_db, pytest.mark.journeys]

# A third of them before the failure, a third in it, a third after it.
ORDERS = 15
# How often a client that is cut off tries again, and looks whether it is still wanted. Seconds.
AGAIN_SECONDS = 0.05
LOOK_SECONDS = 0.2

Message = dict[str, Any]


class Watcher:
    """A client of one account, at one stream process, that resumes whenever it is cut off."""

    def __init__(self, stream: StreamProcess, account_id: str, *, after: int) -> None:
        self._stream, self._account_id = stream, account_id
        self._bearer = token([account_id])
        self._seq = after
        self._ending = Event()
        self._thread = Thread(target=self._watch)
        self.heard: list[Message] = []
        self.told: str | None = None
        self.cuts = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()

    def has(self, seq: int) -> bool:
        """Whether it heard so far."""
        return self._seq >= seq

    def _watch(self) -> None:
        while not self._ending.is_set():
            try:
                self._follow()
            except (OSError, EOFError, WebSocketException):
                self.cuts += 1
                self._ending.wait(AGAIN_SECONDS)

    def _follow(self) -> None:
        with self._stream.client(token=self._bearer) as socket:
            after = {self._account_id: self._seq}
            socket.says(action="subscribe", orders=[self._account_id], after=after)
            while not self._ending.is_set():
                try:
                    messages = socket.hears(seconds=LOOK_SECONDS)
                except TimeoutError:
                    continue
                self._hear(messages)

    def _hear(self, messages: list[Message]) -> None:
        for message in messages:
            assert message["T"] != "error", message
            if message["T"] in {"order", "account", "gap"}:
                self._seq = message["seq"]
                del message["sent_at"]
                self.heard.append(message)
            elif message["T"] == "status":
                self.told = message["state"]


@dataclass
class Gateway:
    """Web, desk and two stream processes over a Redis that may fail."""

    folder: Path
    redis: Server
    web: Web
    desk: Node
    streams: tuple[StreamProcess, StreamProcess]
    caller: Caller

    def place(self, name: str, count: int) -> None:
        """Place orders, as one program of the account does."""
        for number in range(count):
            answer = self.caller.place(self.web, f"{name}-{number}", patient_order())
            assert answer.status_code == 202, answer.text

    def journal(self, *, after: int = 0) -> list[Message]:
        """Every entry past a number, as `GET …/journal` lists them."""
        path = f"{self.web.origin}/api/v1/accounts/{self.caller.account_id}/journal"
        entries: list[Message] = []
        while True:
            query = f"?after={after + len(entries)}&limit=500"
            answer = requests.get(path + query, headers=self.caller.headers(), timeout=CALL_SECONDS)
            page = answer.json()["entries"]
            if not page:
                return entries
            entries += page

    def is_filled(self) -> bool:
        """Whether every order of the account is."""
        path = f"{self.web.origin}/api/v1/accounts/{self.caller.account_id}/orders"
        query = "?status=open&limit=500"
        answer = requests.get(path + query, headers=self.caller.headers(), timeout=CALL_SECONDS)
        return not answer.json()["orders"]

    def end_desk(self) -> None:
        """Kill the desk that runs now."""
        self.desk.kill()

    def next_desk(self) -> None:
        """Start a desk in place of the one that was killed."""
        self.desk = desk_node(self.folder, REDIS_URL=self.redis.url)


@pytest.fixture(scope="module")
def gateway(
    django_db_setup: None,
    django_db_blocker: DjangoDbBlocker,
    sandbox: SandboxProcess,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("gateway")
    with django_db_blocker.unblock(), redis_server(folder) as server, ExitStack() as stack:
        account_id = open_account(url=sandbox.url)
        stack.enter_context(only(account_id))
        settings = {"REDIS_URL": server.url}
        web, desk = Web(folder, None, **settings), desk_node(folder, **settings)
        streams = [
            StreamProcess(tmp_path_factory.mktemp(name), OPITIOS_PROCESS=name, **settings)
            for name in ("stream-one", "stream-two")
        ]
        gateway = Gateway(folder, server, web, desk, (streams[0], streams[1]), Caller(account_id))
        stack.enter_context(running(web, desk))
        stack.callback(gateway.end_desk)
        # Not on threads: a process that dies with its parent dies with the thread that began it.
        for stream in streams:
            stack.enter_context(stream)
        web.wait_until_ready()
        listens(account_id)
        yield gateway


@contextmanager
def stream_killed(gateway: Gateway) -> Iterator[None]:
    gateway.streams[0].kill()
    yield
    gateway.streams[0].start()


@contextmanager
def stream_restarted(gateway: Gateway) -> Iterator[None]:
    gateway.streams[0].stop()
    yield
    gateway.streams[0].start()


@contextmanager
def desk_killed(gateway: Gateway) -> Iterator[None]:
    gateway.end_desk()
    yield
    gateway.next_desk()


@contextmanager
def redis_killed(gateway: Gateway) -> Iterator[None]:
    gateway.redis.kill()
    try:
        yield
    finally:
        gateway.redis.start()


@contextmanager
def redis_frozen(gateway: Gateway) -> Iterator[None]:
    gateway.redis.freeze()
    try:
        yield
    finally:
        gateway.redis.thaw()


@contextmanager
def redis_emptied(gateway: Gateway) -> Iterator[None]:
    redis.Redis.from_url(gateway.redis.url).flushall()
    yield


def as_shown(entries: list[Message]) -> list[Message]:
    """What a stream shows of these entries of a journal, each order from its first one on."""
    past: dict[str, list[Message]] = defaultdict(list)
    shown = []
    for entry in entries:
        past[entry["order_id"]].append(entry)
        shown.append(shapes.replayed_message(past[entry["order_id"]]))
    return shown


@pytest.mark.parametrize(
    "failure",
    [stream_killed, stream_restarted, desk_killed, redis_killed, redis_frozen, redis_emptied],
    ids=["stream", "stream-asked-to-end", "desk", "c18-redis", "c20-black-hole", "c19-emptied"],
)
def test_c18_c19_c20_what_clients_hear_in_a_failure_is_the_journal_entry_for_entry(
    gateway: Gateway, failure: Callable[[Gateway], Any], request: pytest.FixtureRequest
) -> None:
    account_id, name, third = gateway.caller.account_id, request.node.callspec.id, ORDERS // 3
    before = len(gateway.journal())
    with ExitStack() as stack:
        watchers = [
            stack.enter_context(Watcher(stream, account_id, after=before))
            for stream in gateway.streams
        ]
        gateway.place(f"{name}-before", third)
        with failure(gateway):
            gateway.place(f"{name}-within", third)
            if failure in {redis_killed, redis_frozen}:
                _wait_until_told(watchers, "degraded")
        gateway.place(f"{name}-after", third)
        if failure in {redis_killed, redis_frozen}:
            _wait_until_told(watchers, "live")
        until(gateway.is_filled, seconds=30)
        entries = gateway.journal(after=before)
        for watcher in watchers:
            until(lambda: watcher.has(before + len(entries)), seconds=10)  # noqa: B023

    # The broker may have had another word about an order that was filled.
    there = as_shown(gateway.journal())[before:]
    assert len({entry["order_id"] for entry in entries}) >= ORDERS
    for watcher in watchers:
        assert [message["seq"] for message in there] == list(_numbers(before, len(there)))
        assert len(watcher.heard) >= len(entries)
        assert watcher.heard == there[: len(watcher.heard)]
    assert (watchers[0].cuts > 0) == name.startswith("stream")
    assert watchers[1].cuts == 0


def _numbers(after: int, count: int) -> range:
    return range(after + 1, after + 1 + count)


def _wait_until_told(watchers: list[Watcher], state: str) -> None:
    for watcher in watchers:
        until(lambda: watcher.told == state, seconds=10)  # noqa: B023
