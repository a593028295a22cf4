"""One journal an account: audit trail, stream source and proof (design.md §3, law 2)."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any
from uuid import UUID

import orjson

from accounts.models import JournalEntry, JournalHead
from opitios import __version__
from opitios.core import clock, database, jsontext
from opitios.core.config import config_sha256

# A verifier holds this many entries at a time.
CHUNK = 2000


@dataclass(frozen=True, slots=True)
class Appended:
    """Where an entry landed."""

    seq: int
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did it: `principal` (a token's subject), `staff` (a login) or `system` (a process).

    on_behalf_of: the principal behind a system's step: sub, act, jti, permissions, ip.
    """

    kind: str
    name: str
    on_behalf_of: Mapping[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        """The entry's `actor`."""
        behalf = dict(self.on_behalf_of) if self.on_behalf_of is not None else None
        return {"kind": self.kind, "name": self.name, "on_behalf_of": behalf}


def system(role: str, on_behalf_of: Mapping[str, Any] | None = None) -> Actor:
    """Name a process of ours as actor: `desk@0.1.0`."""
    return Actor("system", f"{role}@{__version__}", on_behalf_of)


# The measured difference between the database's clock and this process's; the pool refreshes it.
_clock_offset_ms = 0.0


def note_clock_offset(milliseconds: float) -> None:
    """Remember how far the database's clock is ahead of ours, for the entries to come."""
    global _clock_offset_ms  # noqa: PLW0603 - one figure a process
    _clock_offset_ms = round(milliseconds, 1)


def body(*, actor: Actor, occurred_at: str | None = None, **about: Any) -> dict[str, Any]:
    """Build an entry's body: every key of api.md §8 that is not a column, null where not given.

    Keys of `about`: request, order_id, client_order_id, broker_order_id, execution_id, symbol,
    tags, reason, note, before, after, broker. `occurred_at`: RFC 3339 text, default now.
    """
    blank: dict[str, Any] = dict.fromkeys(_KEYS)
    unknown = about.keys() - blank.keys()
    if unknown:
        raise TypeError(f"a journal entry has no {sorted(unknown)}")
    return {
        **blank,
        "occurred_at": occurred_at or clock.rfc3339(clock.now()),
        "clock_offset_ms": _clock_offset_ms,
        "actor": actor.as_json(),
        "build": __version__,
        "config_sha256": config_sha256(),
        **about,
    }


_KEYS = (
    "request",
    "order_id",
    "client_order_id",
    "broker_order_id",
    "execution_id",
    "symbol",
    "tags",
    "reason",
    "note",
    "before",
    "after",
    "broker",
)


def append(
    account_id: str, kind: str, entry: Mapping[str, Any], *, order_id: UUID | None = None
) -> Appended:
    """Append one entry in the caller's transaction.

    Raises django.db.IntegrityError where no journal is open for the account.
    """
    landed = database.row(
        "SELECT seq, recorded_at FROM journal_append(%s, %s, %s, %s)",
        (account_id, kind, jsontext.canonical(entry), order_id),
    )
    if landed is None:
        raise RuntimeError("journal_append returned nothing")
    return Appended(**landed)


def append_each(told: Mapping[str, tuple[str, Mapping[str, Any]]]) -> None:
    """Append one entry, kind and body, to each of many accounts' journals in one round trip.

    In the caller's transaction, in the order of ids as Postgres has it, which is that of who locks
    several orders' journals (`orders_write`): two callers cannot wait for each other.
    """
    kinds = [kind for kind, _ in told.values()]
    bodies = [jsontext.canonical(entry) for _, entry in told.values()]
    database.rows(
        "SELECT journal_append(t.id, t.kind, t.body) FROM (SELECT *"
        " FROM unnest(%s::text[], %s::text[], %s::text[]) AS e(id, kind, body) ORDER BY id) t",
        (list(told), kinds, bodies),
    )


def append_many(account_id: str, told: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    """Append many entries, each a kind and a body, to one account's journal in one round trip.

    Raises django.db.IntegrityError where no journal is open for the account.
    """
    kinds = [kind for kind, _ in told]
    bodies = [jsontext.canonical(entry) for _, entry in told]
    database.rows(
        "SELECT journal_append(%s, t.kind, t.body)"
        " FROM unnest(%s::text[], %s::text[]) AS t(kind, body)",
        (account_id, kinds, bodies),
    )


def entry_json(entry: JournalEntry) -> dict[str, Any]:
    """Write one entry as api.md §8 shows it."""
    said = orjson.loads(entry.body)
    return {
        "account_id": entry.account_id,
        "seq": entry.seq,
        "kind": entry.kind,
        "occurred_at": said["occurred_at"],
        "recorded_at": clock.rfc3339(entry.recorded_at),
        "clock_offset_ms": said["clock_offset_ms"],
        "actor": said["actor"],
        **{key: said[key] for key in _KEYS},
        "build": said["build"],
        "config_sha256": said["config_sha256"],
        "canon": entry.canon,
        "prev_hash": bytes(entry.prev_hash).hex(),
        "hash": bytes(entry.hash).hex(),
    }


def head(account_id: str) -> dict[str, Any]:
    """The last number and hash of a journal."""
    found = JournalHead.objects.get(account_id=account_id)
    return {"seq": found.seq, "hash": bytes(found.hash).hex()}


def entries(account_id: str, *, after: int, kind: str | None, limit: int) -> list[JournalEntry]:
    """Read at most `limit` entries past `after`, oldest first."""
    found = JournalEntry.objects.filter(account_id=account_id, seq__gt=after)
    if kind is not None:
        found = found.filter(kind=kind)
    return list(found.order_by("seq")[:limit])


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a journal was found to hold: an entry's number, and the hash it was found to have."""

    seq: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Verdict:
    """What verifying one journal found; first_bad_seq and why are None when it holds.

    `rest` is where to go on, None at the end; until then `ok` speaks of what was read so far.
    """

    account_id: str
    entries: int
    ok: bool
    first_bad_seq: int | None = None
    why: str | None = None
    rest: Mark | None = None


def genesis(account_id: str) -> bytes:
    """The hash before the first entry, the same as the SQL function journal_open's."""
    return hashlib.sha256(f"opitios journal 1\n{account_id}".encode()).digest()


def entry_hash(prev: bytes, entry: JournalEntry) -> bytes:
    """Recompute an entry's hash from what is stored (the SQL function journal_append's rule)."""
    recorded_at = clock.rfc3339(entry.recorded_at)
    parts = (str(entry.canon), entry.account_id, str(entry.seq), recorded_at, entry.kind)
    return hashlib.sha256(prev + "\n".join((*parts, entry.body)).encode()).digest()


def verify(account_id: str, *, since: Mark | None = None, limit: int | None = None) -> Verdict:
    """Walk a journal to its head and name the first entry that does not hold.

    It begins at the genesis, or behind `since`, and reads at most `limit` entries: the verdict then
    says where to go on.
    """
    begun = since or Mark(0, genesis(account_id))
    prev, seq = begun.hash, begun.seq
    for entry in islice(_walk(account_id, after=seq), limit):
        why = _fault(entry, seq + 1, prev)
        if why is not None:
            return Verdict(account_id, seq, ok=False, first_bad_seq=seq + 1, why=why)
        prev, seq = bytes(entry.hash), entry.seq
    end = JournalHead.objects.filter(account_id=account_id).first()
    if end is None:
        return Verdict(account_id, seq, ok=False, first_bad_seq=seq + 1, why="its head is gone")
    if end.seq == seq and bytes(end.hash) == prev:
        return Verdict(account_id, seq, ok=True)
    if limit is not None and seq - begun.seq == limit and end.seq > seq:
        return Verdict(account_id, seq, ok=True, rest=Mark(seq, prev))
    why = f"the head says {end.seq} entries, {seq} are there"
    if end.seq == seq:
        why = "the head's hash is not the last entry's"
    return Verdict(account_id, seq, ok=False, first_bad_seq=min(seq, end.seq) + 1, why=why)


def _fault(entry: JournalEntry, seq: int, prev: bytes) -> str | None:
    if entry.seq != seq:
        return f"entry {seq} is missing"
    if bytes(entry.prev_hash) != prev:
        return "it does not follow the entry before it"
    if bytes(entry.hash) != entry_hash(prev, entry):
        return "its content is not what was hashed"
    indexed = None if entry.order_id is None else str(entry.order_id)
    if indexed != orjson.loads(entry.body).get("order_id"):
        return "its index names another order than its body"
    return None


def _walk(account_id: str, *, after: int) -> Iterator[JournalEntry]:
    while chunk := entries(account_id, after=after, kind=None, limit=CHUNK):
        yield from chunk
        if chunk[-1].seq <= after:
            return
        after = chunk[-1].seq
