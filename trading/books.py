"""What waits and what is being sent, per account: the desk's memory. Pure: nothing is called.

FIFO per account: at most four submits of an account at once, one at a time for a symbol; cancels
have a lane of their own (design.md §4).
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

# One slot of the account's five stays for cancels.
SUBMITS_AT_ONCE = 4

Row = dict[str, Any]


@dataclass(slots=True)
class _Book:
    waiting: OrderedDict[UUID, Row] = field(default_factory=OrderedDict)
    flying: dict[UUID, str] = field(default_factory=dict)
    hold_until: float = 0.0
    # Cancels to be asked for; one at a time, in a slot that no order takes.
    cancels: OrderedDict[UUID, Row] = field(default_factory=OrderedDict)
    is_canceling: bool = False


def _place(item: tuple[UUID, Row]) -> tuple[datetime, UUID]:
    """Where an order stands in its account's queue: by when it was received."""
    order_id, row = item
    return row["created_at"], order_id


def _queue(book: _Book, row: Row) -> None:
    """Put an order in its place; most are younger than all that wait."""
    last = next(reversed(book.waiting.items()), None)
    book.waiting[row["id"]] = row
    if last is not None and _place((row["id"], row)) < _place(last):
        book.waiting = OrderedDict(sorted(book.waiting.items(), key=_place))


def _next(book: _Book) -> Row | None:
    """The oldest that waits, if it may go beside what is under way: four at once, one a symbol."""
    row = next(iter(book.waiting.values()), None)
    if row is None or len(book.flying) >= SUBMITS_AT_ONCE:
        return None
    return None if row["symbol"] in book.flying.values() else row


class Books:
    """The waiting orders of every account of this desk. Safe to use from any thread."""

    def __init__(self) -> None:
        self._books: dict[str, _Book] = {}
        self._lock = threading.Lock()

    def add(self, rows: list[Row]) -> set[str]:
        """Add queued orders; known ones are refreshed. Returns the accounts with work.

        The oldest goes first however late it came: one put back, or one whose hint was overtaken.
        """
        with self._lock:
            for row in rows:
                book = self._books.setdefault(row["account_id"], _Book())
                if row["id"] not in book.flying:
                    _queue(book, row)
            return {row["account_id"] for row in rows}

    def take(
        self, account_id: str, now: float, admit: Callable[[], float] = lambda: 0.0
    ) -> Row | None:
        """Take the account's next order to send, if one may go now. `now` is monotonic seconds.

        `admit` is asked last, for exactly one order: 0.0 lets it go, more holds the account so
        many seconds.
        """
        with self._lock:
            book = self._books.get(account_id)
            row = None if book is None or now < book.hold_until else _next(book)
            if book is None or row is None:
                return None
            seconds = admit()
            if seconds > 0:
                book.hold_until = now + seconds
                return None
            del book.waiting[row["id"]]
            book.flying[row["id"]] = row["symbol"]
            return row

    def landed(self, row: Row, again: Row | None = None) -> bool:
        """Say that a taken order has its outcome; True if another of the account may go now.

        again: the order as it is now, where it waits once more; nothing overtakes it meanwhile.
        """
        with self._lock:
            book = self._books[row["account_id"]]
            book.flying.pop(row["id"], None)
            if again is not None:
                _queue(book, again)
            return _next(book) is not None

    def hold(self, account_id: str, until: float) -> None:
        """Send nothing of this account before `until` (monotonic seconds)."""
        with self._lock:
            book = self._books.setdefault(account_id, _Book())
            book.hold_until = max(book.hold_until, until)

    def drop(self, account_ids: set[str]) -> None:
        """Forget what waits in accounts this desk no longer owns."""
        with self._lock:
            for account_id in account_ids:
                book = self._books.get(account_id)
                if book is not None:
                    book.waiting.clear()
                    book.cancels.clear()

    def forget_late(self, now: datetime) -> None:
        """Forget what waits and may not be sent any more: it is lapsed, not sent."""
        with self._lock:
            for book in self._books.values():
                late = [key for key, row in book.waiting.items() if row["not_after"] <= now]
                for key in late:
                    del book.waiting[key]

    # Cancels

    def add_cancel(self, row: Row) -> None:
        """Add an order the broker is to be asked to cancel."""
        with self._lock:
            self._books.setdefault(row["account_id"], _Book()).cancels[row["id"]] = row

    def take_cancel(self, account_id: str) -> Row | None:
        """Take the account's next cancel, if none is under way."""
        with self._lock:
            book = self._books.get(account_id)
            if book is None or book.is_canceling or not book.cancels:
                return None
            book.is_canceling = True
            return book.cancels.popitem(last=False)[1]

    def cancel_landed(self, account_id: str) -> bool:
        """Say that the cancel has its outcome; True if the account has another."""
        with self._lock:
            book = self._books[account_id]
            book.is_canceling = False
            return bool(book.cancels)

    # What there is

    def is_flying(self, row: Row) -> bool:
        """Whether this desk is sending the order at the moment."""
        with self._lock:
            book = self._books.get(row["account_id"])
            return book is not None and row["id"] in book.flying

    def is_busy(self, account_id: str) -> bool:
        """Whether this desk is sending anything of the account."""
        with self._lock:
            book = self._books.get(account_id)
            return book is not None and bool(book.flying)

    def depth(self) -> int:
        """How many orders wait."""
        with self._lock:
            return sum(len(book.waiting) for book in self._books.values())

    def flying(self) -> int:
        """How many orders are being sent."""
        with self._lock:
            return sum(len(book.flying) for book in self._books.values())

    def short_of_work(
        self, account_ids: Iterable[str], now: float, least: int
    ) -> tuple[list[str], list[UUID]]:
        """Those of the accounts, not on hold, in which fewer than `least` wait; and what is known.

        Known are the orders of theirs that wait here or are being sent: they need not be read.
        """
        short: list[str] = []
        known: list[UUID] = []
        with self._lock:
            for account_id in account_ids:
                book = self._books.get(account_id)
                if book is None:
                    short.append(account_id)
                elif now >= book.hold_until and len(book.waiting) < least:
                    short.append(account_id)
                    known += [*book.waiting, *book.flying]
        return short, known

    def known(self, account_id: str) -> list[UUID]:
        """The account's orders that wait here or are being sent."""
        with self._lock:
            book = self._books.get(account_id)
            return [] if book is None else [*book.waiting, *book.flying]

    def with_work(self, now: float | None = None) -> list[str]:
        """The accounts in which an order may go; at `now` without those on hold."""
        with self._lock:
            return [
                account_id
                for account_id, book in self._books.items()
                if _next(book) is not None and (now is None or now >= book.hold_until)
            ]

    def may_go_on(self, account_id: str) -> bool:
        """Whether another order of the account may go beside those under way."""
        with self._lock:
            book = self._books.get(account_id)
            return book is not None and _next(book) is not None
