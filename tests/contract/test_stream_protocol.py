"""The /stream protocol message by message, as clients other than alpaca-py meet it."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.support.sandbox_process import SandboxProcess

pytestmark = pytest.mark.contract

ORDER = {
    "symbol": "AAPL",
    "qty": "1",
    "side": "buy",
    "type": "limit",
    "limit_price": "1.50",
    "time_in_force": "gtc",
}


@asynccontextmanager
async def socket(broker: SandboxProcess) -> AsyncIterator[ClientConnection]:
    async with connect(broker.stream_url, proxy=None) as connection:
        yield connection


async def ask(connection: ClientConnection, message: object) -> Any:
    await connection.send(json.dumps(message))
    return await hear(connection)


async def hear(connection: ClientConnection) -> Any:
    answer = await connection.recv()
    # The paper server sends JSON in binary frames; some clients choke on text.
    assert isinstance(answer, bytes)
    return json.loads(answer)


def login(account: str, secret: str | None = None) -> dict[str, Any]:
    keys = {
        "key_id": SandboxProcess.key(account),
        "secret_key": secret or SandboxProcess.secret(account),
    }
    return {"action": "authenticate", "data": keys}


def listen(*streams: str) -> dict[str, Any]:
    return {"action": "listen", "data": {"streams": list(streams)}}


async def test_a_right_key_is_authorized(broker: SandboxProcess, account: str) -> None:
    async with socket(broker) as connection:
        answer = await ask(connection, login(account))

    assert answer == {
        "stream": "authorization",
        "data": {"status": "authorized", "action": "authenticate"},
    }


async def test_a_wrong_key_is_unauthorized(broker: SandboxProcess, account: str) -> None:
    async with socket(broker) as connection:
        answer = await ask(connection, login(account, "not-the-secret"))

    assert answer["data"] == {"status": "unauthorized", "action": "authenticate"}


async def test_listening_before_authenticating_is_unauthorized(broker: SandboxProcess) -> None:
    async with socket(broker) as connection:
        answer = await ask(connection, listen("trade_updates"))

    assert answer["data"] == {"status": "unauthorized", "action": "listen"}


async def test_listen_answers_the_known_streams_and_may_be_repeated(
    broker: SandboxProcess, account: str
) -> None:
    async with socket(broker) as connection:
        await ask(connection, login(account))
        first = await ask(connection, listen("trade_updates", "gossip"))
        second = await ask(connection, listen("trade_updates"))

    assert first == second == {"stream": "listening", "data": {"streams": ["trade_updates"]}}


async def test_an_empty_list_stops_the_updates(broker: SandboxProcess, account: str) -> None:
    async with socket(broker) as connection:
        await ask(connection, login(account))
        await ask(connection, listen("trade_updates"))
        stopped = await ask(connection, listen())
        broker.trade(account, "POST", "/v2/orders", json=ORDER)
        after = await ask(connection, listen())

    assert stopped == after == {"stream": "listening", "data": {"streams": []}}


@pytest.mark.parametrize(
    "text", ["{", '"listen"', "[]", '{"action":"dance"}', '{"action":"listen"}']
)
async def test_nonsense_is_answered_and_survived(
    broker: SandboxProcess, account: str, text: str
) -> None:
    async with socket(broker) as connection:
        await connection.send(text)
        answer = await hear(connection)
        afterwards = await ask(connection, login(account))

    assert answer["action"] == "error"
    assert answer["data"]["error_message"]
    assert afterwards["data"]["status"] == "authorized"


async def test_a_fragmented_binary_command_is_understood(
    broker: SandboxProcess, account: str
) -> None:
    whole = json.dumps(login(account)).encode()

    async with socket(broker) as connection:
        await connection.send([whole[:20], whole[20:]])
        answer = await hear(connection)

    assert answer["data"]["status"] == "authorized"


async def test_every_socket_of_an_account_hears_an_update(
    broker: SandboxProcess, account: str
) -> None:
    async with socket(broker) as one, socket(broker) as two:
        for connection in (one, two):
            await ask(connection, login(account))
            await ask(connection, listen("trade_updates"))
        broker.trade(account, "POST", "/v2/orders", json=ORDER)
        told = [await hear(one), await hear(two)]

    assert told[0] == told[1]
    assert told[0]["data"]["event"] == "new"
