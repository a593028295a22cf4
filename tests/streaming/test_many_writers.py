"""Several writers at once and a bus that loses, doubles and swaps: every stream stays gapless."""

import random
from collections import defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from accounts import journal
from opitios.core import database
from opitios.core.bus import Bus, Topic
from tests.streaming import orders
from tests.streaming.conftest import Token
from tests.streaming.stream_process import Client
from trading import shapes

pytestmark = [pytest.mark.django_db, pytest.mark.races]

Connect = Callable[..., Client]
Hint = tuple[Topic, Mapping[str, Any]]

ORDERS_A_WRITER = 6


@pytest.fixture
def poor_bus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lose a push in five, send one in five twice, and let one in five wait for a later one."""
    chance = random.Random(7)  # noqa: S311 - a seed, so that a failure comes again
    waiting: list[Hint] = []
    tell = Bus.tell

    def unreliable(bus: Bus, *hints: Hint) -> None:
        match chance.randrange(5):
            case 0:
                pass
            case 1:
                tell(bus, *hints, *hints)
            case 2:
                waiting.extend(hints)
            case _:
                late, waiting[:] = waiting[:], []
                tell(bus, *hints, *late)

    monkeypatch.setattr(Bus, "tell", unreliable)


def test_every_subscriber_sees_every_entry_once_and_in_order(
    poor_bus: None, client: Connect, account: Callable[[], str], token: Token
) -> None:
    mine = [account() for _ in range(3)]
    sockets = [client(token(*mine, sub=f"bot-{number}")) for number in range(3)]
    for socket in sockets:
        socket.follows(*mine)

    with ThreadPoolExecutor(max_workers=6) as writers:
        list(writers.map(_write_orders, mine * 2))

    entries = {name: journal.entries(name, after=0, kind=None, limit=500) for name in mine}
    for socket in sockets:
        heard = _heard(socket, sum(map(len, entries.values())))
        for name in mine:
            assert [told["seq"] for told in heard[name]] == list(range(1, len(entries[name]) + 1))
            assert heard[name] == _told_by_the_journal(entries[name])


def _write_orders(account_id: str) -> None:
    for _ in range(ORDERS_A_WRITER):
        orders.whole_life(account_id)
    database.release()


def _heard(socket: Client, count: int) -> Mapping[str, list[dict[str, Any]]]:
    heard = defaultdict(list)
    for _ in range(count):
        message = socket.hears_next("order")
        del message["sent_at"]
        heard[message["account_id"]].append(message)
    return heard


def _told_by_the_journal(entries: list[Any]) -> list[dict[str, Any]]:
    """Fold each order up to each of its entries."""
    past: dict[Any, list[Mapping[str, Any]]] = defaultdict(list)
    told = []
    for entry in entries:
        past[entry.order_id].append(journal.entry_json(entry))
        told.append(shapes.replayed_message(past[entry.order_id]))
    return told
