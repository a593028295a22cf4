"""What cannot be shown is said, in its place in line; nothing is lost silently (G19)."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any
from uuid import uuid4

import pytest

from accounts import journal
from accounts.models import JournalEntry
from opitios.core import database
from opitios.core.bus import get_bus
from opitios.core.config import get_config
from streaming import replay
from streaming.buffer import Outbox
from streaming.hub import Hub
from streaming.lines import AsgiLine
from tests.streaming import orders
from tests.streaming.conftest import Token
from tests.streaming.stream_process import Client
from tests.support.crowd import patient

pytestmark = pytest.mark.django_db

Connect = Callable[..., Client]


def unreadable(account_id: str) -> int:
    """Append an order's entry that tells nothing: its first, without the order."""
    order_id = uuid4()
    body = journal.body(actor=journal.system("test"), order_id=str(order_id))
    seq = journal.append(account_id, "order.new", body, order_id=order_id).seq
    database.release()
    return seq


def test_an_entry_that_cannot_be_told_is_a_gap_and_the_stream_goes_on(
    client: Connect, account: Callable[[], str], token: Token
) -> None:
    mine = account()
    live, late = client(token(mine)), client(token(mine))
    live.follows(mine)
    orders.place(mine)

    seq = unreadable(mine)
    orders.place(mine)

    late.asks(action="subscribe", orders=[mine], after={mine: 0})
    for socket in (live, late):
        assert socket.hears_next("order")["seq"] == 1
        told = socket.hears_next("gap")
        assert (told["account_id"], told["seq"], told["reason"]) == (mine, seq, "unreadable")
        assert socket.hears_next("order")["seq"] == 3


def test_numbers_that_the_journal_does_not_hold_are_gaps(
    account: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its guards let nobody delete an entry: two are hidden where they are read."""
    mine = account()
    orders.notes(mine, 4)
    shown = JournalEntry.objects.exclude(account_id=mine, seq__in=[2, 3])
    monkeypatch.setattr(JournalEntry, "objects", shown)

    told = [(each["T"], each["seq"]) for each in replay.messages_after({mine: 0})]

    assert told == [("account", 1), ("gap", 2), ("gap", 3), ("account", 4)]
    database.release()


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    """A hub in this process that listens to no Redis and polls often."""
    hub = Hub(get_bus(), get_config().timers)
    hub._wanted.set()
    polls = asyncio.create_task(_poll(hub))
    yield hub
    polls.cancel()
    await asyncio.gather(polls, return_exceptions=True)


async def _poll(hub: Hub) -> None:
    while True:
        await hub.read_journal(poll=True)
        await asyncio.sleep(0.01)


class Nobody:
    """A follower that does not mind the roster."""

    def hear_roster(self, heads: Mapping[str, int], gone: object) -> None:
        """Ignore it."""


class Reader:
    """A socket without a network: what it is sent."""

    def __init__(self) -> None:
        self.outbox = Outbox()
        self._heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._writing = asyncio.create_task(self.outbox.drain(AsgiLine(self._send)))

    async def _send(self, text: str) -> None:
        for message in json.loads(text):
            self._heard.put_nowait(message)

    async def hears(self) -> dict[str, Any]:
        return await asyncio.wait_for(self._heard.get(), patient(10))

    async def ends(self) -> None:
        self._writing.cancel()
        await asyncio.gather(self._writing, return_exceptions=True)


async def test_a_journal_that_ends_before_what_was_shown_is_told_and_counted_anew(
    hub: Hub, account: Callable[[], str]
) -> None:
    """A database restored from an older copy: its numbers will be given a second time."""
    mine = await asyncio.to_thread(account)
    await asyncio.to_thread(orders.notes, mine, 2)
    reader = Reader()
    hub.enter(reader.outbox, Nobody())
    assert await hub.subscribe(reader.outbox, [mine]) == {mine: 2}
    for seq in (3, 4):
        hub.push({"T": "account", "account_id": mine, "seq": seq})

    await hub.show_pushes()

    assert [(await reader.hears())["seq"] for _ in range(2)] == [3, 4]
    told = await reader.hears()
    assert (told["T"], told["seq"], told["reason"]) == ("gap", 2, "rewound")
    await asyncio.to_thread(orders.note, mine)
    assert (await reader.hears())["seq"] == 3
    await reader.ends()


async def test_a_replay_that_fails_ends_its_socket_so_that_the_client_asks_again(
    hub: Hub, account: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = await asyncio.to_thread(account)
    await asyncio.to_thread(orders.notes, mine, 2)
    broken = Outbox()

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a failure of ours")

    monkeypatch.setattr(replay, "messages_after", fail)
    ended = asyncio.get_running_loop().create_future()
    broken.on_end = lambda: ended.set_result(broken.closing)

    await hub.subscribe(broken, [mine], {mine: 0})

    assert await asyncio.wait_for(ended, 60) == 1011
    hub.leave(broken, [mine])
