"""What the desk's memory does where orders may not go, and in which lane cancels go."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from trading.books import Books

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def row(number: int, account_id: str = "a", lives: float = 60.0) -> dict[str, Any]:
    """The order received as the number-th."""
    return {
        "id": UUID(int=number),
        "account_id": account_id,
        "symbol": f"S{number}",
        "created_at": NOON + timedelta(milliseconds=number),
        "not_after": NOON + timedelta(seconds=lives),
    }


@pytest.fixture
def books() -> Books:
    made = Books()
    made.add([row(1), row(2), row(9, "b")])
    return made


def test_an_order_that_is_not_let_in_keeps_its_place_and_holds_its_account(books: Books) -> None:
    assert books.take("a", 0.0, lambda: 2.0) is None

    assert books.with_work(1.9) == ["b"]
    assert books.with_enough(1.9, 16) == (["a"], [UUID(int=9)])
    first = books.take("a", 2.0)
    assert first is not None
    assert first["id"].int == 1


def test_a_poll_reads_neither_what_is_known_nor_for_accounts_that_have_enough(books: Books) -> None:
    assert books.take("a", 0.0) is not None

    full, known = books.with_enough(0.0, 16)

    assert full == []
    assert {each.int for each in known} == {1, 2, 9}
    assert books.with_enough(0.0, 1) == (["a", "b"], [])
    assert (books.has("a", 1), books.has("a", 2), books.has("c", 1)) == (True, False, False)
    assert {each.int for each in books.known("a")} == {1, 2}
    assert books.known("c") == []


def test_an_order_that_did_not_go_goes_before_the_others(books: Books) -> None:
    first = books.take("a", 0.0)
    assert first is not None

    assert books.landed(first, {**first, "seq": 3})

    again = books.take("a", 0.0)
    assert again is not None
    assert (again["id"].int, again["seq"]) == (1, 3)


def test_nobody_is_let_in_where_nothing_may_go(books: Books) -> None:
    asked: list[str] = []

    def admit() -> float:
        asked.append("asked")
        return 0.0

    books.hold("a", until=5.0)
    assert books.take("a", 0.0, admit) is None
    assert books.take("nobody", 0.0, admit) is None

    assert asked == []


def test_what_is_late_is_forgotten(books: Books) -> None:
    books.add([row(3, lives=1.0)])

    books.forget_late(NOON + timedelta(seconds=1))

    assert books.depth() == 3
    books.forget_late(NOON + timedelta(seconds=60))
    assert (books.depth(), books.with_work()) == (0, [])


def test_cancels_go_one_at_a_time_beside_the_orders(books: Books) -> None:
    for number in (5, 6):
        books.add_cancel(row(number))
    books.hold("a", until=99.0)

    first = books.take_cancel("a")

    assert first is not None
    assert first["id"].int == 5
    assert books.take_cancel("a") is None
    assert books.take_cancel("b") is None
    assert books.cancel_landed("a")
    assert books.take_cancel("a") == row(6)
    assert not books.cancel_landed("a")


def test_a_cancel_asked_twice_is_one(books: Books) -> None:
    books.add_cancel(row(5))
    books.add_cancel(row(5))

    assert books.take_cancel("a") is not None
    assert not books.cancel_landed("a")


def test_a_lost_accounts_cancels_are_forgotten(books: Books) -> None:
    books.add_cancel(row(5))

    books.drop({"a"})

    assert books.take_cancel("a") is None
