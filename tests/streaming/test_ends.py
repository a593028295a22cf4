"""How sockets end: the server restarts, a client does not read, and what is written about each."""

import socket as sockets
from collections.abc import Callable

import pytest

from tests.streaming import orders
from tests.streaming.conftest import Token
from tests.streaming.stream_process import Client, StreamProcess
from tests.support.until import until

pytestmark = pytest.mark.django_db

Connect = Callable[..., Client]


def test_a_socket_is_closed_when_its_server_restarts(
    own_stream: Callable[..., StreamProcess], account: Callable[[], str], token: Token
) -> None:
    mine = account()
    process = own_stream()
    with process.client(token=token(mine)) as socket:
        socket.hears()
        socket.hears()
        socket.follows(mine)

        process.stop()

        assert socket.end() == 1012


def test_a_client_that_does_not_read_is_closed_and_nobody_else_suffers(
    stream: StreamProcess, client: Connect, account: Callable[[], str], token: Token
) -> None:
    mine = account()
    good = client(token(mine))
    good.follows(mine)
    with _narrow(stream.port) as narrow, stream.client(token=token(mine), sock=narrow) as slow:
        slow.hears()
        slow.hears()
        slow.follows(mine)

        for number in range(1, 401):
            orders.announce(mine, reason="x" * 20_000)
            assert good.hears_next("account")["seq"] == number

        seen = [told["seq"] for told in slow.last_words() if told["T"] == "account"]
        assert slow.end() == 4008
        assert seen == list(range(1, len(seen) + 1))
        assert len(seen) < 400


def _narrow(port: int) -> sockets.socket:
    """A connection whose kernel holds little for us, so that the server notices soon."""
    narrow = sockets.socket()
    narrow.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    narrow.connect(("127.0.0.1", port))
    return narrow


def test_each_socket_leaves_one_line_in_the_access_log(
    stream: StreamProcess, client: Connect, token: Token
) -> None:
    socket = client(token("A"), X_Request_ID="socket-in-the-log")
    socket.asks(action="ping")

    socket.close()

    lines = until(lambda: stream.access_lines("socket-in-the-log"))
    assert len(lines) == 1
    assert (lines[0]["subject"], lines[0]["path"]) == ("bot-7", "/ws/v1/stream")
    assert (lines[0]["code"], lines[0]["frames"]) == (1000, 3)
    assert lines[0]["ms"] > 0
    assert (lines[0]["ip"], lines[0]["role"]) == ("127.0.0.1", "stream")


def test_the_process_shows_itself_in_the_pool(
    stream: StreamProcess, client: Connect, account: Callable[[], str], token: Token
) -> None:
    from accounts.models import ProcessRow  # noqa: PLC0415

    mine = account()
    socket = client(token(mine))
    socket.follows(mine)

    def shown() -> bool:
        row = ProcessRow.objects.filter(name="stream-shared").first()
        return row is not None and row.role == "stream" and row.snapshot["accounts"] >= 1

    assert until(shown, seconds=10)
    row = ProcessRow.objects.get(name="stream-shared")
    assert row.snapshot["sockets"] >= 1
