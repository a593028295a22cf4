"""A consumer ends whatever its client or its server does: nothing of it stays behind."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from marketdata.demand import Demand
from opitios.core.bus import get_bus
from opitios.core.config import get_config
from streaming import consumers
from streaming.buffer import MAX_FRAMES
from streaming.consumers import Event, StreamConsumer
from streaming.hub import Hub
from streaming.market import MarketHub
from streaming.protocol import success
from streaming.session import Session
from tests.streaming.conftest import Token
from tests.support.crowd import patient

SCOPE = {"type": "websocket", "path": "/ws/v1/stream", "headers": []}


class Server:
    """What a consumer is given: events to receive, and a place to send to."""

    def __init__(self, token: str) -> None:
        self.events: asyncio.Queue[Event] = asyncio.Queue()
        self.sent: list[Event] = []
        self.blocked: asyncio.Event | None = None
        self.raises: Exception | None = None
        self._changed = asyncio.Condition()
        self.consumer = StreamConsumer()
        bearer = (b"authorization", f"Bearer {token}".encode())
        self.events.put_nowait({"type": "websocket.connect"})
        self.task = asyncio.create_task(
            self.consumer(SCOPE | {"headers": [bearer]}, self.events.get, self.send)
        )

    async def send(self, event: Event) -> None:
        if self.raises is not None and event["type"] != "websocket.accept":
            raise self.raises
        if self.blocked is not None:
            await self.blocked.wait()
        async with self._changed:
            self.sent.append(event)
            self._changed.notify_all()

    async def ended(self) -> None:
        await asyncio.wait_for(self.task, 60)

    async def until_sent(self, count: int) -> list[Any]:
        async with asyncio.timeout(patient(5)), self._changed:
            await self._changed.wait_for(lambda: len(self.sent) >= count)
        return [json.loads(event["text"]) for event in self.sent if "text" in event]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Hub:
    """A hub that nobody starts."""
    hub = Hub(get_bus(), get_config().timers)
    monkeypatch.setattr(hub, "start", lambda: None)
    monkeypatch.setattr(consumers, "get_hub", lambda: hub)
    market = MarketHub(get_bus(), Demand(get_bus()))
    monkeypatch.setattr(market, "start", lambda: None)
    monkeypatch.setattr(consumers, "get_market", lambda: market)
    return hub


@pytest.fixture
def server(hub: Hub, token: Token) -> Callable[[], Server]:
    """Run a consumer whose client signs in by the header."""
    return lambda: Server(token("A"))


async def test_a_client_that_never_reads_again_is_left(
    server: Callable[[], Server], hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "CLOSE_SECONDS", 0.05)
    deaf = server()
    await deaf.until_sent(3)
    deaf.blocked = asyncio.Event()

    for _ in range(MAX_FRAMES + 2):
        deaf.consumer.outbox.put(success("more"))
        await asyncio.sleep(0)

    await deaf.ended()
    assert deaf.consumer.code == 4008
    assert hub._sockets == {}


@pytest.mark.parametrize("gone", [ConnectionResetError(), RuntimeError("after websocket.close")])
async def test_a_client_that_went_while_it_was_written_to_ends_quietly(
    server: Callable[[], Server], gone: Exception
) -> None:
    lost = server()
    await lost.until_sent(3)
    lost.raises = gone

    lost.consumer.outbox.put(success("too late"))
    lost.events.put_nowait({"type": "websocket.disconnect", "code": 1006})

    await lost.ended()
    assert lost.consumer.code == 1006
    assert len(lost.sent) == 3


async def test_a_failure_of_ours_is_said_and_ends_the_socket(
    server: Callable[[], Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def obey(*_: object) -> None:
        raise ValueError("secret detail")

    monkeypatch.setattr(Session, "obey", obey)
    unlucky = server()

    unlucky.events.put_nowait({"type": "websocket.receive", "text": '{"action":"ping"}'})

    frames = await unlucky.until_sent(5)
    assert frames[-1] == [{"T": "error", "code": 500, "msg": "internal error"}]
    assert unlucky.sent[-1] == {"type": "websocket.close", "code": 1011}
    unlucky.events.put_nowait({"type": "websocket.disconnect", "code": 1011})
    await unlucky.ended()


async def test_a_cancelled_consumer_leaves_the_hub(server: Callable[[], Server], hub: Hub) -> None:
    served = server()
    await served.until_sent(3)
    assert len(hub._sockets) == 1

    served.task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await served.task
    assert hub._sockets == {}
