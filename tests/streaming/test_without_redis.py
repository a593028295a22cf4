"""Redis lost: clients are told, order updates go on, and market data comes back by itself."""

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from opitios.core.config import get_config
from tests.streaming import orders
from tests.streaming.market import send, subscribed, tick, until_heard_by, wanted
from tests.streaming.stream_process import Client, StreamProcess
from tests.support.proxy import Proxy
from tests.support.until import until

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("feed")]

Reader = Callable[..., Client]


@pytest.fixture
def redis() -> Iterator[tuple[Proxy, str]]:
    """A proxy in front of Redis, and the URL that leads through it."""
    there = urlsplit(get_config().redis_url.get_secret_value())
    with Proxy((str(there.hostname), int(there.port or 6379))) as proxy:
        login = f"{there.netloc.rpartition('@')[0]}@" if "@" in there.netloc else ""
        yield proxy, there._replace(netloc=f"{login}127.0.0.1:{proxy.port}").geturl()


def test_redis_lost_is_told_and_healed_without_a_word_of_the_client(
    reader: Reader,
    redis: tuple[Proxy, str],
    own_stream: Callable[..., StreamProcess],
    account: Callable[[], str],
) -> None:
    proxy, url = redis
    mine = account()
    process = own_stream(REDIS_URL=url)
    until_heard_by(2)
    socket = reader(mine, to=process)
    subscribed(socket, quotes=["AAPL"], orders=[mine])
    until(lambda: "AAPL" in wanted("quotes"))
    send(tick("quotes", "AAPL", bp=1))
    assert socket.hears_next("q")["bp"] == 1

    proxy.vanish()
    first = _until_quotes_are("down", socket)
    send(tick("quotes", "AAPL", bp=2))
    orders.place(mine)
    assert socket.hears_next("order")["seq"] == 1

    proxy.come_back()
    assert _until_quotes_are("live", socket)["since"] > first["since"]
    send(tick("quotes", "AAPL", bp=3))
    # What ticked meanwhile is not shown later.
    assert socket.hears_next("q")["bp"] == 3
    until(lambda: "AAPL" in wanted("quotes"))


def _until_quotes_are(state: str, socket: Client) -> dict[str, Any]:
    """The next word that they are so; what else is said of them, or of orders, is passed over."""
    while True:
        told = socket.hears_next("status")
        if (told["channel"], told["state"]) == ("quotes", state):
            return told
