"""What waits for a socket is bounded; nothing is left out of the middle."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from streaming.backlog import Entry
from streaming.buffer import (
    MAX_BUNDLES,
    MAX_BYTES,
    MAX_FRAMES,
    ROOM_BYTES,
    ROOM_FRAMES,
    Bundle,
    Outbox,
)
from streaming.frames import Close, Frame
from streaming.lines import AsgiLine
from streaming.pace import Pace

SMALL = Frame("x", 1)


async def drained(outbox: Outbox, *, frames: int | None = None) -> tuple[list[str], int]:
    """What is sent until the end, and the close code; after so many frames it is ended."""
    sent: list[str] = []

    async def send(text: str) -> None:
        sent.append(text)
        if len(sent) == frames:
            outbox.end(1000)

    return sent, await asyncio.wait_for(outbox.drain(AsgiLine(send)), 60)


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
    for number in range(1, 11):
        outbox.put(SMALL)
        for _ in range(3):
            await asyncio.sleep(0)
        assert outbox.sent == number

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


def quotes(*numbers: int) -> Bundle:
    """Quotes of one symbol that came together."""
    return Bundle.of([Entry(("quotes", "AAPL"), str(number)) for number in numbers])


class Slow:
    """A client that takes a frame when it is told to."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self._takes = asyncio.Semaphore(0)

    async def send(self, text: str) -> None:
        self.sent.append(text)
        await self._takes.acquire()

    async def takes(self, frames: int) -> None:
        for _ in range(frames):
            self._takes.release()
        # The writer goes on by itself, and comes to stand in its next frame.
        for _ in range(3 * frames):
            await asyncio.sleep(0)


@pytest.fixture
async def slow() -> AsyncIterator[tuple[Outbox, Slow]]:
    """An outbox whose client has been sent one frame, and has not taken it."""
    outbox, client = Outbox(), Slow()
    writing = asyncio.create_task(outbox.drain(AsgiLine(client.send)))
    outbox.put(Frame("first", 5))
    await client.takes(1)
    outbox.put(Frame("second", 6))
    await client.takes(1)
    outbox.put(Frame("third", 5))
    for _ in range(3):
        await asyncio.sleep(0)
    assert client.sent == ["first", "second", "third"]
    yield outbox, client
    writing.cancel()


async def test_market_data_of_a_client_that_keeps_up_leaves_as_it_came() -> None:
    outbox = Outbox()
    for number in range(MAX_BUNDLES):
        outbox.put_market(quotes(number, number))

    sent, _ = await drained(outbox, frames=MAX_BUNDLES)

    assert sent == [f"[{number},{number}]" for number in range(MAX_BUNDLES)]
    assert outbox.dropped == 0


async def test_quotes_of_a_client_that_does_not_read_are_conflated_and_it_is_told(
    slow: tuple[Outbox, Slow],
) -> None:
    outbox, client = slow
    for number in range(10_000):
        outbox.put_market(quotes(number))

    await client.takes(1)

    dropped = {"T": "dropped", "channel": "quotes", "count": 9_999}
    assert json.loads(client.sent[-1]) == [dropped, 9_999]
    assert outbox.closing is None


async def test_an_order_update_overtakes_all_market_data_that_waits(
    slow: tuple[Outbox, Slow],
) -> None:
    outbox, client = slow
    trades = [Entry(("trades", "AAPL"), str(number)) for number in range(200)]
    outbox.put_market(Bundle.of(trades))
    outbox.put(Frame("order", 5))

    await client.takes(1)
    assert client.sent[-1] == "order"
    outbox.put(Frame("fill", 4))
    await client.takes(2)
    outbox.put(Frame("done", 4))
    await client.takes(1)

    # A frame of market data on its way is all that an order ever waits for.
    assert client.sent[-3] == "fill"
    assert len(json.loads(client.sent[-2])) <= 64
    assert client.sent[-1] == "done"


async def test_what_is_followed_no_more_is_not_sent_any_more() -> None:
    outbox = Outbox()
    outbox.put_market(quotes(1))
    outbox.put_market(Bundle.of([Entry(("trades", "AAPL"), "2")]))

    outbox.forget([("quotes", "AAPL")])

    assert await drained(outbox, frames=1) == (["[2]"], 1000)


async def test_a_writer_that_ended_keeps_little_market_data() -> None:
    outbox = Outbox()

    for number in range(10_000):
        outbox.put_market(quotes(number))

    assert outbox.dropped == 9_999


async def test_what_came_later_never_leaves_before_what_waits_conflated() -> None:
    outbox = Outbox()
    for number in range(MAX_BUNDLES + 2):
        outbox.put_market(quotes(number))

    sent, _ = await drained(outbox, frames=1)

    assert [json.loads(text)[-1] for text in sent] == [MAX_BUNDLES + 1]


@pytest.mark.parametrize(("gap", "admitted"), [(0.049, 20), (0.051, 100)])
def test_a_client_may_write_twenty_messages_in_a_second(gap: float, admitted: int) -> None:
    pace = Pace()

    first_second = [pace.admits(number * gap) for number in range(100)]

    first_refused = first_second.index(False) if False in first_second else 100
    assert first_refused == admitted


async def test_who_could_fill_the_queue_waits_until_little_waits() -> None:
    outbox, sent = Outbox(), asyncio.Semaphore(0)
    for _ in range(ROOM_FRAMES):
        outbox.put(SMALL)

    async def send(_text: str) -> None:
        await sent.acquire()

    writing = asyncio.create_task(outbox.drain(AsgiLine(send)))
    waiting = asyncio.create_task(outbox.room())
    await asyncio.sleep(0)
    assert not waiting.done()

    # One is under way and one more has left the queue: room for one.
    sent.release()
    sent.release()

    await asyncio.wait_for(waiting, 60)
    outbox.end(Close.TOKEN)
    for _ in range(ROOM_FRAMES):
        sent.release()
    assert await writing == 4401


@pytest.mark.parametrize("full_of", ["frames", "bytes"])
async def test_who_waits_for_room_hears_of_the_end(full_of: str) -> None:
    outbox = Outbox()
    for _ in range(ROOM_FRAMES if full_of == "frames" else 1):
        outbox.put(Frame("x", 1 if full_of == "frames" else ROOM_BYTES))
    waiting = asyncio.create_task(outbox.room())
    await asyncio.sleep(0)
    assert not waiting.done()

    outbox.end(Close.TOO_MANY)

    await asyncio.wait_for(waiting, 60)
