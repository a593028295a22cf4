"""Clients that mean ill, each at a real stream process; beside each of them somebody honest.

The honest one follows its account at the same process: its updates and its beats come on, whatever
the other does (reliability.md §3, H146 to H158).
"""

import json
import os
import socket as sockets
import struct
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from opitios.core import clock
from streaming.consumers import CLOSE_SECONDS
from streaming.server import FRAMES_A_SECOND, LINGER_SECONDS, MAX_FRAGMENTS
from tests.streaming import orders
from tests.streaming.conftest import Token, account, client, stream, token
from tests.streaming.stream_process import Client, StreamProcess
from tests.support.crowd import Stopwatch, patient
from tests.support.until import until

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("bystander")]

__all__ = ("account", "client", "stream", "token")

Connect = Callable[..., Client]

# RFC 6455 §5.2: opcodes, and the bit that says "this is the last piece".
CONT, TEXT, BINARY, CLOSE, PING = 0x0, 0x1, 0x2, 0x8, 0x9
FIN, COMPRESSED = 0x80, 0x40


def frame(opcode: int, payload: bytes = b"", *, bits: int = FIN) -> bytes:
    """A frame as a client writes it, masked with zeros."""
    if len(payload) < 126:
        length = bytes((0x80 | len(payload),))
    else:
        length = b"\xff" + struct.pack("!Q", len(payload))
    return bytes((bits | opcode,)) + length + bytes(4) + payload


@pytest.fixture
def bystander(client: Connect, account: Callable[[], str], token: Token) -> Iterator[Client]:
    """Somebody honest, who hears of an order before and after, and of the beats between."""
    mine = account()
    honest = client(token(mine))
    honest.follows(mine)
    orders.place(mine)
    first = honest.hears_next("order")["seq"]
    with ThreadPoolExecutor(1) as ear:
        # All the time: who does not read answers no pings, and is taken for gone.
        listening = ear.submit(_up_to_the_next_order, honest)
        yield honest
        orders.place(mine)
        heard = listening.result()
    assert heard[-1]["seq"] == first + 1
    # A machine that is crowded loses Redis for a moment, and says so; the order comes all the same.
    assert {each["T"] for each in heard} <= {"order", "heartbeat", "status"}
    assert honest.asks(action="ping")[0]["msg"] == "pong"


def _up_to_the_next_order(honest: Client) -> list[dict[str, Any]]:
    heard: list[dict[str, Any]] = []
    while not heard or heard[-1]["T"] != "order":
        heard += honest.hears()
    return heard


def writes(enemy: Client, data: bytes) -> None:
    """Write bytes past the library; a server that has hung up is no failure."""
    with suppress(OSError):
        enemy.socket.socket.sendall(data)


@contextmanager
def floods(enemy: Client, block: bytes, *, most: int) -> Iterator[None]:
    """Write a block over and over, as long as it is taken, at most so many bytes."""
    raw = enemy.socket.socket
    sent = 0
    raw.setblocking(True)
    with suppress(OSError):
        while sent < most and enemy.socket.state.name == "OPEN":
            raw.sendall(block)
            sent += len(block)
    yield


def is_turned_away(enemy: Client, code: int) -> None:
    """The server ends the socket with this code."""
    assert enemy.end() == code


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "https://127.0.0.1.evil.example", "file://", "a b"]
)
def test_h146_a_page_of_another_site(stream: StreamProcess, token: Token, origin: str) -> None:
    """A good token does not help."""
    answer = stream.refusal(Origin=origin, Authorization=f"Bearer {token('A')}")

    assert answer.status_code == 403
    assert not answer.body


@pytest.fixture(scope="module")
def small(
    django_db_setup: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StreamProcess]:
    """A process with little patience and few places; a test may end it."""
    settings = {
        "OPITIOS_TIMERS__STREAM_AUTH": "1",
        "OPITIOS_STREAM_SOCKETS": "4",
        "OPITIOS_STREAM_SOCKETS_PER_SUBJECT": "2",
        "OPITIOS_PROCESS": "stream-small",
    }
    alive = ("--ws-ping-interval", "1", "--ws-ping-timeout", "1")
    with StreamProcess(tmp_path_factory.mktemp("small"), *alive, **settings) as process:
        yield process


def test_h147_nobody_signs_in_in_time(small: StreamProcess) -> None:
    """And what is said before is not heard."""

    def in_time() -> bool:
        with small.client() as stranger:
            stranger.hears()
            with suppress(ConnectionClosed):
                stranger.says(action="subscribe", orders=["*"])
            words = [told["code"] for told in stranger.last_words()]
            is_turned_away(stranger, 4408)
        # Said too late, it was not even read.
        assert words in ([401, 404], [404])
        return words == [401, 404]

    until(in_time)


