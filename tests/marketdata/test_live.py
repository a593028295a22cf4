"""A price of the feed is the present one only while nothing newer can have been missed."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from marketdata.ticks import Tick, packed
from opitios.core import clock
from opitios.core.bus import Bus, Topic
from tests.marketdata.brokers import WIRE
from tests.marketdata.conftest import FleetStarter
from tests.support.until import until

if TYPE_CHECKING:
    from marketdata.demand import Demand
    from marketdata.live import Live

pytestmark = pytest.mark.django_db

QUOTE = ("quotes", "AAPL", "iex")


class Market:
    """A market process that says what the test wants."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.since = clock.now().timestamp()

    def is_(self, state: str, *, since: float | None = None, reason: str | None = None) -> None:
        """Say how quotes are."""
        told = {"channel": "quotes", "feed": "iex", "state": state, "reason": reason}
        self.bus.publish((Topic.MARKET, told | {"since": since or self.since}))

    def quotes(self, at: float | None = None, **changed: Any) -> float:
        """Tell a quote of Apple's, received at this instant."""
        when = at or clock.now().timestamp()
        tick = Tick("quotes", "iex", "AAPL", when, WIRE | changed)
        self.bus.publish((Topic.TICKS, packed([tick])))
        return when


@pytest.fixture
def bus() -> Bus:
    from tests.support.buses import lone_bus  # noqa: PLC0415 - Django is set up by now

    return lone_bus()


@pytest.fixture
def demand(bus: Bus) -> Iterator["Demand"]:
    from marketdata.demand import Demand  # noqa: PLC0415

    one = Demand(bus)
    yield one
    one.close()


@pytest.fixture
def live(bus: Bus, demand: "Demand", monkeypatch: pytest.MonkeyPatch) -> Iterator["Live"]:
    """The prices of one process, who are settled at once; what is told once, is believed."""
    from marketdata import kinds, live  # noqa: PLC0415

    monkeypatch.setattr(live, "SETTLED_SECONDS", 0.0)
    monkeypatch.setattr(live, "SILENT_SECONDS", float("inf"))
    one = live.Live(bus, demand, {"quotes": kinds.StockQuote})
    one.start()
    until(lambda: all(each.since for each in one._listeners))
    yield one
    one.close()


@pytest.fixture
def market(bus: Bus, live: "Live", demand: "Demand") -> Market:
    """A feed that is live, of which this process wants Apple's quotes."""
    one = Market(bus)
    one.is_("live")
    until(lambda: live.find(*QUOTE) is None and demand.since(*QUOTE[:2]))
    return one


def found(live: "Live") -> dict[str, Any] | None:
    kept = live.find(*QUOTE)
    return None if kept is None else orjson.loads(kept.value)


def test_a_quote_is_found_as_the_feed_told_it(live: "Live", market: Market) -> None:
    market.quotes(bp=1.0)
    assert until(lambda: found(live)) == WIRE | {"bp": 1.0}

    market.quotes(bp=2.0)

    until(lambda: (found(live) or {}).get("bp") == 2.0)
    assert live.find("quotes", "AAPL", "sip") is None
    assert live.find("trades", "AAPL", "iex") is None


def test_what_nobody_here_wants_is_not_kept(live: "Live", market: Market) -> None:
    tick = Tick("quotes", "iex", "MSFT", clock.now().timestamp(), WIRE)
    market.bus.publish((Topic.TICKS, packed([tick])))
    market.quotes()
    until(lambda: found(live))

    assert live.last("quotes", "MSFT", "iex") is None


@pytest.mark.parametrize("state", ["down", "stale", "behind"])
def test_while_the_feed_is_not_live_nothing_of_it_is_the_present_price(
    live: "Live", market: Market, state: str
) -> None:
    market.quotes()
    until(lambda: found(live))

    market.is_(state)
    until(lambda: found(live) is None)
    assert live.last(*QUOTE) is not None

    market.is_("live", since=clock.now().timestamp())
    until(lambda: live._channels["quotes"].is_believed)
    assert found(live) is None
    market.quotes()
    until(lambda: found(live))


def test_over_its_limit_a_feed_is_believed_in_what_it_carries(live: "Live", market: Market) -> None:
    market.is_("behind", reason="symbol-limit")
    until(lambda: not live._channels["quotes"].since > market.since)

    market.quotes()

    until(lambda: found(live))


def test_a_quote_from_before_it_was_wanted_or_heard_is_not_believed(
    live: "Live", market: Market
) -> None:
    market.quotes(at=market.since - 60)
    until(lambda: live.last(*QUOTE))

    assert found(live) is None


def test_what_is_listened_to_no_more_is_forgotten(live: "Live", market: Market) -> None:
    market.quotes()
    until(lambda: found(live))

    market.bus.publish((Topic.TICKS, packed([], gone=[("quotes", "AAPL")])))

    until(lambda: live.last(*QUOTE) is None)
    assert found(live) is None


