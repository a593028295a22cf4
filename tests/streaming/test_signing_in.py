"""A socket belongs to a token: by header or by message, within its time, never from the URL."""

from collections.abc import Callable

import pytest
from websockets.sync.client import connect

from opitios.core import clock
from tests.streaming.conftest import Token
from tests.streaming.stream_process import PATIENCE, Client, StreamProcess

pytestmark = pytest.mark.django_db

Connect = Callable[..., Client]

ODD = "odd"
AUTHENTICATED = [{"T": "success", "msg": "authenticated"}]


def test_a_token_may_come_as_the_first_message(client: Connect, token: Token) -> None:
    socket = client()

    assert socket.asks(action="auth", token=token("A")) == AUTHENTICATED


def test_a_token_may_come_as_a_header(client: Connect, token: Token) -> None:
    socket = client(token("A"))

    assert socket.asks(action="ping") == [{"T": "success", "msg": "pong"}]


@pytest.mark.parametrize(
    "message",
    [
        {"action": "subscribe", "orders": ["A"]},
        {"action": "unsubscribe", "orders": ["A"]},
        {"action": "list"},
        {"action": "ping"},
    ],
)
def test_a_stranger_can_do_nothing_but_sign_in(client: Connect, message: dict[str, object]) -> None:
    """H147."""
    socket = client()

    assert socket.refused(**message) == 401


@pytest.mark.parametrize("odd", ["", "x", "a.b.c", "é", "x" * 9000])
def test_an_odd_token_is_refused_and_the_socket_ends(client: Connect, odd: str) -> None:
    socket = client()

    answer = socket.asks(action="auth", token=odd)

    assert (answer[0]["code"], answer[0]["msg"]) == (402, "auth failed")
    assert answer[0]["detail"] == "The token is not valid."
    assert socket.end() == 4401


@pytest.mark.parametrize("header", ["", "Bearer", "Basic x", "Bearer a.b.c", "Bearer a, Bearer b"])
def test_an_odd_authorization_header_is_refused(client: Connect, header: str) -> None:
    socket = client(Authorization=header)

    assert socket.hears()[0]["code"] == 402
    assert socket.end() == 4401


def test_a_token_in_the_url_is_not_looked_at_nor_logged(
    stream: StreamProcess, token: Token
) -> None:
    """H038."""
    secret = token("A")
    url = f"ws://127.0.0.1:{stream.port}/ws/v1/stream?token={secret}&access_token={secret}"

    with connect(url, open_timeout=PATIENCE) as socket:
        socket.recv()
        socket.send('{"action":"list"}')
        assert '"code":401' in str(socket.recv())

    assert secret not in str(stream.log())


def test_who_says_nothing_is_sent_away(own_stream: Callable[..., StreamProcess]) -> None:
    """H147."""
    process = own_stream(OPITIOS_TIMERS__STREAM_AUTH="0.3")

    with process.client() as socket:
        assert socket.hears()[0]["msg"] == "connected"
        answer = socket.hears()

        assert (answer[0]["code"], answer[0]["msg"]) == (404, "auth timeout")
        assert socket.end() == 4408


def test_the_end_of_a_token_is_told_and_ends_the_socket(client: Connect, token: Token) -> None:
    """H148."""
    socket = client()

    assert socket.asks(action="auth", token=token("A", seconds=3)) == AUTHENTICATED
    told = socket.hears_next("token")
    end = socket.hears_next("error")

    assert 0 < told["expires_in"] <= 3
    assert end["code"] == 402
    assert socket.end() == 4401


def test_a_token_is_renewed_in_place(
    client: Connect, account: Callable[[], str], token: Token
) -> None:
    mine = account()
    socket, longer = client(), token(mine)

    # All at once: however slow the machine is, the second token is here before the first one ends.
    ends = clock.now().timestamp() + 3
    socket.says(action="auth", token=token(mine, seconds=3))
    socket.says(action="subscribe", orders=[mine])
    socket.says(action="auth", token=longer)

    for kind in ("success", "subscription", "success"):
        socket.hears_next(kind)
    while clock.now().timestamp() < ends:
        socket.hears_next("heartbeat")
    assert socket.asks(action="list")[0]["orders"] == [mine]


def test_another_subjects_token_is_no_renewal(client: Connect, token: Token) -> None:
    socket = client(token("A", sub="bot-7"))

    assert socket.refused(action="auth", token=token("A", sub="bot-8")) == 403
    assert socket.asks(action="ping")[0]["msg"] == "pong"


def test_a_failed_renewal_leaves_the_first_token_in_force(client: Connect, token: Token) -> None:
    socket = client(token("A"))

    assert socket.refused(action="auth", token=ODD) == 402
    assert socket.asks(action="ping")[0]["msg"] == "pong"


def test_a_narrower_token_ends_what_it_does_not_allow(
    client: Connect, account: Callable[[], str], token: Token
) -> None:
    mine, lost = account(), account()
    socket = client(token(mine, lost))
    socket.follows(mine, lost)

    assert socket.asks(action="auth", token=token(mine)) == AUTHENTICATED

    assert socket.hears_next("subscription")["orders"] == [mine]
