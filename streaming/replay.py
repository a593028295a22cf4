"""What the journal says, written as the stream's messages. Synchronous: call it on a thread."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog

from accounts import journal
from accounts.models import JournalEntry
from opitios.core import database
from streaming import protocol
from streaming.protocol import Gap, Message
from trading import shapes

logger = structlog.get_logger("app")

# Entries of one account read at a time: fewer than a socket's queue holds.
CHUNK = 64
NO_LIMIT = 1_000_000

_HEADS = """
SELECT h.account_id, h.seq, a.enabled
    FROM accounts_journalhead h JOIN accounts_account a USING (account_id)
    WHERE h.account_id = ANY(%s)
"""

_ROSTER = """
SELECT h.account_id, h.seq
    FROM accounts_journalhead h JOIN accounts_account a USING (account_id) WHERE a.enabled
"""

_BEHIND = """
SELECT e.id FROM unnest(%s::text[], %s::bigint[]) AS shown(account_id, seq)
    CROSS JOIN LATERAL (
        SELECT j.id FROM accounts_journalentry j
        WHERE j.account_id = shown.account_id AND j.seq > shown.seq ORDER BY j.seq LIMIT %s
    ) e
    LIMIT %s
"""


@dataclass(frozen=True, slots=True)
class Head:
    """The last number of an account's journal, and whether the account is in the roster."""

    seq: int
    enabled: bool


def heads(account_ids: Collection[str]) -> dict[str, Head]:
    """Read the journals' heads of the accounts that exist."""
    found = database.rows(_HEADS, (list(account_ids),))
    return {row["account_id"]: Head(row["seq"], row["enabled"]) for row in found}


def roster_heads() -> dict[str, int]:
    """Read which accounts the roster holds now, and the last number of each one's journal."""
    return {row["account_id"]: row["seq"] for row in database.rows(_ROSTER)}


def messages_after(shown: Mapping[str, int], *, limit: int = NO_LIMIT) -> list[Message]:
    """Write the entries past each account's number, at most CHUNK an account, in their order.

    `limit` for all together: an account that got none is one for the next time. Where an entry
    should be and is not, or cannot be told, a `gap` stands for it: an account's messages have every
    number.
    """
    params = (list(shown), list(shown.values()), CHUNK, limit)
    ids = [row["id"] for row in database.rows(_BEHIND, params)]
    missing = list(JournalEntry.objects.filter(id__in=ids).order_by("account_id", "seq"))
    page = _Page({entry.order_id for entry in missing if entry.order_id is not None})
    messages = []
    expected = {name: seq + 1 for name, seq in shown.items()}
    for entry in missing:
        name = entry.account_id
        lost = range(expected[name], entry.seq)[:CHUNK]
        messages += [protocol.gap(name, seq, Gap.LOST) for seq in lost]
        messages.append(page.message(entry))
        expected[name] = entry.seq + 1
    return messages


class _Page:
    """The entries of some orders: an order is the fold over all of its own."""

    def __init__(self, order_ids: Iterable[UUID]) -> None:
        self._histories: dict[UUID, list[JournalEntry]] = defaultdict(list)
        for entry in JournalEntry.objects.filter(order_id__in=list(order_ids)).order_by("seq"):
            if entry.order_id is not None:
                self._histories[entry.order_id].append(entry)
        self._written: dict[int, Mapping[str, Any]] = {}

    def message(self, entry: JournalEntry) -> Message:
        """Write an entry as it was told when it was new; a gap where nobody can."""
        try:
            return self._told(entry)
        except (AttributeError, LookupError, TypeError, ValueError):
            about = {"account_id": entry.account_id, "seq": entry.seq}
            logger.exception("a journal entry cannot be told", **about)
            return protocol.gap(entry.account_id, entry.seq, Gap.UNREADABLE)

    def _told(self, entry: JournalEntry) -> Message:
        if entry.order_id is None:
            return account_message(journal.entry_json(entry))
        past = (each for each in self._histories[entry.order_id] if each.seq <= entry.seq)
        return shapes.replayed_message([self._json(each) for each in past])

    def _json(self, entry: JournalEntry) -> Mapping[str, Any]:
        if entry.id not in self._written:
            self._written[entry.id] = journal.entry_json(entry)
        return self._written[entry.id]


def account_message(entry: Mapping[str, Any]) -> Message:
    """Write an entry that is about the account, not about an order (api.md §8)."""
    return {
        "T": "account",
        "account_id": entry["account_id"],
        "seq": entry["seq"],
        "event": entry["kind"].removeprefix("account."),
        "at": entry["occurred_at"],
        "reason": entry["reason"],
    }
