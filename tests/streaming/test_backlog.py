"""Market data for a client that does not take it: bounded, the newest of each symbol, counted."""

import json
from collections.abc import Iterable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from streaming.backlog import Backlog, Entry

MANY = 10_000


def entries(channel: str, symbol: str, numbers: Iterable[int]) -> list[Entry]:
    """Messages that are their numbers."""
    return [Entry((channel, symbol), str(number)) for number in numbers]


def told(backlog: Backlog, most: int = MANY) -> list[Any]:
    """What is taken out: numbers, and what was dropped as (channel, count)."""
    taken = (json.loads(text) for text in backlog.take(most))
    return [one if isinstance(one, int) else (one["channel"], one["count"]) for one in taken]


def test_a_quote_that_waits_is_replaced_by_the_newest_of_its_symbol() -> None:
    backlog = Backlog()
    backlog.add(entries("quotes", "AAPL", range(5)) + entries("quotes", "MSFT", [70]))
    backlog.add(entries("quotes", "AAPL", [5]))

    assert told(backlog) == [("quotes", 5), 70, 5]
    assert backlog.dropped == 5
    assert told(backlog) == []


def test_trades_and_bars_leave_the_oldest_first_and_bars_are_not_pushed_out_by_trades() -> None:
    backlog = Backlog(max_events=3)
    backlog.add(entries("bars", "AAPL", [100]))
    backlog.add(entries("trades", "AAPL", range(5)))

    assert told(backlog) == [("trades", 2), 100, 2, 3, 4]


def test_little_is_taken_at_a_time_and_nothing_is_told_twice() -> None:
    backlog = Backlog(max_events=2)
    backlog.add(entries("trades", "AAPL", range(3)) + entries("quotes", "AAPL", [7]))

    assert [told(backlog, 2), told(backlog, 2), told(backlog, 2)] == [
        [("trades", 1), 1],
        [2, 7],
        [],
    ]


def test_what_is_followed_no_more_is_thrown_away_uncounted() -> None:
    backlog = Backlog()
    for symbol in ("AAPL", "MSFT"):
        backlog.add(entries("quotes", symbol, [1]) + entries("trades", symbol, [2]))

    backlog.forget({("quotes", "AAPL"), ("trades", "MSFT")})

    assert told(backlog) == [2, 1]
    assert backlog.dropped == 0


@given(
    st.lists(
        st.tuples(st.sampled_from(["trades", "quotes", "bars"]), st.sampled_from("ABC"))
        | st.integers(min_value=1, max_value=4)
    )
)
def test_everything_is_either_taken_or_counted_in_the_order_of_each_symbol(
    steps: list[tuple[str, str] | int],
) -> None:
    backlog, put, out = Backlog(max_events=2), 0, []
    for step in steps:
        if isinstance(step, int):
            out += told(backlog, step)
        else:
            backlog.add(entries(*step, [put]))
            put += 1
    out += told(backlog)

    messages = [one for one in out if isinstance(one, int)]
    dropped = sum(one[1] for one in out if not isinstance(one, int))
    assert len(messages) + dropped == put
    assert len(set(messages)) == len(messages)
    assert backlog.dropped == dropped
    owners = [step for step in steps if not isinstance(step, int)]
    for item in set(owners):
        mine = [number for number in messages if owners[number] == item]
        assert mine == sorted(mine)
