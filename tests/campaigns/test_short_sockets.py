"""The sockets campaign's short case: the same enemies at one stream process, beside honest ones."""

import asyncio
import os
from collections.abc import Callable

import pytest

from tests.campaigns.hostile_sockets import Enemies, Heard, Plan, State, left, listening
from tests.streaming import orders
from tests.streaming.conftest import Token, account, own_stream, token
from tests.streaming.stream_process import StreamProcess
from tests.support.until import until

pytestmark = [pytest.mark.journeys, pytest.mark.django_db]

__all__ = ("account", "own_stream", "token")

HONEST, CYCLES, ORDERS = 3, 60, 20


async def test_enemies_of_a_stream_hold_up_nobody_and_leave_nothing(
    own_stream: Callable[..., StreamProcess], account: Callable[[], str], token: Token
) -> None:
    name = f"stream-{os.getpid()}"
    process = await asyncio.to_thread(
        lambda: own_stream(OPITIOS_PROCESS=name, OPITIOS_TIMERS__POOL_ROW="0.2")
    )
    mine = await asyncio.to_thread(account)
    url = f"ws://127.0.0.1:{process.port}/ws/v1/stream"
    bearer = token(mine, permissions=("account_read", "market_data"))
    before = await asyncio.to_thread(at_rest, name)
    enemies, heard = Enemies(url, bearer, Plan(cycles=CYCLES, seed=7)), Heard()

    async with listening(url, token(mine), HONEST, heard):
        attack = asyncio.create_task(enemies.attack(lambda _done: None))
        for _ in range(ORDERS):
            await asyncio.to_thread(orders.place, mine)
        await attack
        await asyncio.wait_for(heard.until(HONEST * ORDERS), 30)

    assert heard.broken == []
    assert sum(enemies.ends.values()) == CYCLES
    assert set(enemies.ends) <= {"at once", "having followed", "without a goodbye"}
    await asyncio.to_thread(at_rest, name, before)


def at_rest(name: str, before: State | None = None) -> State:
    """What a process says of itself when nobody is connected any more, and as little is left.

    A place is given back a little before the tasks of its socket end: its row may tell of both.
    """
    from accounts.models import ProcessRow  # noqa: PLC0415

    def said() -> State | None:
        row = ProcessRow.objects.filter(name=name).first()
        if row is None or row.snapshot["handshakes"] or row.snapshot["symbols"]:
            return None
        # Of its memory and its connections the campaign asks the system.
        found = {**row.snapshot, "connections": 0.0, "mib": 0.0}
        return None if before and left(before, found) else found

    found = until(said, seconds=20)
    assert found
    return found
