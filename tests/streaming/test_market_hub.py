"""What the market hub puts before sockets: each tick once, known quotes first, how feeds are."""

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from marketdata.demand import Demand
from marketdata.live import SILENT_SECONDS
from opitios.core.bus import Listener, get_bus
from opitios.core.metrics import Counter
from streaming import market as hubs
from streaming.backlog import MAX_EVENTS
from streaming.buffer import Outbox
from streaming.counters import PRICES, PRICES_DROPPED
from streaming.inbox import Inbox, conflated
from streaming.lines import AsgiLine
from streaming.market import MarketHub
from tests.streaming.market import now, tick
from tests.support.buses import lone_bus

QUOTE, TRADE = ("quotes", "AAPL"), ("trades", "AAPL")


class Clock:
    """A wall clock that a test moves."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return now() + self.ahead


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The hub's clock."""
    clock = Clock()
    monkeypatch.setattr(hubs, "_now", clock)
    return clock


@pytest.fixture
def hub(wall: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[MarketHub]:
    """A hub that listens, and whose demand everybody knows; all is live."""
    bus = lone_bus()
    demand = Demand(bus)
    # Told by the test and by the hub alone: a thread besides would do so at any moment.
    monkeypatch.setattr(demand, "_tell_soon", lambda: None)
    hub = MarketHub(bus, demand)
    hub._ticks_listener = Listener("", "", lambda _: None)
    hub._ticks_listener.since = since = now()
    hub._confirmed = since, since
    is_now(hub, "live")
    yield hub
    demand.close()


def is_now(hub: MarketHub, state: str, **more: Any) -> None:
    """Let the hub hear how quotes are, and have long been unless told."""
    told = {"channel": "quotes", "feed": "iex", "state": state, "since": 1.0, "reason": None}
    hub.note(told | more)


async def sent(socket: Outbox) -> list[list[dict[str, Any]]]:
    """The frames that wait for a socket; it may go on."""
    frames: list[list[dict[str, Any]]] = []

    async def send(text: str) -> None:
        frames.append(json.loads(text))

    writing = asyncio.create_task(socket.drain(AsgiLine(send)))
    for _ in range(20):
        await asyncio.sleep(0)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    return frames


def listens_since(hub: MarketHub, since: float | None) -> None:
    """Let the hub's listener have begun anew, or not listen."""
    assert hub._ticks_listener
    hub._ticks_listener.since = since


def followed(hub: MarketHub, *items: tuple[str, str]) -> Outbox:
    """A new socket that follows these, and is told that everybody knows."""
    socket = Outbox()
    hub.follow(socket, frozenset(items))
    hub._demand.tell()
    for symbols in hub._demand._since.values():
        # Long enough ago for the market process to know.
        symbols.update(dict.fromkeys(symbols, 1.0))
    return socket


def counted(counter: Counter) -> float:
    """What this process counted so far, under all labels."""
    return float(sum(told[-1] for told in counter.told()["counts"]))


async def test_sockets_share_a_frame_that_was_encoded_once(hub: MarketHub) -> None:
    one, other, less = (followed(hub, QUOTE, TRADE) for _ in range(3))
    hub.follow(less, frozenset({QUOTE}))

    hub.show([tick(*QUOTE), tick(*TRADE), tick("quotes", "MSFT")])

    bundles = [socket._bundles[0] for socket in (one, other, less)]
    assert bundles[0] is bundles[1]
    assert bundles[2].entries[0] is bundles[0].entries[0]
    assert [len(bundle.entries) for bundle in bundles] == [2, 2, 1]


async def test_a_new_subscriber_is_shown_the_quote_that_is_known_with_its_age_and_no_old_trade(
    hub: MarketHub, wall: Clock
) -> None:
    first = followed(hub, QUOTE, TRADE)
    hub.show([tick(*QUOTE, bp=1), tick(*TRADE), tick(*QUOTE, bp=2)])
    wall.ahead = 1.5

    second = followed(hub, QUOTE, TRADE)

    ((shown,),) = await sent(second)
    assert (shown["T"], shown["bp"]) == ("q", 2)
    assert 1500 <= shown["age_ms"] < 60_000
    hub.follow(second, frozenset({QUOTE, TRADE, ("bars", "AAPL")}))
    assert [one["T"] for frame in await sent(second) for one in frame] == []
    assert len((await sent(first))[0]) == 3


async def _wanted_too_late(hub: MarketHub) -> None:
    hub._demand._since["quotes"]["AAPL"] = now()


async def _live_too_late(hub: MarketHub) -> None:
    is_now(hub, "down")
    is_now(hub, "live", since=now())


async def _heard_too_late(hub: MarketHub) -> None:
    listens_since(hub, now())
    await hub.confirm()


async def _stale(hub: MarketHub) -> None:
    is_now(hub, "stale")


async def _ended(hub: MarketHub) -> None:
    hub._inbox.put([], gone=[QUOTE])
    hub._arrived.set()
    await hub.show_arrived()


GAPS = [_wanted_too_late, _live_too_late, _heard_too_late, _stale, _ended]


@pytest.mark.parametrize("gap", GAPS)
async def test_a_quote_after_which_one_may_have_been_missed_is_not_shown(
    hub: MarketHub, gap: Callable[[MarketHub], Any]
) -> None:
    followed(hub, QUOTE)
    hub.show([tick(*QUOTE)])
    await gap(hub)

    late = Outbox()
    hub.follow(late, frozenset({QUOTE}))

    assert not [one for frame in await sent(late) for one in frame if one["T"] == "q"]


async def test_a_quote_that_nobody_follows_any_more_is_forgotten(hub: MarketHub) -> None:
    only = followed(hub, QUOTE)
    hub.show([tick(*QUOTE)])

    hub.leave(only)

    assert hub._quotes == {}
    assert len(hub._statuses) == 0
    assert hub.part() == {"symbols": 0}


async def test_every_change_of_a_feed_is_told_once_to_those_who_follow_its_channel(
    hub: MarketHub,
) -> None:
    socket, stranger = followed(hub, QUOTE), followed(hub, TRADE)

    for state in ("down", "down", "live", "stale", "stale", "live", "live"):
        is_now(hub, state)
        hub.tell(["quotes", "trades"])

    told = [one for frame in await sent(socket) for one in frame]
    assert [one["state"] for one in told] == ["down", "live", "stale", "live"]
    assert {(one["T"], one["channel"], one["feed"]) for one in told} == {
        ("status", "quotes", "iex")
    }
    assert all(one["since"].endswith("Z") for one in told)
    assert await sent(stranger) == []


async def test_a_feed_that_was_lost_and_is_back_before_it_was_told_is_told_as_live_anew(
    hub: MarketHub,
) -> None:
    socket = followed(hub, QUOTE)

    is_now(hub, "live", since=(since := now() + 5))
    is_now(hub, "live", since=since)

    assert [one["state"] for (one,) in await sent(socket)] == ["live"]


async def test_who_subscribes_to_a_channel_that_is_not_live_is_told_and_told_when_it_is(
    hub: MarketHub,
) -> None:
    early = followed(hub, QUOTE)
    is_now(hub, "behind")

    late = followed(hub, QUOTE)
    hub.follow(late, frozenset({QUOTE, ("quotes", "MSFT")}))
    is_now(hub, "live")

    assert [one["state"] for (one,) in await sent(late)] == ["behind", "live"]
    assert [one["state"] for (one,) in await sent(early)] == ["behind", "live"]


async def test_symbols_without_prices_are_told_to_those_who_follow_them(hub: MarketHub) -> None:
    mine, whole = followed(hub, QUOTE, ("quotes", "ZZZZ")), followed(hub, QUOTE)
    is_now(hub, "live", missing=["MSFT", "ZZZZ"])
    is_now(hub, "live", missing=["TSLA", "ZZZZ"])

    late = followed(hub, ("quotes", "ZZZZ"))
    is_now(hub, "live")

    told = [(one["state"], one["missing"]) for (one,) in await sent(mine)]
    assert told == [("live", ["ZZZZ"]), ("live", [])]
    assert [one["missing"] for (one,) in await sent(late)] == [["ZZZZ"], []]
    assert await sent(whole) == []


async def test_redis_lost_is_told_and_so_is_a_gap_that_nobody_saw(
    hub: MarketHub, wall: Clock
) -> None:
    socket = followed(hub, QUOTE)
    # A process that has just begun does not know yet.
    wall.ahead = SILENT_SECONDS + 1
    is_now(hub, "live")
    await sent(socket)

    for since in (None, now(), now() + 1):
        listens_since(hub, since)
        await hub.confirm()
        hub.tell(["quotes"])

    assert [one["state"] for (one,) in await sent(socket)] == ["down", "live", "live"]


async def test_a_redis_that_came_back_empty_knows_the_demand_before_a_feed_is_called_live(
    hub: MarketHub, wall: Clock
) -> None:
    followed(hub, QUOTE)
    wall.ahead = SILENT_SECONDS + 1
    is_now(hub, "live")
    key = hub._bus.key("demand")
    assert hub._demand.in_all("quotes") == {"AAPL"}
    hub._bus.ask(("DEL", key))
    assert hub._demand.in_all("quotes") == frozenset()

    listens_since(hub, now() + 1)
    late = followed(hub, TRADE)
    hub._bus.ask(("DEL", key))
    await hub.confirm()

    assert [one["state"] for (one,) in await sent(late)] == ["down"]
    assert hub._demand.in_all("quotes") == {"AAPL"}


async def test_what_the_loop_could_not_take_in_time_is_told_as_dropped(hub: MarketHub) -> None:
    socket, other = followed(hub, QUOTE), followed(hub, ("quotes", "MSFT"))
    hub._inbox = Inbox(most=10)
    before = counted(PRICES), counted(PRICES_DROPPED)
    for number in range(100):
        hub._inbox.put([tick(*QUOTE, bp=number)])
    hub._arrived.set()

    await hub.show_arrived()

    messages = [one for frame in await sent(socket) for one in frame]
    bids = [one["bp"] for one in messages if one["T"] == "q"]
    dropped = [one["count"] for one in messages if one["T"] == "dropped"]
    assert bids == sorted(bids)
    assert bids[-1] == 99
    assert len(bids) + sum(dropped) == 100
    assert await sent(other) == []
    assert counted(PRICES) - before[0] == len(bids)
    assert counted(PRICES_DROPPED) - before[1] == sum(dropped)


def test_a_flood_is_conflated_to_the_newest_quotes_and_the_last_events_in_their_order() -> None:
    flood = [tick(*item, n=number) for number in range(1000) for item in (QUOTE, TRADE)]

    kept, lost = conflated(flood)

    assert [one.body["n"] for one in kept if one.channel == "quotes"] == [999]
    trades = [one.body["n"] for one in kept if one.channel == "trades"]
    assert trades == [*range(1000 - MAX_EVENTS, 1000)]
    assert lost == {QUOTE: 999, TRADE: 1000 - MAX_EVENTS}
    assert sum(lost.values()) + len(kept) == len(flood)


def test_an_inbox_stays_small_whatever_comes() -> None:
    inbox = Inbox(most=100)

    for number in range(10_000):
        inbox.put([tick(*QUOTE, n=number)])
        assert len(inbox._ticks) <= 101

    ticks, lost, _ = inbox.take()
    assert len(ticks) + lost[QUOTE] == 10_000
    assert inbox.take() == ([], {}, [])


def test_a_process_has_one_hub() -> None:
    # One of another database's tests, if any.
    hubs.get_market.cache_clear()

    assert hubs.get_market() is hubs.get_market()
    assert hubs.get_market()._bus is get_bus()