def test_h148_a_token_that_ends_in_mid_socket(
    client: Connect, account: Callable[[], str], token: Token
) -> None:
    mine = account()
    guest = client(token(mine))
    guest.follows(mine)

    # One that ended on its way changes nothing.
    until(lambda: guest.asks(action="auth", token=token(mine, seconds=2))[0]["T"] == "success")
    words = guest.last_words()

    assert [told["expires_in"] <= 2 for told in words if told["T"] == "token"] == [True]
    assert words[-1]["code"] == 402
    is_turned_away(guest, 4401)


def test_h149_a_thousand_subscriptions(
    client: Connect, account: Callable[[], str], token: Token
) -> None:
    """One too many, and none is made: nothing upstream is asked for."""
    mine = account()
    greedy = client(token(mine, permissions=("account_read", "market_data")))
    letters = "ABCDEFGHIJ"
    symbols = [f"{a}{b}{c}" for a in letters for b in letters for c in letters]
    assert len(symbols) == 1000

    assert greedy.refused(action="subscribe", quotes=symbols, orders=[mine]) == 405
    assert greedy.refused(action="subscribe", orders=[f"x{n}" for n in range(1000)]) == 4404

    told = greedy.asks(action="list")[0]
    assert not any(told[name] for name in told if name != "T")


def test_h150_a_storm_of_subscribe_and_unsubscribe(
    client: Connect, account: Callable[[], str], token: Token
) -> None:
    mine = account()
    restless = client(token(mine, permissions=("account_read", "market_data")))

    with suppress(ConnectionClosed):
        # Few enough to be answered: the bound on frames of any kind is another.
        for _ in range(60):
            restless.says(action="subscribe", orders=[mine], quotes=["AAPL"])
            restless.says(action="unsubscribe", orders=[mine], quotes=["AAPL"])

    assert restless.last_words()[-1]["code"] == 4429
    is_turned_away(restless, 4429)


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_h151_a_frame_of_100_kb(client: Connect, token: Token, opcode: int) -> None:
    """Its head is enough: the bytes need not come."""
    large = client(token("A"))

    writes(large, frame(opcode, b"x" * 100_000)[:20])

    is_turned_away(large, 1009)


@pytest.mark.parametrize("payload", [b"", b"x", b"{}", b'{"action":"ping"}'])
def test_h152_a_million_tiny_frames(
    stream: StreamProcess, client: Connect, token: Token, payload: bytes
) -> None:
    """The first two hundred of a second are looked at; for the rest a second's bytes are read."""
    flood = client(token("A"))
    block = frame(TEXT, payload) * 10_000
    cpu = _cpu_seconds(stream.pid)

    with floods(flood, block, most=100 * len(block)):
        pass

    assert _end(flood) in {4429, None}
    # A million of them, parsed, are five seconds of it.
    assert _cpu_seconds(stream.pid) - cpu < 4


def test_h153_a_message_in_pieces_without_end(client: Connect, token: Token) -> None:
    """By bytes it is too long, by pieces too: empty ones would be kept for ever."""
    for piece in (b"", b"x"):
        endless = client(token("A"))
        writes(endless, frame(TEXT, b'{"action":', bits=0))

        with suppress(OSError):
            for number in range(MAX_FRAGMENTS + 2):
                # Few enough in a second.
                if number % (FRAMES_A_SECOND - 50) == FRAMES_A_SECOND - 51:
                    _a_second_passes(endless.socket.socket)
                endless.socket.socket.sendall(frame(CONT, piece, bits=0))

        is_turned_away(endless, 1009)
    long = client(token("A"))

    writes(long, frame(TEXT, b" " * 40_000, bits=0) + frame(CONT, b" " * 40_000, bits=0))

    is_turned_away(long, 1009)


@pytest.mark.parametrize(
    "bad", [b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b'{"action":"\xc0\xaf"}']
)
def test_h154_binary_and_bytes_that_are_no_text(
    stream: StreamProcess, client: Connect, token: Token, bad: bytes
) -> None:
    """No trace of it is left in the log: it would be as long as somebody wishes."""
    binary, broken = client(token("A")), client(token("A"))
    before = len(stream.log())

    binary.socket.send(bad)
    writes(broken, frame(TEXT, bad))

    assert binary.hears_next("error")["code"] == 400
    assert binary.asks(action="ping")[0]["msg"] == "pong"
    is_turned_away(broken, 1007)
    assert [line for line in stream.log()[before:] if line.get("exception")] == []


