"""Which order of an account goes next: the oldest, four at once, one of a symbol (design.md §4)."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from trading.books import SUBMITS_AT_ONCE, Books

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)

Row = dict[str, Any]


def row(number: int, symbol: str | None = None, account_id: str = "a") -> Row:
    """The order received as the number-th, of a symbol of its own unless given."""
    return {
        "id": UUID(int=number),
        "account_id": account_id,
        "symbol": symbol or f"S{number}",
        "created_at": NOON + timedelta(milliseconds=number),
    }


@pytest.fixture
def books() -> Books:
    return Books()


def taken(books: Books, account_id: str = "a", now: float = 0.0) -> list[int]:
    """The numbers of every order that may go now."""
    found = []
    while (order := books.take(account_id, now)) is not None:
        found.append(order["id"].int)
    return found


def test_the_oldest_goes_first_and_four_at_once(books: Books) -> None:
    assert books.add([row(n) for n in range(1, 8)]) == {"a"}

    assert taken(books) == [1, 2, 3, 4]
    assert (books.flying(), books.depth()) == (SUBMITS_AT_ONCE, 3)
    assert books.landed(row(2))
    assert taken(books) == [5]


def test_an_order_that_comes_late_still_goes_in_its_place(books: Books) -> None:
    books.add([row(3)])
    books.add([row(4), row(2)])
    books.add([row(1)])

    assert taken(books) == [1, 2, 3, 4]


def test_an_order_put_back_goes_before_the_younger_ones(books: Books) -> None:
    books.add([row(n, "AAPL") for n in (1, 2, 3)])
    assert taken(books) == [1]

    books.landed(row(1, "AAPL"))
    books.add([row(1, "AAPL")])

    assert taken(books) == [1]


def test_one_of_a_symbol_is_under_way_and_nothing_overtakes_it(books: Books) -> None:
    books.add([row(1, "AAPL"), row(2, "AAPL"), row(3, "MSFT")])

    assert taken(books) == [1]
    books.landed(row(1))
    assert taken(books) == [2, 3]


def test_what_is_under_way_is_not_taken_again(books: Books) -> None:
    books.add([row(1)])
    assert taken(books) == [1]
    assert books.is_flying(row(1))

    books.add([row(1)])

    assert taken(books) == []
    assert not books.landed(row(1))
    assert not books.is_flying(row(1))


def test_a_held_account_rests_and_the_longer_hold_counts(books: Books) -> None:
    books.add([row(1), row(2, account_id="b")])
    books.hold("a", until=10.0)
    books.hold("a", until=5.0)

    assert taken(books, now=9.9) == []
    assert taken(books, "b", now=9.9) == [2]
    assert taken(books, now=10.0) == [1]


def test_accounts_do_not_wait_for_each_other(books: Books) -> None:
    books.add([row(n) for n in range(1, 6)] + [row(9, account_id="b")])
    taken(books)

    assert taken(books, "b") == [9]
    assert books.with_work() == []
    assert books.landed(row(1))
    assert books.with_work() == ["a"]
    assert (books.may_go_on("a"), books.may_go_on("b")) == (True, False)


def test_a_lost_account_is_forgotten_but_for_what_is_under_way(books: Books) -> None:
    books.add([row(1), row(2, "S1"), row(3)])
    assert taken(books) == [1]

    books.drop({"a", "never-seen"})

    assert taken(books) == []
    assert books.flying() == 1
    assert not books.landed(row(1))


def test_a_known_order_is_refreshed_in_its_place(books: Books) -> None:
    books.add([row(1), row(2)])
    books.add([{**row(1), "seq": 7}])

    first = books.take("a", 0.0)

    assert first is not None
    assert first["seq"] == 7
    assert books.depth() == 1


def test_the_idle_leave_first_and_nothing_of_those_that_leave_is_sent(books: Books) -> None:
    books.add([row(1), row(2), row(8, account_id="b"), row(9, account_id="c")])
    assert books.take("a", 0.0) is not None

    assert books.part_with("abcde", 2) == ["d", "e"]
    assert books.part_with("abcde", 3) == ["d", "e", "b"]
    assert taken(books, "b") == []
    assert taken(books, "c") == [9]
    assert books.part_with("abcde", 5) == ["d", "e", "b"]
    assert taken(books) == []
    books.landed(row(1))
    books.landed(row(9, account_id="c"))
    assert books.part_with("abcde", 5) == ["c", "d", "e", "a", "b"]
    assert books.part_with("abcde", 0) == []
    assert taken(books) == [2]


def test_an_account_whose_cancel_is_under_way_does_not_leave_yet(books: Books) -> None:
    books.add_cancel(row(1))
    assert books.take_cancel("a") is not None

    assert books.part_with("a", 1) == []
    books.cancel_landed("a")
    assert books.part_with("a", 1) == ["a"]


def test_the_oldest_that_waits_is_told(books: Books) -> None:
    assert books.oldest() is None
    books.add([row(5), row(4, account_id="b")])

    assert books.oldest() == row(4)["created_at"]


def test_an_account_never_seen_has_nothing(books: Books) -> None:
    assert books.take("nobody", 0.0) is None
    assert not books.is_flying(row(1))
    assert (books.depth(), books.flying(), books.with_work()) == (0, 0, [])
