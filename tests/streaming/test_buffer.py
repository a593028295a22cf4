"""What waits for a socket is bounded; nothing is left out of the middle."""

import asyncio

import pytest

from streaming.buffer import MAX_BYTES, MAX_FRAMES, Outbox
from streaming.pace import Pace
from streaming.protocol import Close, Frame

SMALL = Frame("x", 1)


async def drained(outbox: Outbox) -> tuple[list[str], int]:
    """What is sent until the end, and the close code."""
    sent: list[str] = []

    async def send(text: str) -> None:
        sent.append(text)

    return sent, await asyncio.wait_for(outbox.drain(send), 5)


async def test_frames_leave_in_order_and_then_the_close() -> None:
    outbox = Outbox()
    for text in "abc":
        outbox.put(Frame(text, 1))
    outbox.end(Close.TOKEN)

    assert await drained(outbox) == (["a", "b", "c"], 4401)
    assert outbox.sent == 3


async def test_a_full_queue_ends_the_socket_and_frees_its_memory() -> None:
    outbox = Outbox()
    for _ in range(MAX_FRAMES):
        outbox.put(SMALL)
    assert outbox.closing is None

    outbox.put(SMALL)

    assert await drained(outbox) == ([], 4008)


async def test_a_queue_may_also_be_full_of_bytes() -> None:
    outbox = Outbox()
    outbox.put(Frame("half", MAX_BYTES // 2))
    outbox.put(Frame("half", MAX_BYTES // 2))
    assert outbox.closing is None

    outbox.put(SMALL)

    assert outbox.closing == Close.TOO_SLOW


async def test_what_was_sent_no_longer_counts() -> None:
    outbox = Outbox(max_frames=2)
    writing = asyncio.create_task(drained(outbox))
    for _ in range(10):
        outbox.put(SMALL)
        await asyncio.sleep(0)

    outbox.end(1000)

    assert await writing == (["x"] * 10, 1000)


async def test_the_first_reason_to_end_stays_and_nothing_follows_it() -> None:
    ends = []
    outbox = Outbox()
    outbox.on_end = lambda: ends.append(outbox.closing)

    outbox.end(Close.TOKEN)
    outbox.end(Close.TOO_MANY)
    outbox.put(SMALL)

    assert await drained(outbox) == ([], 4401)
    assert ends == [4401]


@pytest.mark.parametrize(("gap", "admitted"), [(0.049, 20), (0.051, 100)])
def test_a_client_may_write_twenty_messages_in_a_second(gap: float, admitted: int) -> None:
    pace = Pace()

    first_second = [pace.admits(number * gap) for number in range(100)]

    first_refused = first_second.index(False) if False in first_second else 100
    assert first_refused == admitted
