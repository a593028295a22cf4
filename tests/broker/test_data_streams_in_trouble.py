"""A data server that misbehaves: the socket comes back, not in a hurry, and tells why."""

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from msgspec.msgpack import Ext
from websockets.asyncio.server import ServerConnection

from tests.broker.conftest import KEY_ID, SECRET, ServerStarter
from tests.broker.data_sockets import TIMERS, Heard, listening
from tests.broker.stream_server import Script, StreamServer
from tests.support.until import until

QUOTE = {"T": "q", "S": "AAPL", "bp": 1.0, "ap": 2.0}


@pytest.fixture
def heard() -> Iterator[Callable[..., Heard]]:
    with listening() as start:
        yield start


async def say(socket: ServerConnection, **message: Any) -> None:
    await socket.send(msgspec.msgpack.encode([message]))


async def hear(server: StreamServer, socket: ServerConnection) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.msgpack.decode(await socket.recv(decode=False))
    server.heard.append(told)
    return told


async def sign_in(server: StreamServer, socket: ServerConnection) -> None:
    await say(socket, T="success", msg="connected")
    await hear(server, socket)
    await say(socket, T="success", msg="authenticated")


def refusing(code: int) -> Script:
    """Answer the keys with an error."""

    async def script(server: StreamServer, socket: ServerConnection) -> None:
        await say(socket, T="success", msg="connected")
        await hear(server, socket)
        await say(socket, T="error", code=code, msg="no")

    return script


def serving(*frames: bytes, then: int | None = None) -> Script:
    """Sign in, confirm each subscription, send the frames, and end with an error or stay."""

    async def script(server: StreamServer, socket: ServerConnection) -> None:
        await sign_in(server, socket)
        asked = await hear(server, socket)
        await say(socket, T="subscription", quotes=asked["quotes"])
        for frame in (*frames, msgspec.msgpack.encode([QUOTE])):
            await socket.send(frame)
        if then is None:
            await socket.wait_closed()
        else:
            await say(socket, T="error", code=then, msg="no")

    return script


def opened(start: Callable[..., Heard], server: StreamServer, **timers: float) -> Heard:
    one = start(**timers)
    one.open(server.url)
    one.want("quotes AAPL")
    return one


@pytest.mark.parametrize("code", [404, 500])
def test_a_sign_in_that_failed_for_no_fault_of_ours_is_tried_again(
    stream_server: ServerStarter, heard: Callable[..., Heard], code: int
) -> None:
    one = opened(heard, stream_server(refusing(code), serving()))

    one.hears("q", "AAPL")

    assert one.states == ["connecting", "lost", "connecting", "listening"]


@pytest.mark.parametrize(("code", "state"), [(402, "unauthorized"), (409, "refused"),
                                             (411, "refused"), (413, "refused")])  # fmt: skip
def test_what_the_same_keys_would_be_refused_again_is_not_tried_again(
    stream_server: ServerStarter, heard: Callable[..., Heard], code: int, state: str
) -> None:
    server = stream_server(refusing(code), serving())
    one = opened(heard, server)
    until(lambda: one.condition.state == state)

    one.open(server.url)

    one.hears("q", "AAPL")
    assert one.states == ["connecting", state, "connecting", "listening"]
    assert server.handshakes == 2


@pytest.mark.parametrize("status", [401, 403, 406, 429])
def test_a_refused_handshake_is_told_and_waited_out(
    stream_server: ServerStarter, heard: Callable[..., Heard], status: int
) -> None:
    one = opened(heard, stream_server(serving(), refusals=[(status, {})]))

    one.hears("q", "AAPL")

    told = "unauthorized" if status in {401, 403} else "throttled"
    assert one.states == ["connecting", told, "connecting", "listening"]


def test_a_taken_connection_waits_as_long_as_reaping_takes(
    stream_server: ServerStarter, heard: Callable[..., Heard]
) -> None:
    began = time.monotonic()
    one = opened(heard, stream_server(refusing(406), refusing(406), serving()))

    one.hears("q", "AAPL")

    assert time.monotonic() - began >= 2 * TIMERS.reaped
    assert one.states.count("throttled") == 2


def test_a_slow_client_comes_back_ever_more_slowly(
    stream_server: ServerStarter, heard: Callable[..., Heard]
) -> None:
    began = time.monotonic()
    one = opened(heard, stream_server(*[serving(then=407)] * 4, serving()))

    until(lambda: one.states.count("listening") == 5)

    assert time.monotonic() - began >= sum(TIMERS.first_wait * 2**n / 2 for n in range(4))


@pytest.mark.parametrize(
    "odd",
    [
        *(b"", b"\xc1", b"not msgpack", b"\x80"),
        msgspec.msgpack.encode({"T": "q"}),
        msgspec.msgpack.encode([1, 2]),
        msgspec.msgpack.encode([{"T": "q", "t": Ext(5, b"x")}]),
        msgspec.msgpack.encode([{"T": "q", "t": Ext(-1, b"\x7f" * 12)}]),
    ],
)
def test_a_frame_that_cannot_be_read_costs_itself(
    stream_server: ServerStarter, heard: Callable[..., Heard], odd: bytes
) -> None:
    one = opened(heard, stream_server(serving(odd)))

    assert one.hears("q", "AAPL")["bp"] == 1.0

    assert one.streams.counts["unreadable"] == 1
    assert one.states == ["connecting", "listening"]


def test_keys_that_the_server_repeats_come_no_further(
    stream_server: ServerStarter, heard: Callable[..., Heard]
) -> None:
    echo = msgspec.msgpack.encode([{"T": "q", "S": "ECHO", "c": [SECRET]}])
    one = opened(heard, stream_server(serving(echo)))

    assert one.hears("q", "ECHO")["c"] == ["*" * len(SECRET)]


def test_keys_are_in_no_log_and_no_reason(
    stream_server: ServerStarter, heard: Callable[..., Heard], caplog: pytest.LogCaptureFixture
) -> None:
    async def echoing(server: StreamServer, socket: ServerConnection) -> None:
        await say(socket, T="success", msg="connected")
        told = await hear(server, socket)
        await say(socket, T="error", code=409, msg=f"{told['key']} {told['secret']}")

    # websockets logs whole frames at this level; its server, which is not ours, is left out.
    logging.getLogger("websockets.server").setLevel(logging.WARNING)
    with caplog.at_level(logging.DEBUG):
        one = opened(heard, stream_server(echoing))
        until(lambda: one.condition.state == "refused")

    assert "*****" in str(one.condition.reason)
    for key in (SECRET, KEY_ID):
        assert key not in caplog.text + repr(one.condition)


def test_a_subscription_that_is_not_answered_ends_the_connection(
    stream_server: ServerStarter, heard: Callable[..., Heard]
) -> None:
    async def silent(server: StreamServer, socket: ServerConnection) -> None:
        await sign_in(server, socket)
        await socket.wait_closed()

    one = opened(heard, stream_server(silent, serving()), answer=0.5)

    one.hears("q", "AAPL")

    assert one.states[:5] == ["connecting", "listening", "lost", "connecting", "listening"]


def test_a_socket_that_is_dropped_is_closed_in_order(
    stream_server: ServerStarter, heard: Callable[..., Heard]
) -> None:
    server = stream_server(serving())
    one = opened(heard, server)
    one.hears("q", "AAPL")

    one.streams.drop("one")

    until(lambda: server.open == 0)
    assert one.streams.conditions() == {}
