"""How a channel is, from how its sockets are and what they carry."""

from collections.abc import Mapping
from typing import Any

import pytest

from marketdata.feedstate import SUBSCRIBING_SECONDS, FeedStates, Ground, is_believed, judge
from opitios.broker.alpaca.backoff import StreamState
from opitios.broker.alpaca.datastreams import Condition

NOW = 1_000_000.0


def socket(
    *symbols: str,
    state: StreamState = "listening",
    since: float = NOW - 60,
    refused: Mapping[tuple[str, str], int] | None = None,
) -> Condition:
    subscribed = frozenset(("quotes", symbol) for symbol in symbols)
    return Condition(state, None, since, NOW, subscribed, refused or {})


def ground(
    wanted: str, sockets: Mapping[str, Condition], placed: str = "", ago: float = 60, **more: Any
) -> Ground:
    """Ground of quotes: the symbols wanted for a minute, and beside each its socket's name."""
    told: dict[str, Any] = {"wanted": dict.fromkeys(wanted, NOW - ago)} | more
    return Ground(
        "quotes", placed=dict(zip(wanted, placed, strict=False)), conditions=sockets, **told
    )


@pytest.mark.parametrize(
    ("made", "state"),
    [
        (ground("", {}), ("down", "no-data-account")),
        (ground("", {"a": socket()}), ("live", None)),
        (ground("", {"a": socket(state="lost"), "b": socket()}), ("live", None)),
        (ground("", {"a": socket(state="throttled")}), ("down", "throttled")),
        (ground("A", {"a": socket("A")}, "a"), ("live", None)),
        (ground("AB", {"a": socket("A"), "b": socket("B", state="lost")}, "ab"), ("down", "lost")),
        (ground("A", {"a": socket("A"), "b": socket(state="lost")}, "a"), ("live", None)),
        (ground("A", {}, "a"), ("down", "connecting")),
        (ground("A", {"a": socket("A")}, "a", mute={"a"}), ("stale", "silent")),
        (ground("AB", {"a": socket("A")}, "a"), ("behind", "symbol-limit")),
        (ground("AB", {"a": socket("A")}, "aa"), ("behind", "subscribing")),
        (ground("A", {"a": socket("A")}, "a", is_losing=True), ("behind", "slow")),
        (ground("AB", {"a": socket("A")}, "a", is_losing=True), ("behind", "slow")),
        # New ones have their time; a symbol that is none is nobody else's trouble.
        (ground("A", {"a": socket()}, "a", ago=SUBSCRIBING_SECONDS), ("live", None)),
        (ground("A", {"a": socket(refused={("quotes", "A"): 400})}, "a"), ("live", None)),
    ],
)  # fmt: skip
def test_a_channel_is_as_its_sockets_are(made: Ground, state: tuple[str, str | None]) -> None:
    assert judge(made, NOW) == state


def test_a_state_tells_since_when_it_holds_and_who_has_no_place() -> None:
    states = FeedStates()
    first = states.note("quotes", "iex", ground("AB", {"a": socket("A")}, "a"), NOW)
    assert (first["state"], first["since"], first["missing"]) == ("behind", NOW, ["B"])

    again = states.note("quotes", "iex", ground("AB", {"a": socket("A")}, "a"), NOW + 1)
    assert again["since"] == NOW

    well = states.note("quotes", "iex", ground("A", {"a": socket("A")}, "a"), NOW + 2)
    assert (well["state"], well["since"]) == ("live", NOW + 2)
    assert "missing" not in well


@pytest.mark.parametrize("wanted", ["A", "AB"], ids=["live", "over its limit"])
def test_a_socket_that_came_back_between_two_looks_is_believed_anew(wanted: str) -> None:
    states = FeedStates()
    states.note("quotes", "iex", ground(wanted, {"a": socket("A")}, "a"), NOW)

    back = states.note(
        "quotes", "iex", ground(wanted, {"a": socket("A", since=NOW + 1)}, "a"), NOW + 2
    )

    assert is_believed(back)
    assert back["since"] == NOW + 1


def test_over_its_limit_a_channel_is_believed_anew_after_ticks_were_lost() -> None:
    states = FeedStates()
    full = ground("AB", {"a": socket("A")}, "a")
    states.note("quotes", "iex", full, NOW)
    losing = ground("AB", {"a": socket("A")}, "a", is_losing=True)

    lost = states.note("quotes", "iex", losing, NOW + 1)
    again = states.note("quotes", "iex", full, NOW + 6)

    assert [is_believed(each) for each in (lost, again)] == [False, True]
    assert again["since"] == NOW + 6


def test_another_feed_is_another_state() -> None:
    states = FeedStates()
    states.note("quotes", "iex", ground("A", {"a": socket("A")}, "a"), NOW)

    assert (
        states.note("quotes", "sip", ground("A", {"a": socket("A")}, "a"), NOW + 5)["since"]
        == NOW + 5
    )
