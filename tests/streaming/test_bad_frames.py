"""Frames that are not understood are refused one by one; too many or too large end the socket."""

import json
from collections.abc import Callable
from contextlib import suppress

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from opitios.core import clock
from tests.streaming.conftest import Token
from tests.streaming.stream_process import Client
from tests.support.until import until

pytestmark = pytest.mark.django_db

Connect = Callable[..., Client]


@pytest.mark.parametrize(
    "frame",
    [
        b'{"action":"ping"}',
        "",
        "ping",
        "[]",
        '[{"action":"ping"}]',
        '{"action":"ping"',
        '{"action":"ping","action":"ping"}',
        '{"action":"fly"}',
        '{"action":1}',
        '{"action":["ping"]}',
        '{"action":"subscribe","orders":NaN}',
        '{"action":"\\ud800"}',
        "[" * 1000,
        '{"type":"websocket.close","action":"websocket.disconnect"}',
    ],
)
def test_a_frame_that_is_not_understood_is_refused_and_the_socket_lives(
    client: Connect, token: Token, frame: str | bytes
) -> None:
    """H154, H156."""
    socket = client(token("A"))

    socket.socket.send(frame)

    answer = socket.hears_next("error")
    assert (answer["code"], answer["msg"]) == (400, "invalid syntax")
    assert socket.asks(action="ping")[0]["msg"] == "pong"


def test_too_many_messages_in_a_second_end_the_socket(client: Connect, token: Token) -> None:
    """H150."""
    socket = client(token("A"))

    def are_too_many() -> bool:
        began = clock.monotonic()
        # Closed while the last of them are written.
        with suppress(ConnectionClosed):
            for _ in range(30):
                socket.says(action="ping")
        for _ in range(30):
            answer = socket.answer()[0]
            if answer["T"] == "error":
                assert answer["code"] == 4429
                return True
        # On a crowded machine thirty may take longer than the second in which they are too many.
        assert clock.monotonic() - began > 1
        return False

    assert until(are_too_many)
    assert socket.end() == 4429


def test_a_frame_of_more_than_64_kib_ends_the_socket(client: Connect, token: Token) -> None:
    """H151."""
    socket = client(token("A"))

    socket.says(action="subscribe", orders=["x" * 66_000])

    assert socket.end() == 1009


def test_a_frame_of_just_under_64_kib_is_read(client: Connect, token: Token) -> None:
    socket = client(token("A"))

    assert socket.refused(action="subscribe", orders=["x" * 65_000]) == 4404


def test_bytes_that_are_not_utf8_end_the_socket(client: Connect, token: Token) -> None:
    """H154."""
    socket = client(token("A"))

    with socket.socket.protocol_mutex:
        socket.socket.protocol.send_frame(Frame(Opcode.TEXT, b'{"action":"\xff"}'))
        socket.socket.send_data()

    assert socket.end() == 1007


def test_two_thousand_accounts_fit_into_a_message_and_no_more(
    client: Connect, token: Token
) -> None:
    socket = client(token("A"))
    names = [f"a{number}" for number in range(2001)]
    assert len(json.dumps(names)) < 65_000

    assert socket.refused(action="subscribe", orders=names[:2000]) == 4404
    assert socket.refused(action="subscribe", orders=names) == 405
