"""Prices from the broker's sockets to a client's, through real processes that are killed."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from opitios.core import clock
from tests.streaming.market import subscribed
from tests.streaming.stream_process import Client, StreamProcess
from tests.support.crowd import patient
from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until

if TYPE_CHECKING:
    from tests.matrix.nodes import Node
    from tests.matrix.servers import Server

pytestmark = [pytest.mark.journeys, pytest.mark.django_db, pytest.mark.usefixtures("own_database")]

# Leases of a crowded machine; reaping of a tenth.
TIMERS = {
    "OPITIOS_TIMERS__LEASE_RENEW": "0.5",
    "OPITIOS_TIMERS__LEASE_VALID": "3.0",
    "OPITIOS_TIMERS__FEED_REAPED": "2.0",
}
# A market process and a Redis that came back, each in its own time; and the end of a minute.
HEAL_SECONDS = 70.0
OURS = {"symbol", "feed", "source", "age_ms"}

# Of a message of the broker: its kind, symbol and instant.
Key = tuple[str, str, datetime]


class Spectator(threading.Thread):
    """Hears at the broker, by a key that is not the gateway's, what the gateway hears."""

    def __init__(self, opened: ClientConnection) -> None:
        super().__init__(daemon=True)
        self._socket = opened
        self.heard: dict[Key, dict[str, Any]] = {}

    def run(self) -> None:
        """Keep what comes."""
        try:
            for frame in self._socket:
                for message in _decoded(frame):
                    self.heard[key_of(message)] = message
        except ConnectionClosed:
            return


def key_of(message: Mapping[str, Any]) -> Key:
    """Tell messages apart: of one kind and symbol no two have one instant."""
    at = message["t"]
    if isinstance(at, str):
        # As msgspec rounds the nanoseconds of msgpack's instants.
        nanoseconds = int(at[20:-1].ljust(9, "0")) if "." in at else 0
        seconds = datetime.fromisoformat(f"{at[:19]}+00:00")
        at = seconds + timedelta(microseconds=round(nanoseconds / 1000))
    return message["T"], message["S"], at


def _decoded(frame: str | bytes) -> list[dict[str, Any]]:
    if isinstance(frame, bytes):
        return list(msgspec.msgpack.decode(frame))
    return list(json.loads(frame))


@contextmanager
def spectator(
    sandbox: SandboxProcess, path: str, codec: str, **channels: list[str]
) -> Iterator[Spectator]:
    """Listen at the broker."""
    headers = sandbox.headers("spectator") | {"Content-Type": f"application/{codec}"}
    url = f"ws://127.0.0.1:{sandbox.port}{path}"
    with connect(url, additional_headers=headers, max_queue=None) as opened:
        assert [_decoded(opened.recv())[0]["T"] for _ in range(2)] == ["success", "success"]
        asked: Any = {"action": "subscribe", **channels}
        opened.send(json.dumps(asked) if codec == "json" else msgspec.msgpack.encode(asked))
        assert _decoded(opened.recv())[0]["T"] == "subscription"
        hearing = Spectator(opened)
        hearing.start()
        yield hearing


class Watcher:
    """A client that follows every channel, and what it has heard of each."""

    def __init__(self, socket: Client, followed: Mapping[str, str]) -> None:
        self.socket, self.followed = socket, followed
        self.answer = subscribed(socket, **{name: [symbol] for name, symbol in followed.items()})
        self.states: list[tuple[str, str]] = []
        self.prices: list[dict[str, Any]] = []

    def hears(self, kind: str, symbol: str) -> dict[str, Any]:
        """Read on to the next message of this T and symbol."""
        found: list[dict[str, Any]] = []
        deadline = clock.monotonic() + patient(HEAL_SECONDS)
        while not found:
            self._read(deadline)
            found = [one for one in self.prices if (one["T"], one["S"]) == (kind, symbol)]
        self.prices.clear()
        return found[-1]

    def until_all_are(self, state: str) -> None:
        """Read on until every channel was told to be in this state."""
        deadline = clock.monotonic() + patient(HEAL_SECONDS)
        while dict(self.states) != dict.fromkeys(self.followed, state):
            self._read(deadline)

    def _read(self, deadline: float) -> None:
        assert clock.monotonic() < deadline, self.states
        for message in self.socket.hears():
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        if message["T"] == "status" and message["channel"] in self.followed:
            self.states.append((message["channel"], message["state"]))
        elif message["T"] in "qtb":
            self.prices.append(message)


