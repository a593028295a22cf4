"""Market data on a client's socket, through a real stream process and Redis."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.streaming import orders
from tests.streaming.conftest import Token
from tests.streaming.market import OPTION, send, subscribed, tick, wanted
from tests.streaming.stream_process import Client
from tests.support.until import until

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("feed")]

Connect = Callable[..., Client]
Reader = Callable[..., Client]

FOLLOWED = {
    "trades": "AAPL",
    "quotes": "AAPL",
    "bars": "AAPL",
    "option_trades": OPTION,
    "option_quotes": OPTION,
}
WORDS = {"trades": "t", "quotes": "q", "bars": "b", "option_trades": "t", "option_quotes": "q"}


def test_every_channel_brings_alpacas_keys_and_ours(reader: Reader) -> None:
    socket = reader()
    answer = subscribed(socket, **{name: [symbol] for name, symbol in FOLLOWED.items()})
    assert answer == {"T": "subscription", "orders": []} | {
        name: [symbol] for name, symbol in FOLLOWED.items()
    }

    for channel, symbol in FOLLOWED.items():
        told = tick(channel, symbol)
        send(tick(channel, "OTHER"), told)

        heard = socket.hears_next(WORDS[channel])
        age = heard.pop("age_ms")
        assert heard == {
            "T": WORDS[channel],
            "S": symbol,
            "symbol": symbol,
            **told.body,
            "feed": told.feed,
            "source": "stream",
        }
        assert 0 <= age < 60_000


def test_ticks_that_came_together_leave_in_one_frame(reader: Reader) -> None:
    socket = reader()
    subscribed(socket, quotes=["AAPL", "MSFT"], trades=["AAPL"])

    send(
        tick("quotes", "AAPL", bp=1), tick("quotes", "TSLA"), tick("trades", "AAPL", p=2),
        tick("quotes", "MSFT", bp=3), tick("quotes", "AAPL", bp=4),
    )  # fmt: skip

    frame = socket.hears()
    while frame[0]["T"] in {"heartbeat", "status"}:
        frame = socket.hears()
    assert [(one["T"], one["S"], one.get("bp", one.get("p"))) for one in frame] == [
        ("q", "AAPL", 1), ("t", "AAPL", 2), ("q", "MSFT", 3), ("q", "AAPL", 4),
    ]  # fmt: skip


def test_market_data_needs_its_permission_and_nothing_is_followed_without(
    client: Connect, token: Token, account: Callable[[], str]
) -> None:
    mine = account()
    socket = client(token(mine, permissions=("account_read", "trade", "monitor")))

    answer = socket.asks(action="subscribe", orders=[mine], quotes=["DENIED"])

    assert (answer[0]["code"], answer[0]["detail"]) == (4403, "the token lacks `market_data`")
    assert socket.refused(action="subscribe", option_trades=[OPTION]) == 4403
    assert not any(socket.asks(action="list")[0][name] for name in ("orders", *FOLLOWED))
    assert "DENIED" not in wanted("quotes")
    send(tick("quotes", "DENIED"))
    assert socket.asks(action="ping")[0]["msg"] == "pong"


def test_market_data_needs_no_account_and_no_permission_to_read_one(
    client: Connect, token: Token
) -> None:
    socket = client(token("A", permissions=("market_data",)))
    subscribed(socket, quotes=["AAPL"])

    send(tick("quotes", "AAPL"))

    assert socket.hears_next("q")["S"] == "AAPL"
    assert socket.refused(action="subscribe", orders=["A"], quotes=["MSFT"]) in {4403, 4404}
    assert socket.asks(action="list")[0]["quotes"] == ["AAPL"]


def test_one_bad_item_changes_nothing(reader: Reader, account: Callable[[], str]) -> None:
    mine = account()
    socket = reader(mine)
    subscribed(socket, quotes=["AAPL"])

    assert socket.refused(action="subscribe", orders=[mine], quotes=["MSFT", "msft"]) == 400
    assert socket.refused(action="subscribe", quotes=["MSFT"], trades=["*"]) == 400
    assert socket.refused(action="subscribe", quotes=["MSFT"], orders=["nobody"]) == 4404
    assert socket.refused(action="unsubscribe", quotes=["AAPL", "?"]) == 400

    listed = socket.asks(action="list")[0]
    assert (listed["quotes"], listed["orders"]) == (["AAPL"], [])


def test_a_hundred_symbols_each_counted_once_and_accounts_not_at_all(
    reader: Reader, account: Callable[[], str]
) -> None:
    mine = account()
    socket = reader(mine)
    names = [f"S{chr(65 + n // 26)}{chr(65 + n % 26)}" for n in range(101)]
    subscribed(socket, quotes=names[:60], trades=names[:60], orders=[mine])
    socket.hears_next("snapshot")
    full = subscribed(socket, bars=names[60:99], option_quotes=[OPTION])

    for more in ({"quotes": [names[99]]}, {"option_trades": [OPTION], "trades": names[98:]}):
        answer = socket.asks(action="subscribe", **more)
        assert (answer[0]["code"], answer[0]["msg"]) == (405, "symbol limit exceeded")

    assert socket.asks(action="list")[0] == full
    assert names[99] not in wanted("quotes")
    # One that is followed already costs nothing; one that is let go makes room.
    subscribed(socket, bars=names[:60], option_trades=[OPTION])
    socket.asks(action="unsubscribe", bars=[names[98]])
    subscribed(socket, quotes=[names[100]])


def test_what_is_unsubscribed_comes_no_more(reader: Reader) -> None:
    socket = reader()
    subscribed(socket, quotes=["AAPL", "MSFT"], trades=["AAPL"])

    answer = socket.asks(action="unsubscribe", quotes=["AAPL", "NEVER"])
    send(tick("quotes", "AAPL"), tick("trades", "AAPL"))

    assert (answer[0]["quotes"], answer[0]["trades"]) == (["MSFT"], ["AAPL"])
    assert [one["T"] for one in _market_frame(socket)] == ["t"]
    until(lambda: wanted("quotes") == {"MSFT"} and wanted("trades") == {"AAPL"})


def test_a_renewed_token_that_may_not_read_market_data_ends_it(
    reader: Reader, token: Token, account: Callable[[], str]
) -> None:
    mine = account()
    socket = reader(mine)
    subscribed(socket, quotes=["AAPL"], orders=[mine])
    socket.hears_next("snapshot")

    socket.says(action="auth", token=token(mine, permissions=("account_read",)))

    told = socket.hears_next("subscription")
    assert (told["quotes"], told["orders"]) == ([], [mine])
    until(lambda: wanted("quotes") == frozenset())
    send(tick("quotes", "AAPL"))
    orders.place(mine)
    assert socket.hears_next("order")["seq"] == 1
    assert socket.refused(action="subscribe", quotes=["AAPL"]) == 4403


def _market_frame(socket: Client) -> list[dict[str, Any]]:
    """The next frame of market data."""
    while True:
        frame = socket.hears()
        if frame[0]["T"] in {"q", "t", "b"}:
            return frame