def test_h155_a_compression_bomb(client: Connect, token: Token) -> None:
    """Compression is not offered, and what comes compressed all the same ends the socket."""
    packed = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = packed.compress(b" " * 60_000_000) + packed.flush(zlib.Z_SYNC_FLUSH)
    assert len(bomb) < 65_536
    bomber = client(token("A"), Sec_WebSocket_Extensions="permessage-deflate")
    assert "Sec-WebSocket-Extensions" not in (bomber.socket.response or _none()).headers

    writes(bomber, frame(TEXT, bomb, bits=FIN | COMPRESSED))

    is_turned_away(bomber, 1002)


def test_h155_a_flood_of_pings(client: Connect, token: Token) -> None:
    pinger = client(token("A"))
    block = frame(PING, b"x" * 125) * 1000

    with floods(pinger, block, most=10_000_000):
        pass

    assert _end(pinger) in {4429, None}


def test_h155_pings_of_a_client_that_never_reads_fill_nothing(
    stream: StreamProcess, token: Token
) -> None:
    """Slow enough to be let through: answers that are not taken are not kept."""
    with _narrow(stream, token("A")) as deaf:
        before = _rss_kib(stream.pid)
        for _ in range(3):
            deaf.sendall(frame(PING, b"x" * 125) * (FRAMES_A_SECOND - 20))
            _a_second_passes(deaf)

        assert _rss_kib(stream.pid) - before < 4096
        assert deaf.getsockname()[1] in _peers(stream.port)


@pytest.mark.parametrize(
    "message",
    [
        {"type": "websocket.disconnect"},
        {"type": "websocket.send", "text": "x", "action": "websocket.send"},
        {"type": "hub.control", "action": "push"},
        {"action": "group_send", "group": "orders", "message": {"type": "websocket.close"}},
        {"T": "order", "account_id": "A", "seq": 1},
        {"action": "list", "type": "websocket.close"},
        {"action": "__class__"},
        {"action": "dispatch"},
        {"action": None},
        {},
        {"action": {"$ne": None}},
    ],
)
def test_h156_types_that_are_unknown_or_meant_for_the_channel_layer(
    client: Connect, token: Token, message: dict[str, Any]
) -> None:
    odd = client(token("A"))

    assert odd.refused(**message) == 400

    assert odd.asks(action="ping")[0]["msg"] == "pong"


def test_h157_a_storm_of_reconnects(stream: StreamProcess, token: Token) -> None:
    """With and without a goodbye, in the handshake, and after it: nothing of them is left."""
    before = _peers(stream.port)
    bearer = token("A")

    for number in range(150):
        if number % 3 == 0:
            half = sockets.create_connection(("127.0.0.1", stream.port))
            half.sendall(b"GET /ws/v1/stream HTTP/1.1\r\nHost: localhost\r\nUpgrade: webs")
            half.close()
        elif number % 3 == 1:
            with stream.client(token=bearer) as polite:
                polite.says(action="subscribe", orders=["*"])
        else:
            rude = stream.client(token=bearer)
            rude.socket.socket.shutdown(sockets.SHUT_RDWR)
            rude.close()

    until(lambda: _peers(stream.port) <= before, seconds=10)


def test_h157_nobody_takes_more_sockets_than_there_are(small: StreamProcess, token: Token) -> None:
    """A subject's are counted, and a process's; who goes makes room."""
    with ExitStack() as opened:
        mine = [opened.enter_context(small.client(token=token("A"))) for _ in range(2)]
        assert [_is_greeted(each) for each in mine] == [True, True]
        with small.client(token=token("A")) as third:
            assert [told.get("code") for told in third.last_words()] == [None, 406]
            is_turned_away(third, 4429)
        # The third one's place is free a moment after it heard why it had to go.
        others = [until(lambda: _let_in(small, token("B", sub="other"))) for _ in range(2)]
        assert [each and _is_greeted(opened.enter_context(each)) for each in others] == [True, True]
        full = small.refusal()
        assert (full.status_code, full.headers["Retry-After"]) == (503, "5")

        mine[0].close()

        again = until(lambda: _let_in(small, token("A")))
        assert again
        assert _is_greeted(opened.enter_context(again))


def _is_greeted(guest: Client) -> bool:
    return [guest.hears()[0]["msg"] for _ in range(2)] == ["connected", "authenticated"]


def _let_in(process: StreamProcess, bearer: str) -> Client | None:
    with suppress(InvalidStatus):
        return process.client(token=bearer)
    return None


@pytest.mark.parametrize(
    ("after", "code"),
    [
        (-1, 400), (-(2**63), 400), (2**63, 400), (10**400, 400), (1.5, 400), ("1", 400),
        (True, 400), (None, 400), ([1], 400), ({}, 400), (2**62, 400), (10_000_000, 400),
    ],
)  # fmt: skip
def test_h158_after_that_is_negative_huge_or_no_number(
    client: Connect, account: Callable[[], str], token: Token, after: Any, code: int
) -> None:
    mine = account()
    odd = client(token(mine))

    assert odd.refused(action="subscribe", orders=[mine], after={mine: after}) == code

    assert odd.asks(action="list")[0]["orders"] == []


