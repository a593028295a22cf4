"""A client that does not read costs nobody else anything, and is told what it missed."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.streaming import orders
from tests.streaming.conftest import Token
from tests.streaming.market import send, subscribed, tick
from tests.streaming.stream_process import Client, StreamProcess

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("feed")]

Reader = Callable[..., Client]


def test_a_client_that_does_not_read_is_told_how_much_it_missed_and_others_miss_nothing(
    stream: StreamProcess, reader: Reader, account: Callable[[], str], token: Token
) -> None:
    mine = account()
    other = reader(mine)
    subscribed(other, quotes=["AAPL"], orders=[mine])
    with _narrow_client(stream, token(mine, permissions=("market_data", "account_read"))) as slow:
        subscribed(slow, quotes=["AAPL"], orders=[mine])
        sent = 0

        # Far beyond what all buffers on the way hold.
        for _ in range(120):
            send(*(tick("quotes", "AAPL", bp=sent + n, pad="x" * 1000) for n in range(100)))
            sent += 100
            assert [one["bp"] for one in _all_of(other, 100)] == [*range(sent - 100, sent)]
        orders.place(mine)
        other.hears_next("order")

        heard: list[dict[str, Any]] = []
        while not {"order", sent - 1} <= {one.get("bp", one["T"]) for one in heard}:
            heard += slow.hears()

    bids = [one["bp"] for one in heard if one["T"] == "q"]
    dropped = [one["count"] for one in heard if one["T"] == "dropped"]
    assert bids == sorted(bids)
    assert sum(dropped) > 0
    assert len(bids) + sum(dropped) == sent


@contextmanager
def _narrow_client(stream: StreamProcess, bearer: str) -> Iterator[Client]:
    """A client whose machine takes little that it does not read."""
    narrow = socket.create_connection(("127.0.0.1", stream.port))
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    with stream.client(token=bearer, sock=narrow) as client:
        assert [client.hears()[0]["msg"] for _ in range(2)] == ["connected", "authenticated"]
        yield client


def _all_of(socket: Client, count: int) -> list[dict[str, Any]]:
    return [socket.hears_next("q") for _ in range(count)]
