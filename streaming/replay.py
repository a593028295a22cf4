"""What the journal says, written as the stream's messages. Synchronous: call it on a thread."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from accounts import journal
from accounts.models import Account, JournalEntry
from opitios.core import database
from streaming.protocol import Message
from trading import shapes

# Entries of one account read at a time: fewer than a socket's queue holds.
CHUNK = 64

_HEADS = """
SELECT h.account_id, h.seq, a.enabled
    FROM accounts_journalhead h JOIN accounts_account a USING (account_id)
    WHERE h.account_id = ANY(%s)
"""

_BEHIND = """
SELECT e.id FROM unnest(%s::text[], %s::bigint[]) AS shown(account_id, seq)
    CROSS JOIN LATERAL (
        SELECT j.id FROM accounts_journalentry j
        WHERE j.account_id = shown.account_id AND j.seq > shown.seq ORDER BY j.seq LIMIT %s
    ) e
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


def enabled_accounts() -> frozenset[str]:
    """Read which accounts the roster holds now."""
    ids = Account.objects.filter(enabled=True).values_list("account_id", flat=True)
    return frozenset(ids)


def messages_after(shown: Mapping[str, int]) -> list[Message]:
    """Write the entries past each account's number, at most CHUNK an account, in their order."""
    params = (list(shown), list(shown.values()), CHUNK)
    ids = [row["id"] for row in database.rows(_BEHIND, params)]
    missing = list(JournalEntry.objects.filter(id__in=ids).order_by("account_id", "seq"))
    histories = _histories({entry.order_id for entry in missing if entry.order_id is not None})
    return [_message(entry, histories) for entry in missing]


History = list[dict[str, Any]]


def _histories(order_ids: Iterable[UUID]) -> Mapping[UUID, History]:
    """Read the entries of these orders, oldest first: an order is the fold over all of them."""
    found: dict[UUID, History] = defaultdict(list)
    for entry in JournalEntry.objects.filter(order_id__in=list(order_ids)).order_by("seq"):
        if entry.order_id is not None:
            found[entry.order_id].append(journal.entry_json(entry))
    return found


def _message(entry: JournalEntry, histories: Mapping[UUID, History]) -> Message:
    if entry.order_id is None:
        return account_message(journal.entry_json(entry))
    history = histories[entry.order_id]
    return shapes.replayed_message([past for past in history if past["seq"] <= entry.seq])


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
