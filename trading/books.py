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


def _is_busy(book: _Book | None) -> bool:
    """Whether anything of the account is under way."""
    return book is not None and (bool(book.flying) or book.is_canceling)


class Books:
    """The waiting orders of every account of this desk. Safe to use from any thread."""

    def __init__(self) -> None:
        self._books: dict[str, _Book] = {}
        # Accounts that another desk is to have: nothing more of them is sent here.
        self._leaving: frozenset[str] = frozenset()
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
            if book is None or row is None or account_id in self._leaving:
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

    def part_with(self, account_ids: Iterable[str], count: int) -> list[str]:
        """Choose so many of the accounts for another desk; those that may go now, in order.

        Nothing more is sent of the chosen ones, and of no others, until this is called again. First
        those in which nothing is to be done, then those chosen before; one whose orders or cancel
        are under way does not go yet.
        """
        with self._lock:
            if count == 0:
                self._leaving = frozenset()
                return []
            ranked = sorted(account_ids, key=self._rank)
            self._leaving = frozenset(ranked[:count])
            return [name for name in ranked[:count] if not _is_busy(self._books.get(name))]

    def _rank(self, account_id: str) -> tuple[int, bool, str]:
        """How much the account is wanted here: idle, with orders that wait, with some under way."""
        book = self._books.get(account_id)
        waits = book is not None and bool(book.waiting or book.cancels)
        return 2 if _is_busy(book) else int(waits), account_id not in self._leaving, account_id

    def drop(self, account_ids: Iterable[str]) -> None:
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

    def depth(self) -> int:
        """How many orders wait."""
        with self._lock:
            return sum(len(book.waiting) for book in self._books.values())

    def oldest(self) -> datetime | None:
        """When the order that waits longest was received; None where none waits."""
        with self._lock:
            firsts = (next(iter(book.waiting.values()), None) for book in self._books.values())
            return min((row["created_at"] for row in firsts if row is not None), default=None)

    def flying(self) -> int:
        """How many orders are being sent."""
        with self._lock:
            return sum(len(book.flying) for book in self._books.values())

    def with_enough(self, now: float, enough: int) -> tuple[list[str], list[UUID]]:
        """The accounts on hold, or in which `enough` orders wait; and what is known of the others.

        Known are their orders that wait here or are being sent: they need not be read.
        """
        full: list[str] = []
        known: list[UUID] = []
        with self._lock:
            for account_id, book in self._books.items():
                if now < book.hold_until or len(book.waiting) >= enough:
                    full.append(account_id)
                else:
                    known += [*book.waiting, *book.flying]
        return full, known

    def has(self, account_id: str, enough: int) -> bool:
        """Whether so many orders of the account wait here."""
        with self._lock:
            book = self._books.get(account_id)
            return book is not None and len(book.waiting) >= enough

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
