"""What sockets follow is wanted of the live feed, over all processes, and no longer than that."""

import json
import signal
from collections.abc import Callable
from typing import Any

import pytest

from marketdata.demand import Demand
from tests.streaming.market import OPTION, send, subscribed, tick, until_heard_by, wanted
from tests.streaming.stream_process import Client, StreamProcess
from tests.support.buses import gateway_bus
from tests.support.until import until

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("feed")]

Reader = Callable[..., Client]


def test_demand_ends_with_the_last_socket_that_has_it(reader: Reader) -> None:
    one, other = reader(), reader()
    subscribed(one, quotes=["AAPL", "MSFT"])
    subscribed(other, quotes=["AAPL"], trades=["AAPL"])
    until(lambda: wanted("quotes") == {"AAPL", "MSFT"} and wanted("trades") == {"AAPL"})

    one.close()
    until(lambda: wanted("quotes") == {"AAPL"})
    # Without a goodbye.
    other.socket.socket.close()

    until(lambda: not wanted("quotes") and not wanted("trades"))


def test_clients_of_two_processes_see_the_same_and_each_process_ends_its_own_demand(
    reader: Reader, own_stream: Callable[..., StreamProcess]
) -> None:
    second = own_stream()
    until_heard_by(2)
    here, there = reader(), reader(to=second)
    for socket in (here, there):
        subscribed(socket, quotes=["AAPL"], option_trades=[OPTION])
    until(lambda: Demand(gateway_bus()).counted()["quotes"] == {"AAPL": 2})

    send(tick("quotes", "AAPL", bp=1), tick("option_trades", OPTION))
    send(tick("quotes", "AAPL", bp=2))

    heard = [[socket.hears_next(word) for word in ("q", "t", "q")] for socket in (here, there)]
    assert [_ageless(one) for one in heard[0]] == [_ageless(one) for one in heard[1]]

    here.close()
    until(lambda: Demand(gateway_bus()).counted()["quotes"] == {"AAPL": 1})
    # It says goodbye to Redis too, and need not be waited for.
    assert second.stop() in {0, -signal.SIGTERM}
    assert wanted("quotes") == frozenset()


def test_the_demand_of_a_killed_process_ends_by_itself(
    reader: Reader, own_stream: Callable[..., StreamProcess]
) -> None:
    doomed = own_stream()
    socket = reader(to=doomed)
    subscribed(socket, quotes=["AAPL"])
    key = until(lambda: _key_that_wants("AAPL") or "")
    doomed.kill()

    # Nobody renews it. The rest of its fifteen seconds is not waited for, it is taken away.
    assert 0 < _lifetime_ms(key) <= 15_000
    gateway_bus().ask(("PEXPIRE", key, 1))

    until(lambda: wanted("quotes") == frozenset())


def _ageless(message: dict[str, Any]) -> str:
    return json.dumps(message | {"age_ms": 0})


def _key_that_wants(symbol: str) -> str | None:
    """Where a process tells Redis that it wants this symbol."""
    bus = gateway_bus()
    (names,) = bus.ask(("SMEMBERS", bus.key("demand"))) or [[]]
    for key in (f"{bus.key('demand')}:{name.decode()}" for name in names):
        (told,) = bus.ask(("GET", key)) or [None]
        if told and symbol in json.loads(told)["quotes"]:
            return key
    return None


def _lifetime_ms(key: str) -> int:
    (left,) = gateway_bus().ask(("PTTL", key)) or [0]
    return int(left)