def test_a_market_process_that_says_nothing_is_not_believed(
    live: "Live", market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    from marketdata import live as module  # noqa: PLC0415

    market.quotes()
    until(lambda: found(live))

    monkeypatch.setattr(module, "SILENT_SECONDS", 0.0)

    assert found(live) is None


def test_what_was_heard_before_a_silence_is_not_believed_after_it(
    live: "Live", market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    from marketdata import live as module  # noqa: PLC0415

    market.quotes(bp=1.0)
    until(lambda: found(live))
    before = live._channels["quotes"]

    with monkeypatch.context() as silence:
        silence.setattr(module, "SILENT_SECONDS", 0.0)
        # As if nothing had been: its sockets never failed, only its words were lost.
        market.is_("live")
        until(lambda: live._channels["quotes"] is not before)

    assert live._channels["quotes"].is_believed
    assert found(live) is None
    market.quotes(bp=2.0)
    assert until(lambda: found(live)) == WIRE | {"bp": 2.0}


def test_what_was_heard_before_the_first_word_of_a_channel_is_not_believed(
    live: "Live", bus: Bus, demand: "Demand"
) -> None:
    demand.hold("quotes", ["AAPL"])
    until(lambda: demand.since("quotes", "AAPL"))
    market = Market(bus)
    market.quotes(bp=1.0)
    until(lambda: live.last(*QUOTE))

    market.is_("live")
    until(lambda: live._channels)

    assert found(live) is None
    market.quotes(bp=2.0)
    assert until(lambda: found(live)) == WIRE | {"bp": 2.0}


def test_a_message_that_is_no_quote_is_no_answer(live: "Live", market: Market) -> None:
    market.quotes()
    until(lambda: found(live))

    market.quotes(bp="much")

    until(lambda: found(live) is None)


def test_a_hot_quote_is_answered_from_the_stream_without_a_call(
    live: "Live", market: Market, fleet_of: FleetStarter
) -> None:
    from marketdata import kinds  # noqa: PLC0415
    from marketdata.latest import Latest  # noqa: PLC0415
    from marketdata.shared import Shared  # noqa: PLC0415
    from tests.marketdata.brokers import quoting  # noqa: PLC0415

    fleet = fleet_of(data_001=[quoting("AAPL", "MSFT", bp=9.0)])
    sources = fleet.sources()
    shared = Shared(Bus("redis://127.0.0.1:1/0"))
    quotes = Latest(kinds.QUOTES, fleet.router(), shared, sources.hours, live)
    market.quotes(bp=1.0)
    until(lambda: found(live))

    told = orjson.loads(quotes.one("AAPL", "iex"))
    assert (told["source"], told["feed"], told["bp"]) == ("stream", "iex", 1.0)
    assert 0 <= told["age_ms"] < 60_000
    assert fleet.asked() == {"data_001": 0}
    known = quotes.known("AAPL", "iex", within_seconds=60)
    assert known is not None
    assert orjson.loads(known)["source"] == "stream"

    both, errors = quotes.many(["AAPL", "MSFT"], "iex")
    assert {symbol: each["source"] for symbol, each in orjson.loads(b"{%s}" % both).items()} == {
        "AAPL": "stream",
        "MSFT": "broker",
    }
    assert errors == {}
    assert fleet.asked() == {"data_001": 1}

    # Another feed, or a feed that is down, is the broker's to answer.
    assert orjson.loads(quotes.one("AAPL", "sip"))["source"] == "broker"
    market.is_("down")
    until(lambda: found(live) is None)
    assert orjson.loads(quotes.one("AAPL", "iex"))["bp"] == 9.0


def test_with_feed_and_broker_away_the_last_price_is_shown_as_stale(
    live: "Live", market: Market, fleet_of: FleetStarter
) -> None:
    from marketdata import kinds  # noqa: PLC0415
    from marketdata.latest import Latest  # noqa: PLC0415
    from marketdata.shared import Shared  # noqa: PLC0415
    from tests.marketdata.brokers import DENIED  # noqa: PLC0415

    fleet = fleet_of(data_001=[DENIED])
    shared = Shared(Bus("redis://127.0.0.1:1/0"))
    quotes = Latest(kinds.QUOTES, fleet.router(), shared, fleet.sources().hours, live)
    market.quotes(bp=1.0)
    until(lambda: found(live))

    market.is_("down")
    until(lambda: found(live) is None)

    told = orjson.loads(quotes.one("AAPL", "iex"))
    assert (told["source"], told["bp"]) == ("stale", 1.0)


def test_who_only_looks_wants_nothing(live: "Live", market: Market, demand: "Demand") -> None:
    assert live.present("quotes", "MSFT", "iex") is None
    assert "MSFT" not in demand._wanted()["quotes"]

    live.want("quotes", "MSFT", "iex")

    assert "MSFT" in demand._wanted()["quotes"]


def test_a_price_of_the_feed_is_at_hand_and_shown_as_it_is_answered(
    live: "Live", market: Market, fleet_of: FleetStarter
) -> None:
    from marketdata import kinds  # noqa: PLC0415
    from marketdata.shared import Shared  # noqa: PLC0415
    from marketdata.sources import Sources  # noqa: PLC0415

    shared = Shared(Bus("redis://127.0.0.1:1/0"))
    quotes = Sources(fleet_of().router(), shared, live).latest(kinds.QUOTES)
    market.quotes(bp=1.0)

    at_hand = until(lambda: quotes.at_hand("AAPL", "iex"))
    assert at_hand is not None

    shown, answered = (
        {**orjson.loads(each), "age_ms": 0} for each in (at_hand[0], quotes.one("AAPL", "iex"))
    )
    assert shown == answered
    assert shown["source"] == at_hand[1] == "stream"
