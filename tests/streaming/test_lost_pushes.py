"""The push is a hint, the journal is the truth: lost, doubled and swapped pushes change nothing."""

from collections.abc import Callable

import pytest

from tests.streaming import orders
from tests.streaming.conftest import Token
from tests.streaming.stream_process import Client, StreamProcess

pytestmark = pytest.mark.django_db

Connect = Callable[..., Client]


def test_a_lost_push_is_healed_from_the_journal(
    client: Connect, account: Callable[[], str], token: Token, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = account()
    socket = client(token(mine))
    socket.follows(mine)
    with orders.held_back(monkeypatch) as held:
        orders.whole_life(mine)

    orders.push(held[0], held[3])

    heard = [socket.hears_next("order") for _ in range(4)]
    assert [message["seq"] for message in heard] == [1, 2, 3, 4]
    assert [_unsent(message) for message in heard] == held


def test_the_last_push_may_be_lost_too(
    client: Connect, account: Callable[[], str], token: Token, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = account()
    socket = client(token(mine))
    socket.follows(mine)

    with orders.held_back(monkeypatch) as held:
        orders.place(mine)

    assert _unsent(socket.hears_next("order")) == held[0]


def test_a_push_that_comes_twice_is_shown_once(
    client: Connect, account: Callable[[], str], token: Token, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = account()
    socket = client(token(mine))
    socket.follows(mine)
    with orders.held_back(monkeypatch) as held:
        orders.whole_life(mine)

    orders.push(held[1], held[0], held[0], held[2], held[1], held[3], held[2], held[3])
    orders.place(mine)

    heard = [socket.hears_next("order")["seq"] for _ in range(5)]
    assert heard == [1, 2, 3, 4, 5]


def test_entries_about_the_account_take_their_place_in_line(
    client: Connect, account: Callable[[], str], token: Token
) -> None:
    mine = account()
    socket = client(token(mine))
    socket.follows(mine)

    orders.place(mine)
    orders.note(mine)
    orders.place(mine)

    assert socket.hears_next("order")["seq"] == 1
    told = socket.hears_next("account")
    assert (told["account_id"], told["seq"]) == (mine, 2)
    assert (told["event"], told["reason"]) == ("suspended", "tried")
    assert socket.hears_next("order")["seq"] == 3


def test_without_redis_entries_come_with_the_poll(
    own_stream: Callable[..., StreamProcess], account: Callable[[], str], token: Token
) -> None:
    mine = account()
    process = own_stream(REDIS_URL="redis://127.0.0.1:1/0")
    with process.client(token=token(mine)) as socket:
        socket.hears()
        socket.hears()
        socket.follows(mine)

        orders.whole_life(mine)

        heard = [socket.hears_next("order")["event"] for _ in range(4)]
        assert heard == ["queued", "submitting", "new", "fill"]


def test_c18_who_follows_orders_is_told_that_they_are_not_pushed(
    own_stream: Callable[..., StreamProcess], account: Callable[[], str], token: Token
) -> None:
    mine = account()
    process = own_stream(REDIS_URL="redis://127.0.0.1:1/0")
    with process.client(token=token(mine)) as first, process.client(token=token(mine)) as later:
        first.asks(action="subscribe", orders=[mine])

        told = first.hears_next("status")
        later.asks(action="subscribe", orders=[mine])

        assert (told["channel"], told["feed"], told["state"]) == ("orders", None, "degraded")
        assert later.hears_next("status") == told


def test_a_long_gap_is_healed_in_order(
    client: Connect, account: Callable[[], str], token: Token
) -> None:
    mine = account()
    socket = client(token(mine))
    socket.follows(mine)

    last = [orders.note(mine) for _ in range(200)][-1]
    orders.place(mine)

    heard = [socket.hears_next("account")["seq"] for _ in range(200)]
    assert heard == list(range(1, last + 1))
    assert socket.hears_next("order")["seq"] == last + 1


def _unsent(message: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in message.items() if name != "sent_at"}
