"""Frames leave as they stand on the wire, many in one call, and only while the client reads."""

import asyncio

import pytest
from websockets.frames import Frame as Reference
from websockets.frames import Opcode

from streaming.backlog import Entry
from streaming.buffer import Bundle, Outbox
from streaming.frames import Close, Frame
from streaming.lines import BATCH_BYTES, DirectLine
from streaming.protocol import success


class Transport:
    """A server's connection."""

    def __init__(self) -> None:
        self.takes_more = True
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)


@pytest.fixture
def transport() -> Transport:
    """A connection whose client reads."""
    return Transport()


def wired(outbox: Outbox, transport: Transport) -> tuple[DirectLine, "asyncio.Task[int]"]:
    """Let an outbox write straight to a connection."""
    line = DirectLine(transport)
    return line, asyncio.create_task(outbox.drain(line))


async def turns(count: int = 3) -> None:
    """Let the loop go on."""
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.parametrize("length", [0, 1, 125, 126, 65_535, 65_536, 200_000])
def test_a_frame_is_on_the_wire_what_the_library_makes_of_it(length: int) -> None:
    text = "ü" * (length // 2) + "x" * (length % 2)

    expected = Reference(Opcode.TEXT, text.encode()).serialize(mask=False)

    assert Frame(text, length).wire == expected


async def test_what_one_turn_brings_leaves_in_one_call(transport: Transport) -> None:
    outbox, frames = Outbox(), [success(word) for word in "abc"]
    _, writing = wired(outbox, transport)
    await turns()

    for frame in frames:
        outbox.put(frame)
    await turns()
    outbox.put(frames[0])
    outbox.end(Close.TOKEN)

    assert await writing == Close.TOKEN
    assert transport.written == [b"".join(frame.wire for frame in frames), frames[0].wire]
    assert outbox.sent == 4


async def test_nothing_is_written_to_a_client_that_does_not_read(transport: Transport) -> None:
    outbox = Outbox()
    line, writing = wired(outbox, transport)
    await turns()
    transport.takes_more = False
    quotes = [Bundle.of([Entry(("quotes", "AAPL"), f"{number}")]) for number in range(3)]
    for quote in quotes:
        outbox.put_market(quote)
    outbox.put(success("first"))
    await turns()
    assert transport.written == []

    transport.takes_more = True
    line.on_free()

    # Conflated meanwhile: the newest quote alone, behind what is never left out.
    assert transport.written[0].startswith(success("first").wire)
    assert b'"count":2' in transport.written[0]
    assert transport.written[0].endswith(b",2]")
    writing.cancel()


async def test_much_is_written_in_pieces_and_no_more_than_is_taken(transport: Transport) -> None:
    outbox = Outbox()
    line, writing = wired(outbox, transport)
    large = Frame("x" * (BATCH_BYTES // 2), BATCH_BYTES // 2)
    for _ in range(6):
        outbox.put(large)

    await turns()

    assert [len(data) for data in transport.written] == [2 * len(large.wire)] * 3
    writing.cancel()
    await turns()
    outbox.put(large)
    line.on_free()
    await turns()
    assert len(transport.written) == 3
