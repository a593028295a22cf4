"""Which handshakes are answered, and what else the stream process says to HTTP."""

import json
from collections.abc import Callable

import pytest
import requests

from streaming.consumers import Event
from streaming.routing import websocket
from tests.streaming.conftest import Token
from tests.streaming.stream_process import Client, StreamProcess

pytestmark = pytest.mark.django_db

Connect = Callable[..., Client]


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "http://127.0.0.1.evil.example",
        "http://127.0.0.1@evil.example",
        "http://127.0.0.1/evil.example",
        "file://127.0.0.1",
        "127.0.0.1",
        "http://",
        "http://[",
    ],
)
def test_a_page_of_another_site_is_refused_at_the_handshake(
    stream: StreamProcess, origin: str
) -> None:
    """H146."""
    assert stream.refusal(Origin=origin).status_code == 403


@pytest.mark.parametrize("origin", ["http://127.0.0.1:8090", "https://localhost", "http://[::1]:1"])
def test_a_page_of_ours_is_let_in(client: Connect, token: Token, origin: str) -> None:
    socket = client(token("A"), Origin=origin)

    assert socket.asks(action="ping")[0]["msg"] == "pong"


@pytest.mark.parametrize(
    "path", ["/", "/ws", "/ws/v1/stream/", "/ws/v2/stream", "/ws/v1/stream/x", "/api/v1/pool"]
)
def test_any_other_path_is_not_found(stream: StreamProcess, path: str) -> None:
    response = stream.refusal(path)

    assert response.status_code == 404
    assert response.headers["Content-Type"] == "application/problem+json"


async def test_a_server_that_cannot_answer_a_handshake_says_no() -> None:
    sent: list[Event] = []

    async def send(event: Event) -> None:
        sent.append(event)

    async def receive() -> Event:
        return {"type": "websocket.connect"}

    await websocket({"type": "websocket", "path": "/ws", "headers": []}, receive, send)

    assert sent == [{"type": "websocket.close"}]


def test_a_process_that_cannot_judge_tokens_does_not_start(
    own_stream: Callable[..., StreamProcess],
) -> None:
    weak = [{"kid": "k", "alg": "HS256", "key": "short"}]

    with pytest.raises(RuntimeError, match="an HS256 secret needs 32 bytes"):
        own_stream(OPITIOS_JWT_KEYS=json.dumps(weak))


@pytest.mark.parametrize("path", ["/", "/ws/v1/stream", "/api/v1/health", "/admin/"])
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_plain_http_is_answered_with_a_problem(
    stream: StreamProcess, method: str, path: str
) -> None:
    url = f"http://127.0.0.1:{stream.port}{path}"

    answer = requests.request(
        method, url, timeout=60, data=b"x" * 1000, headers={"X-Request-ID": "mine-1"}
    )

    assert (answer.status_code, answer.json()["reason"]) == (404, "not-found")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["X-Request-ID"] == answer.json()["request_id"] == "mine-1"
