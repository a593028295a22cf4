"""On the socket, too, nobody hears of an account that is not theirs (G12)."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.streaming import orders
from tests.streaming.conftest import Token
from tests.streaming.stream_process import Client

pytestmark = pytest.mark.django_db

Connect = Callable[..., Client]

# A socket may write 20 messages in a second.
AT_ONCE = 15
FOREIGN, MALFORMED = 4404, 400


def refusals(
    connect: Callable[[], Client], messages: list[dict[str, Any]]
) -> Iterator[tuple[dict[str, Any], int]]:
    """What each subscription is refused with; afterwards nothing is followed."""
    for first in range(0, len(messages), AT_ONCE):
        socket = connect()
        for message in messages[first : first + AT_ONCE]:
            yield message, socket.refused(action="subscribe", **message)
        assert socket.asks(action="list")[0]["orders"] == []


def test_h044_another_account_s_stream_and_groups_named_by_hand_are_not_there(
    client: Connect, account: Callable[[], str], token: Token
) -> None:
    mine, foreign = account(), account()
    names: list[Any] = [
        foreign, foreign.upper(), f"{foreign} ", f" {foreign}", f"{foreign}\u0000", f"{foreign}\n",
        f"orders.{foreign}", f"orders:{foreign}", f"account.{foreign}", f"account:{foreign}",
        f"accounts/{foreign}", f"{mine}/../{foreign}", f"{mine},{foreign}", f"{foreign}*", "**",
        ".*", "%", "hub", "hub.control", "stream", "specific.x!y", "opitios:journal", "journal",
        "_system", f"*{foreign}", "\u2217", "all",
    ]  # fmt: skip
    odd: list[Any] = [None, 1, True, [foreign], {"account_id": foreign}, {"$ne": mine}]

    told = list(refusals(lambda: client(token(mine)), [{"orders": [name]} for name in names]))
    broken = list(refusals(lambda: client(token(mine)), [{"orders": [name]} for name in odd]))

    assert [each for each in told if each[1] != FOREIGN] == []
    assert [each for each in broken if each[1] != MALFORMED] == []
    socket = client(token(mine))
    socket.follows("*")
    orders.place(foreign)
    orders.place(mine)
    assert socket.hears_next("order")["account_id"] == mine


def test_h053_a_list_that_mixes_mine_and_another_s_follows_nothing(
    client: Connect, account: Callable[[], str], token: Token
) -> None:
    mine, also_mine, foreign = account(), account(), account()
    lists = [
        [mine, foreign], [foreign, mine], ["*", foreign], [foreign, "*"], [mine] * 9 + [foreign],
        [mine, also_mine, foreign], [mine, "nobody"], ["*", "nobody"], [mine, "**"],
        [mine, f"{mine} "], [foreign, "nobody"], [mine, "_system"],
    ]  # fmt: skip

    told = refusals(
        lambda: client(token(mine, also_mine)),
        [{"orders": names} for each in lists for names in (each, each[::-1])],
    )

    # The star stands alone.
    assert [each for each in told if each[1] not in {FOREIGN, MALFORMED}] == []
