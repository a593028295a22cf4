"""A subscriber sees each entry of its accounts once, in order, from its snapshot on."""

from collections.abc import Callable

import pytest

from tests.streaming import orders
from tests.streaming.conftest import Token
from tests.streaming.stream_process import Client

pytestmark = pytest.mark.django_db

Connect = Callable[..., Client]


def test_an_orders_states_arrive_with_consecutive_numbers(
    client: Connect, account: Callable[[], str], token: Token
) -> None:
    mine = account()
    socket = client(token(mine))

    numbers = socket.follows(mine)
    order_id = orders.whole_life(mine)

    heard = [socket.hears_next("order") for _ in range(4)]
    assert numbers == {mine: 0}
    assert [message["seq"] for message in heard] == [1, 2, 3, 4]
    assert [message["event"] for message in heard] == ["queued", "submitting", "new", "fill"]
    assert {message["order"]["id"] for message in heard} == {str(order_id)}
    assert heard[3]["execution"]["qty"] == "10"
    assert heard[3]["order"]["status"] == "filled"
    assert all(message["sent_at"] > message["order"]["created_at"] for message in heard)


def test_the_stream_goes_on_from_the_snapshot(
    client: Connect, account: Callable[[], str], token: Token
) -> None:
    mine = account()
    orders.whole_life(mine)
    socket = client(token(mine))

    numbers = socket.follows(mine)
    orders.place(mine)

    assert numbers == {mine: 4}
    assert socket.hears_next("order")["seq"] == 5


def test_two_subscribers_hear_the_same_bytes(
    client: Connect, account: Callable[[], str], token: Token
) -> None:
    mine = account()
    one, two = client(token(mine)), client(token(mine, sub="bot-8"))
    one.follows(mine)
    two.follows(mine)

    orders.place(mine)

    assert one.hears_next("order") == two.hears_next("order")


def test_another_accounts_orders_are_not_heard(
    client: Connect, account: Callable[[], str], token: Token
) -> None:
    mine, theirs = account(), account()
    one, other = client(token(mine)), client(token(theirs, sub="bot-8"))
    one.follows(mine)
    other.follows(theirs)

    orders.place(theirs)
    orders.place(mine)

    assert other.hears_next("order")["account_id"] == theirs
    assert one.hears_next("order")["account_id"] == mine


def test_after_unsubscribing_nothing_more_is_heard(
    client: Connect, account: Callable[[], str], token: Token
) -> None:
    mine, also_mine = account(), account()
    socket = client(token(mine, also_mine))
    socket.follows(mine, also_mine)

    answer = socket.asks(action="unsubscribe", orders=[mine])
    orders.place(mine)
    orders.place(also_mine)

    assert answer[0]["orders"] == [also_mine]
    assert socket.hears_next("order")["account_id"] == also_mine


def test_the_heartbeat_lists_only_accounts_that_moved(
    client: Connect, account: Callable[[], str], token: Token
) -> None:
    moving, still = account(), account()
    socket = client(token(moving, still))
    socket.follows(moving, still)

    orders.place(moving)
    socket.hears_next("order")

    beat = socket.hears_next("heartbeat")
    assert beat["accounts"] == {moving: 1}
    assert socket.hears_next("heartbeat")["accounts"] == {}
