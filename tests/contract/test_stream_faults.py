"""Streams cut on demand, and handshakes refused."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import pytest
import requests
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus

from tests.contract.test_stream_protocol import ask, hear, listen, login, socket
from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until

pytestmark = pytest.mark.contract


async def test_a_dropped_stream_ends_without_a_close_frame(
    broker: SandboxProcess, account: str
) -> None:
    async with socket(broker) as mine, socket(broker) as other:
        for connection, name in ((mine, account), (other, f"{account}-b")):
            await ask(connection, login(name))
            await ask(connection, listen("trade_updates"))

        dropped = broker.fault("stream_drop", account=account)

        with pytest.raises(ConnectionClosed) as ended:
            await hear(mine)
        assert (await ask(other, listen()))["stream"] == "listening"
    assert dropped == {"fault": "stream_drop", "dropped": 1}
    assert ended.value.rcvd is None


async def test_a_stream_may_be_dropped_again_when_it_comes_back(
    broker: SandboxProcess, account: str
) -> None:
    broker.fault("stream_drop", account=account, times=2)

    async with socket(broker) as first:
        await ask(first, login(account))
        await first.send(json.dumps(listen("trade_updates")))
        # The answer may or may not arrive before the cut.
        answers = [message async for message in untidy(first)]
    async with socket(broker) as second:
        await ask(second, login(account))
        answer = await ask(second, listen("trade_updates"))

    assert len(answers) <= 1
    assert answer["stream"] == "listening"


async def untidy(connection: ClientConnection) -> AsyncIterator[object]:
    """What arrives until the connection is cut."""
    with contextlib.suppress(ConnectionClosedError):
        while True:
            yield await hear(connection)


async def test_a_handshake_may_be_refused(broker: SandboxProcess) -> None:
    broker.fault("429", route="GET /stream")

    with pytest.raises(InvalidStatus) as refused:
        async with connect(broker.stream_url, proxy=None):
            pass

    assert refused.value.response.status_code == 429


async def test_a_closed_socket_is_forgotten(broker: SandboxProcess, account: str) -> None:
    before = broker.get("health")["sockets"]

    async with socket(broker) as connection:
        await ask(connection, login(account))
        during = broker.get("health")["sockets"]

    await asyncio.to_thread(until, lambda: broker.get("health")["sockets"] == before)
    assert during == before + 1


def test_a_plain_request_to_the_stream_is_refused(broker: SandboxProcess) -> None:
    answer = requests.get(f"{broker.url}/stream", timeout=60)

    assert answer.status_code == 400
