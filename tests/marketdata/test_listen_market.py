"""Two real market processes: one owns the sockets, the other takes over; quotes are streamed."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

from tests.support.until import until

if TYPE_CHECKING:
    from tests.marketdata.feeds import Heard
    from tests.marketdata.gateways import Gateway
    from tests.matrix.nodes import Node

pytestmark = [pytest.mark.journeys, pytest.mark.django_db]

QUOTES = "GET /v2/stocks/quotes/latest"
# Leases of a crowded machine; reaping of a tenth.
TIMERS = {
    "OPITIOS_TIMERS__LEASE_RENEW": "0.5",
    "OPITIOS_TIMERS__LEASE_VALID": "3.0",
    "OPITIOS_TIMERS__FEED_REAPED": "2.0",
    "OPITIOS_TIMERS__FEED_SILENCE": "5.0",
}


def market_node(folder: Path) -> "Node":
    from tests.matrix.nodes import Node  # noqa: PLC0415 - Django is set up by now

    return Node("market", ("manage.py", "listen_market"), folder, TIMERS)


@pytest.fixture(scope="module")
def gateway(own_database: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator["Gateway"]:
    """One web process, a broker and two data accounts."""
    from tests.marketdata.gateways import gateway as start  # noqa: PLC0415

    with ExitStack() as stack:
        made = start(tmp_path_factory.mktemp("gateway"), stack, webs=1)
        made.sandbox.post("feed", {"quotes_per_second": 20})
        yield made


@pytest.fixture
def heard(_django_db_helper: None, gateway: "Gateway") -> Iterator["Heard"]:
    from opitios.core.bus import Bus, namespace  # noqa: PLC0415
    from opitios.core.config import get_config  # noqa: PLC0415
    from tests.marketdata.feeds import Heard  # noqa: PLC0415

    one = Heard(Bus(get_config().redis_url.get_secret_value(), namespace=namespace()))
    yield one
    one.close()


def was_refused(node: "Node") -> bool:
    """Whether the broker told it that somebody is connected already."""
    return (
        re.search(r"406 connection limit exceeded|answered 406", node.log.read_text()) is not None
    )


def owner_of(nodes: list["Node"]) -> "Node":
    """The one of these that owns both kinds of sockets."""
    from tests.marketdata.feeds import owners  # noqa: PLC0415

    def found() -> "Node | None":
        held = {name.partition("/")[0] for kind in ("stock", "option") for name in owners(kind)}
        return next((node for node in nodes if held == {node.name}), None)

    node = until(found, seconds=30)
    assert node is not None
    return node


def test_quotes_come_from_the_stream_and_survive_their_market_process(
    gateway: "Gateway", heard: "Heard", tmp_path: Path
) -> None:
    from tests.matrix.nodes import running  # noqa: PLC0415

    nodes = [market_node(tmp_path), market_node(tmp_path)]
    with running(*nodes):
        first = owner_of(nodes)
        heard.demand.hold("trades", ["SPY"])
        heard.hears("trades", "SPY")

        # Who asks makes it hot; then the broker is not asked any more.
        until(lambda: gateway.read("stocks/quote/AAPL")["source"] == "stream", seconds=30)

        def fifty_are_streamed() -> bool:
            # On a crowded machine one process may seem silent to another for a moment.
            before = gateway.calls(QUOTES)
            told = [gateway.read("stocks/quote/AAPL") for _ in range(50)]
            found = {(each["source"], each["feed"]) for each in told}
            return found == {("stream", "iex")} and gateway.calls(QUOTES) == before

        until(fifty_are_streamed)

        # Killed: the other one has the sockets within seconds, and nobody is refused meanwhile.
        first.kill()
        second = owner_of([each for each in nodes if each is not first])
        heard.hears("trades", "SPY")
        assert not was_refused(second)
        answer = requests.get(
            f"{gateway.origins[0]}/api/v1/stocks/quote/AAPL", headers=gateway.headers, timeout=60
        )
        assert answer.status_code == 200
        until(lambda: gateway.read("stocks/quote/AAPL")["source"] == "stream", seconds=30)

        # Asked to end: it closes its sockets in order, and another one begins.
        third = market_node(tmp_path)
        with running(third):
            second.ask_to_end()
            assert second.ended() == 0
            assert owner_of([third]) is third
            heard.hears("trades", "SPY")
            assert not was_refused(third)


def test_one_that_was_frozen_has_lost_and_says_nothing(
    gateway: "Gateway", heard: "Heard", tmp_path: Path
) -> None:
    from tests.matrix.nodes import running  # noqa: PLC0415

    nodes = [market_node(tmp_path), market_node(tmp_path)]
    with running(*nodes):
        first = owner_of(nodes)
        heard.demand.hold("quotes", ["AAPL"])
        heard.hears("quotes", "AAPL")

        first.freeze()
        second = owner_of([each for each in nodes if each is not first])
        # The broker still counts the frozen one's connections: the new owner is told to wait.
        until(lambda: was_refused(second), seconds=30)
        first.thaw()

        heard.hears("quotes", "AAPL")
        assert heard.until_live("quotes")
        # One connection of each account to each endpoint: nobody is there twice.
        until(lambda: gateway.sandbox.get("health")["data_sockets"] == 4, seconds=30)
        assert owner_of(nodes) is second
        first.ask_to_end()
        assert first.ended() == 0
        assert owner_of(nodes) is second