def test_h158_after_of_another_account(
    client: Connect, account: Callable[[], str], token: Token
) -> None:
    """The same answer as for one that does not exist, and nothing of its journal."""
    mine, foreign = account(), account()
    orders.place(foreign)
    nosy = client(token(mine))

    for name in (foreign, "no-such-account", "*", "_system", ""):
        asked = {"orders": [mine], "after": {mine: 0, name: 0}}
        assert nosy.refused(action="subscribe", **asked) in {4404, 400}
    assert nosy.refused(action="subscribe", orders=[foreign], after={foreign: 0}) == 4404

    assert nosy.asks(action="list")[0]["orders"] == []


def test_h157_a_handshake_that_never_ends_is_small(stream: StreamProcess) -> None:
    endless = sockets.create_connection(("127.0.0.1", stream.port))
    endless.settimeout(patient(20))

    with suppress(OSError):
        endless.sendall(b"GET /ws/v1/stream HTTP/1.1\r\n")
        for number in range(100_000):
            endless.sendall(b"X-%d: %s\r\n" % (number, b"y" * 1000))

    with suppress(ConnectionError):
        assert endless.recv(1000) == b""
    endless.close()


def test_h155_who_neither_reads_nor_answers_pings_is_gone_and_holds_nobody_up(
    small: StreamProcess, account: Callable[[], str], token: Token
) -> None:
    """Closing waits for the client to read: it must not for one that never does."""
    mine = account()
    with _narrow(small, token(mine)) as deaf:
        assert deaf.getsockname()[1] in _peers(small.port)
        _fill(deaf, mine)

        until(lambda: deaf.getsockname()[1] not in _peers(small.port), seconds=2 * CLOSE_SECONDS)
    with _narrow(small, token(mine)) as deaf:
        _fill(deaf, mine)

        with Stopwatch() as took:
            small.stop()

    # It waits up to 25 s for those that can still be told.
    assert took.is_within(LINGER_SECONDS + 3), took


def _fill(deaf: sockets.socket, account_id: str) -> None:
    """Let more wait for it than all the buffers on the way take."""
    tags = {"padding": "x" * 20_000}
    asked = {"action": "subscribe", "orders": [account_id]}
    deaf.sendall(frame(TEXT, json.dumps(asked).encode()))
    for _ in range(30):
        orders.place(account_id, **tags)


@contextmanager
def _narrow(process: StreamProcess, bearer: str) -> Iterator[sockets.socket]:
    """A client that reads nothing after its sign-in, and whose machine takes little for it."""
    with sockets.socket() as raw:
        raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
        raw.connect(("127.0.0.1", process.port))
        raw.sendall(
            b"GET /ws/v1/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            b"Authorization: Bearer %s\r\n\r\n" % bearer.encode()
        )
        heard = b""
        while b"authenticated" not in heard:
            heard += raw.recv(100)
        yield raw


def _end(enemy: Client) -> int | None:
    """Its close code; None where the connection was reset before it could be read."""
    with suppress(ConnectionError):
        enemy.last_words()
    code = enemy.socket.close_code
    return None if code in {None, 1006} else code


def _a_second_passes(enemy: sockets.socket) -> None:
    """A second of the server's after it has read all that was written."""
    mine = enemy.getsockname()[1]

    def is_read() -> bool:
        ends = [each for each in _ends() if mine in {each.port, each.peer}]
        return not any(each.unsent if each.port == mine else each.unread for each in ends)

    until(is_read)
    began = clock.monotonic()
    until(lambda: clock.monotonic() - began > 1.05, seconds=5)


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _rss_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def _peers(port: int) -> set[int]:
    """The ports of those that are connected to a server of this machine, as the kernel sees it."""
    # proc_net_tcp: 0A listens, 06 is done and waits for stray packets.
    return {each.peer for each in _ends()
            if each.port == port and each.state not in {"0A", "06"}}  # fmt: skip


class _End(NamedTuple):
    """A TCP socket of this machine, as the kernel sees it."""

    port: int
    peer: int
    state: str
    # Bytes that the other end has not confirmed, and that nobody at this one has read.
    unsent: int
    unread: int


def _ends() -> Iterator[_End]:
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, near, far, state, queues, *_ = line.split()
        port, peer = (int(each.rpartition(":")[2], 16) for each in (near, far))
        unsent, unread = (int(each, 16) for each in queues.split(":"))
        yield _End(port, peer, state, unsent, unread)


def _none() -> Any:
    raise AssertionError("there was no handshake")
