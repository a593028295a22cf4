"""Accounts come and go while sockets are open: who follows everything follows them, too."""

from collections.abc import Callable

import pytest

from accounts.models import Account
from tests.streaming import orders
from tests.streaming.conftest import Token
from tests.streaming.stream_process import Client

pytestmark = pytest.mark.django_db

Connect = Callable[..., Client]


def enable(account_id: str, *, on: bool) -> None:
    """What a reload of the roster does to an account's row."""
    Account.objects.filter(account_id=account_id).update(enabled=on)


def test_who_follows_everything_follows_what_comes_later(
    client: Connect, account: Callable[..., str], token: Token
) -> None:
    mine, later, never = account(), account(enabled=False), account(enabled=False)
    orders.whole_life(later)
    star, named = client(token(mine, later)), client(token(mine, later))
    assert star.follows("*") == {mine: 0}
    named.follows(mine)

    enable(later, on=True)
    enable(never, on=True)

    assert star.hears_next("subscription")["orders"] == sorted([mine, later])
    assert star.hears_next("snapshot") == {"T": "snapshot", "account_id": later, "seq": 4}
    orders.place(later)
    orders.place(mine)
    assert star.hears_next("order")["seq"] == 5
    assert named.hears_next("order")["account_id"] == mine


def test_a_fleet_follows_an_account_that_was_not_there_before(
    client: Connect, account: Callable[[], str], token: Token
) -> None:
    first = account()
    fleet = client(token(everything=True))
    fleet.follows("*")

    new = account()

    while new not in fleet.hears_next("subscription")["orders"]:
        pass
    orders.place(new)
    orders.place(first)
    heard = {fleet.hears_next("order")["account_id"] for _ in range(2)}
    assert heard == {new, first}


@pytest.mark.parametrize("asked", ["*", "named"])
def test_an_account_that_left_the_roster_is_followed_no_more(
    client: Connect, account: Callable[[], str], token: Token, asked: str
) -> None:
    """H058."""
    stays, goes = account(), account()
    socket = client(token(stays, goes))
    socket.follows(*(["*"] if asked == "*" else [stays, goes]))

    enable(goes, on=False)

    assert socket.hears_next("subscription")["orders"] == [stays]
    orders.place(goes)
    orders.place(stays)
    assert socket.hears_next("order")["account_id"] == stays
    assert socket.refused(action="subscribe", orders=[goes]) == 4404
    assert socket.refused(action="subscribe", orders=[goes], after={goes: 0}) == 4404


def test_one_that_comes_back_is_followed_from_where_it_is_then(
    client: Connect, account: Callable[[], str], token: Token
) -> None:
    mine = account()
    socket = client(token(mine))
    socket.follows("*")

    enable(mine, on=False)
    assert socket.hears_next("subscription")["orders"] == []
    orders.whole_life(mine)
    enable(mine, on=True)

    assert socket.hears_next("snapshot")["seq"] == 4
    orders.place(mine)
    assert socket.hears_next("order")["seq"] == 5


def test_who_left_one_follows_no_later_ones(
    client: Connect, account: Callable[..., str], token: Token
) -> None:
    mine, left, later = account(), account(), account(enabled=False)
    socket = client(token(mine, left, later))
    socket.follows("*")

    assert socket.asks(action="unsubscribe", orders=[left])[0]["orders"] == [mine]
    enable(later, on=True)
    other = client(token(mine, later))
    other.follows("*")

    orders.place(later)
    orders.place(mine)
    assert other.hears_next("order")["account_id"] == later
    assert socket.hears_next("order")["account_id"] == mine
    assert socket.asks(action="list")[0]["orders"] == [mine]


def test_a_wider_token_follows_more_where_everything_is_meant(
    client: Connect, account: Callable[[], str], token: Token
) -> None:
    mine, more = account(), account()
    socket = client(token(mine))
    socket.follows("*")

    socket.says(action="auth", token=token(mine, more))

    assert socket.hears_next("subscription")["orders"] == sorted([mine, more])
    assert socket.hears_next("snapshot")["account_id"] == more
