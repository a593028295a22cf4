"""An account's entries are shown in the journal's order, whatever order they came in."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from streaming.feeds import MAX_AHEAD, Feed


def message(seq: int) -> dict[str, object]:
    """A message of this number."""
    return {"account_id": "A", "seq": seq}


def numbers(messages: list[object]) -> list[int]:
    """Their numbers."""
    return [told["seq"] for told in messages]  # type: ignore[index]


def started(seq: int = 0) -> Feed:
    """A feed whose journal stood at `seq`."""
    feed = Feed("A")
    feed.begin(seq)
    return feed


@given(st.lists(st.integers(min_value=1, max_value=12), max_size=40))
def test_any_order_of_pushes_shows_each_entry_once_and_in_order(pushed: list[int]) -> None:
    feed = started()

    shown = [seq for number in pushed for seq in numbers([*feed.offer(message(number))])]

    gapless = itertools.takewhile(lambda number: number in pushed, itertools.count(1))
    assert shown == list(gapless)
    assert feed.seq == len(shown)
    assert feed.is_behind == (max(pushed, default=0) > len(shown))


def test_entries_shown_before_take_no_room() -> None:
    feed = started(1000)
    for number in range(1, 1001):
        assert feed.offer(message(number)) == []

    feed.offer(message(1002))

    assert numbers([*feed.offer(message(1001))]) == [1001, 1002]


def test_what_came_while_the_head_was_read_follows_the_snapshot() -> None:
    feed = Feed("A")
    for number in (7, 9, 8, 6):
        assert feed.offer(message(number)) == []

    assert numbers([*feed.begin(7)]) == [8, 9]
    assert feed.seq == 9
    assert not feed.is_behind


def test_a_feed_that_has_not_begun_is_not_behind() -> None:
    feed = Feed("A")
    feed.offer(message(5))

    assert not feed.is_behind


def test_a_head_beyond_what_was_shown_is_a_gap() -> None:
    feed = started(4)

    feed.note(6)

    assert feed.is_behind


def test_what_the_journal_does_not_hold_is_not_waited_for() -> None:
    feed = started(4)
    feed.offer(message(1_000_000))

    feed.forget_ahead()

    assert not feed.is_behind
    assert numbers([*feed.offer(message(5))]) == [5]


def test_few_entries_are_kept_while_one_is_missing() -> None:
    feed = started()
    for number in range(2, MAX_AHEAD + 50):
        feed.offer(message(number))

    shown = numbers([*feed.offer(message(1))])

    assert shown == list(range(1, MAX_AHEAD + 2))
    assert feed.is_behind
