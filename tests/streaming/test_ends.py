"""How sockets end: the server restarts, a client does not read, and what is written about each."""

import signal
import socket as sockets
from collections.abc import Callable

import pytest

from tests.streaming import orders
from tests.streaming.conftest import Token
from tests.streaming.stream_process import Client, StreamProcess, narrow
from tests.support.until import until

pytestmark = pytest.mark.django_db

Connect = Callable[..., Client]


def test_every_socket_is_closed_when_its_server_restarts_and_none_keeps_it(
    own_stream: Callable[..., StreamProcess],
    client: Connect,
    account: Callable[[], str],
    token: Token,
) -> None:
    """C30: also one that only listens, a stranger, and one in a replay that it does not read."""
    mine = account()
    orders.notes(mine, 1200, reason="x" * 8000)
    process = own_stream()
    live, stranger = client(token(mine), to=process), client(to=process)
    live.follows(mine)
    with narrow(process.port) as sock, process.client(token=token(mine), sock=sock) as deaf:
        deaf.says(action="subscribe", orders=[mine], after={mine: 0})
        until(lambda: sock.recv(1, sockets.MSG_PEEK))

        status = process.stop()

    assert [live.end(), stranger.end()] == [1012, 1012]
    assert status in {0, -signal.SIGTERM}


def test_a_client_that_does_not_read_is_closed_and_nobody_else_suffers(
    stream: StreamProcess, client: Connect, account: Callable[[], str], token: Token
) -> None:
    mine = account()
    good = client(token(mine))
    good.follows(mine)
    with narrow(stream.port) as sock, stream.client(token=token(mine), sock=sock) as slow:
        slow.hears()
        slow.hears()
        slow.follows(mine)

        # Soon after it is too slow: who is closed has ten seconds to read why.
        for first in range(1, 401, 25):
            orders.notes(mine, 25, reason="x" * 20_000)
            heard = [good.hears_next("account")["seq"] for _ in range(25)]
            assert heard == [*range(first, first + 25)]

        seen = [told["seq"] for told in slow.last_words() if told["T"] == "account"]
        assert slow.end() == 4008
        assert seen == list(range(1, len(seen) + 1))
        assert len(seen) < 400


def test_each_socket_leaves_one_line_in_the_access_log(
    stream: StreamProcess, client: Connect, token: Token
) -> None:
    socket = client(token("A"), X_Request_ID="socket-in-the-log")
    socket.asks(action="ping")

    socket.close()

    lines = until(lambda: stream.access_lines("socket-in-the-log"))
    assert len(lines) == 1
    assert (lines[0]["subject"], lines[0]["path"]) == ("bot-7", "/ws/v1/stream")
    assert lines[0]["code"] == 1000
    assert lines[0]["ms"] > 0
    # Three were asked for; there is a beat each half second, and one may have come at once.
    assert 3 <= lines[0]["frames"] <= 4 + lines[0]["ms"] / 500
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
        if row is None or row.role != "stream":
            return False
        told = row.snapshot["accounts"], row.snapshot["sockets"]
        return 0 not in told

    assert until(shown, seconds=10)