@pytest.fixture
def sandbox(_django_db_helper: None, tmp_path: Path) -> Iterator[SandboxProcess]:
    """A broker, and one data account at it."""
    from tests.support.accounts import open_accounts  # noqa: PLC0415 - Django is set up by now

    with SandboxProcess(tmp_path / "sandbox") as sandbox:
        open_accounts(1, url=sandbox.url, account_type="data")
        sandbox.post("feed", {"quotes_per_second": 20})
        yield sandbox


@pytest.fixture
def contract(sandbox: SandboxProcess) -> str:
    """A contract that the broker lists."""
    path = "/v2/options/contracts?underlying_symbols=AAPL&limit=1"
    listed = sandbox.trade("spectator", "GET", path).json()
    return str(listed["option_contracts"][0]["symbol"])


@pytest.fixture
def redis(_django_db_helper: None, tmp_path: Path) -> Iterator["Server"]:
    """A Redis that may be killed; it comes back empty."""
    from tests.matrix.servers import redis_server  # noqa: PLC0415 - Django is set up by now

    with redis_server(tmp_path) as server:
        yield server


@pytest.fixture
def stream(redis: "Server", tmp_path: Path) -> Iterator[StreamProcess]:
    """A stream process on this test's database."""
    told = {"OPITIOS_PROCESS": "stream-market", "REDIS_URL": redis.url}
    with StreamProcess(tmp_path, **told) as process:
        yield process


@pytest.fixture
def market_node(redis: "Server", tmp_path: Path) -> Callable[[], "Node"]:
    """Start a market process."""
    from tests.matrix.nodes import Node  # noqa: PLC0415 - Django is set up by now

    command = ("manage.py", "listen_market")
    return lambda: Node("market", command, tmp_path, TIMERS | {"REDIS_URL": redis.url})


def test_a_client_hears_what_the_broker_said_and_losses_are_told_and_healed(
    sandbox: SandboxProcess,
    contract: str,
    stream: StreamProcess,
    market_node: Callable[[], "Node"],
    redis: "Server",
) -> None:
    from tests.matrix.nodes import running  # noqa: PLC0415 - Django is set up by now
    from tests.support.accounts import token  # noqa: PLC0415

    stock = {"trades": ["AAPL"], "quotes": ["AAPL"], "bars": ["AAPL"]}
    option = {"trades": [contract], "quotes": [contract]}
    followed = {
        **dict.fromkeys(stock, "AAPL"),
        **{f"option_{channel}": contract for channel in option},
    }
    with ExitStack() as stack:
        stocks = stack.enter_context(spectator(sandbox, "/v2/iex", "json", **stock))
        options = stack.enter_context(
            spectator(sandbox, "/v1beta1/indicative", "msgpack", **option)
        )
        socket = stack.enter_context(stream.client(token=token([], permissions=["market_data"])))
        assert [socket.hears()[0]["T"] for _ in range(2)] == ["success", "success"]
        first = market_node()
        stack.enter_context(running(first))
        watcher = Watcher(socket, followed)

        for kind, symbol, there, feed in (
            ("q", "AAPL", stocks, "iex"),
            ("t", "AAPL", stocks, "iex"),
            ("q", contract, options, "indicative"),
            ("t", contract, options, "indicative"),
        ):
            _is_what_was_said(watcher.hears(kind, symbol), there, feed)

        # Killed: said within seconds, and healed by the next without a word of the client.
        first.kill()
        watcher.until_all_are("down")
        stack.enter_context(running(market_node()))
        watcher.until_all_are("live")
        _is_what_was_said(watcher.hears("q", "AAPL"), stocks, "iex")
        _is_what_was_said(watcher.hears("t", contract), options, "indicative")

        # Redis too, and with it everything that was wanted.
        redis.kill()
        watcher.until_all_are("down")
        redis.start()
        watcher.until_all_are("live")
        _is_what_was_said(watcher.hears("q", contract), options, "indicative")
        _is_what_was_said(watcher.hears("t", "AAPL"), stocks, "iex")

        # A minute's end is seldom far by now.
        _is_what_was_said(watcher.hears("b", "AAPL"), stocks, "iex")
        assert socket.asks(action="list")[0] == watcher.answer


def _is_what_was_said(message: dict[str, Any], there: Spectator, feed: str) -> None:
    """Compare a client's message with the broker's own, key by key."""
    told = until(lambda: there.heard.get(key_of(message)))
    assert told is not None
    assert message.keys() == told.keys() | OURS
    assert {key: message[key] for key in told if key != "t"} == {
        key: told[key] for key in told if key != "t"
    }
    assert (message["symbol"], message["feed"], message["source"]) == (told["S"], feed, "stream")
    assert 0 <= message["age_ms"] < 60_000
