"""Who may follow which account: judged before anything about the account is told."""

import os
from collections.abc import Callable

import pytest

from tests.streaming import orders
from tests.streaming.conftest import Token
from tests.streaming.stream_process import Client, StreamProcess
from tests.trading.outages import proxied_url

pytestmark = pytest.mark.django_db

Connect = Callable[..., Client]

EMPTY: dict[str, list[str]] = {
    "trades": [],
    "quotes": [],
    "bars": [],
    "option_trades": [],
    "option_quotes": [],
}
# Ids that no account can have.
ODD = ["", " ", "A ", "A\0", "a*", "_system", "Ä", "x" * 65, "x" * 10_000]


def test_the_answer_lists_everything_that_is_followed(
    client: Connect, account: Callable[[], str], token: Token
) -> None:
    one, two = sorted([account(), account()])
    socket = client(token(one, two))
    socket.follows(two)

    answer = socket.asks(action="subscribe", orders=[one])

    assert answer == [{"T": "subscription", "orders": [one, two], **EMPTY}]
    assert socket.hears() == [{"T": "snapshot", "account_id": one, "seq": 0}]
    assert socket.asks(action="list") == answer


def test_following_twice_changes_nothing(
    client: Connect, account: Callable[[], str], token: Token
) -> None:
    mine = account()
    socket = client(token(mine))
    socket.follows(mine)

    answer = socket.asks(action="subscribe", orders=[mine, mine])
    orders.place(mine)

    assert answer[0]["orders"] == [mine]
    assert socket.hears_next("order")["seq"] == 1
    assert socket.asks(action="ping")[0]["msg"] == "pong"


def test_a_star_means_every_account_of_the_token(
    client: Connect, account: Callable[..., str], token: Token
) -> None:
    one, two, gone, foreign = account(), account(), account(enabled=False), account()
    socket = client(token(one, two, gone))

    numbers = socket.follows("*")

    assert numbers == {one: 0, two: 0}
    assert foreign not in socket.asks(action="list")[0]["orders"]
    assert socket.asks(action="unsubscribe", orders=["*"])[0]["orders"] == []


def test_a_fleet_token_may_follow_every_account(
    client: Connect, account: Callable[..., str], token: Token
) -> None:
    one, gone = account(), account(enabled=False)
    socket = client(token(everything=True))

    numbers = socket.follows("*")

    assert one in numbers
    assert gone not in numbers


def test_a_foreign_account_and_no_account_are_the_same_answer(
    client: Connect, account: Callable[..., str], token: Token
) -> None:
    mine, foreign, gone = account(), account(), account(enabled=False)
    socket = client(token(mine, gone, "never-there"))

    names = [foreign, "nobody", gone, "never-there", *ODD]
    answers = [socket.asks(action="subscribe", orders=[mine, name]) for name in names]

    assert answers[0][0]["code"] == 4404
    assert all(answer == answers[0] for answer in answers)
    assert socket.asks(action="list")[0]["orders"] == []


def test_a_fleet_token_meets_the_same_answer(
    client: Connect, account: Callable[..., str], token: Token
) -> None:
    gone = account(enabled=False)
    socket = client(token(everything=True))

    answers = [socket.asks(action="subscribe", orders=[name]) for name in ["nobody", gone, *ODD]]

    assert answers[0][0]["code"] == 4404
    assert all(answer == answers[0] for answer in answers)


def test_one_bad_item_changes_nothing(
    client: Connect, account: Callable[[], str], token: Token
) -> None:
    mine, also_mine, foreign = account(), account(), account()
    socket = client(token(mine, also_mine))
    socket.follows(mine)

    assert socket.refused(action="subscribe", orders=[also_mine, foreign]) == 4404

    orders.place(also_mine)
    orders.place(mine)
    assert socket.hears_next("order")["account_id"] == mine
    assert socket.asks(action="list")[0]["orders"] == [mine]


@pytest.mark.parametrize("permissions", [(), ("trade", "market_data", "monitor")])
def test_orders_need_the_permission_to_read_the_account(
    client: Connect, account: Callable[[], str], token: Token, permissions: tuple[str, ...]
) -> None:
    mine, foreign = account(), account()
    socket = client(token(mine, permissions=permissions))

    assert socket.refused(action="subscribe", orders=[mine]) == 4403
    assert socket.refused(action="subscribe", orders=["*"]) == 4403
    assert socket.refused(action="subscribe", orders=[foreign]) == 4404
    orders.place(mine)
    assert socket.asks(action="list")[0]["orders"] == []


def test_with_postgres_away_the_client_is_told_to_try_again(
    own_stream: Callable[..., StreamProcess], token: Token
) -> None:
    with proxied_url(os.environ["DATABASE_URL"]) as (proxy, url):
        process = own_stream(DATABASE_URL=url)
        with process.client(token=token("A")) as socket:
            socket.hears()
            assert socket.hears() == [{"T": "success", "msg": "authenticated"}]
            proxy.vanish()

            for name in ("A", "*"):
                answer = socket.asks(action="subscribe", orders=[name])
                assert answer[0]["code"] == 500
                assert "try again" in answer[0]["detail"]
            assert socket.asks(action="ping")[0]["msg"] == "pong"


def test_who_cannot_know_what_is_denied_lets_nobody_in(
    own_stream: Callable[..., StreamProcess], token: Token
) -> None:
    process = own_stream(DATABASE_URL="postgresql://nobody:none@127.0.0.1:1/none")
    with process.client() as socket:
        socket.hears()

        answer = socket.asks(action="auth", token=token("A"))

        assert answer[0]["code"] == 500
        assert "try again" in answer[0]["detail"]
        assert socket.asks(action="ping")[0]["code"] == 401
