"""What is known of the live feed, and what of it is worth telling. Times are epoch seconds."""

import pytest

from marketdata.live import SILENT_SECONDS
from streaming.feedstates import FeedState, HeardStates

BEGAN = 1000.0


@pytest.fixture
def states() -> HeardStates:
    """What a process knows that began at BEGAN."""
    return HeardStates(started_at=BEGAN)


def heard(states: HeardStates, state: str, *, since: float, at: float) -> None:
    """Hear that quotes are in a state."""
    told = {"channel": "quotes", "feed": "iex", "state": state, "since": since, "reason": None}
    states.note(told, at)


def test_a_young_process_knows_nothing_and_then_that_nobody_speaks(states: HeardStates) -> None:
    assert states.of("quotes", now=BEGAN + 1, heard_since=BEGAN) is None

    later = states.of("quotes", now=BEGAN + SILENT_SECONDS + 1, heard_since=BEGAN)

    assert later == FeedState(None, "down", BEGAN)


def test_a_live_feed_is_live_for_us_since_we_listen(states: HeardStates) -> None:
    heard(states, "live", since=500.0, at=BEGAN + 1)

    state = states.of("quotes", now=BEGAN + 2, heard_since=BEGAN)

    assert state == FeedState("iex", "live", BEGAN, is_believed=True)
    assert [state.covers(at) for at in (BEGAN - 1, BEGAN + 1)] == [False, True]


@pytest.mark.parametrize("state", ["down", "stale", "behind"])
def test_a_feed_that_is_not_live_covers_nothing_and_keeps_its_own_instant(
    states: HeardStates, state: str
) -> None:
    heard(states, state, since=500.0, at=BEGAN)

    told = states.of("quotes", now=BEGAN, heard_since=BEGAN)

    assert told == FeedState("iex", state, 500.0)
    assert not told.covers(BEGAN)


def test_without_redis_or_a_market_process_a_channel_is_down(states: HeardStates) -> None:
    heard(states, "live", since=BEGAN, at=BEGAN + 1)

    young = states.of("quotes", now=BEGAN + 2, heard_since=None)
    assert young is None
    heard(states, "live", since=BEGAN, at=BEGAN + SILENT_SECONDS)
    later = BEGAN + SILENT_SECONDS + 1
    without_redis = states.of("quotes", now=later, heard_since=None)
    silent = states.of("quotes", now=later + SILENT_SECONDS, heard_since=BEGAN)

    assert without_redis
    assert without_redis.key([]) == without_redis._replace(feed=None).key([])
    assert without_redis == silent == FeedState("iex", "down", BEGAN + SILENT_SECONDS)


def test_a_market_process_that_was_silent_for_a_while_may_have_lost_something(
    states: HeardStates,
) -> None:
    heard(states, "live", since=500.0, at=BEGAN + 1)
    heard(states, "live", since=500.0, at=BEGAN + 10)

    state = states.of("quotes", now=BEGAN + 10, heard_since=BEGAN)

    assert state
    assert [state.covers(at) for at in (BEGAN + 9, BEGAN + 10)] == [False, True]


def test_of_two_owners_one_may_fall_silent(states: HeardStates) -> None:
    heard(states, "live", since=500.0, at=BEGAN)
    later = BEGAN + SILENT_SECONDS + 1
    told = {"channel": "option_quotes", "feed": "indicative", "state": "live", "since": 500.0}
    states.note(told | {"reason": None}, later)

    quotes = states.of("quotes", now=later, heard_since=BEGAN)
    options = states.of("option_quotes", now=later, heard_since=BEGAN)

    assert quotes
    assert options
    assert (quotes.state, options.state) == ("down", "live")


def test_a_gap_that_was_mended_is_something_else_to_tell(states: HeardStates) -> None:
    heard(states, "live", since=BEGAN, at=BEGAN + 2)

    before = states.of("quotes", now=BEGAN + 2, heard_since=BEGAN)
    after = states.of("quotes", now=BEGAN + 2, heard_since=BEGAN + 1)

    assert before
    assert after
    assert before.key([]) != after.key([])
    assert before.key([]) != before.key(["MSFT"])
    assert after.since == BEGAN + 1


def test_over_its_limit_a_feed_is_believed_for_what_it_carries(states: HeardStates) -> None:
    told = {"channel": "quotes", "feed": "iex", "state": "behind", "since": BEGAN}
    states.note(told | {"reason": "symbol-limit", "missing": ["MSFT", "TSLA"]}, BEGAN)

    state = states.of("quotes", now=BEGAN, heard_since=BEGAN)

    assert state
    assert (state.state, state.covers(BEGAN + 1)) == ("behind", True)
    assert state.missing_of("quotes", {("quotes", "AAPL"), ("quotes", "TSLA")}) == ["TSLA"]
    assert state.missing_of("trades", {("trades", "TSLA"), ("quotes", "TSLA")}) == ["TSLA"]
    assert state.missing_of("trades", {("quotes", "TSLA")}) == []
