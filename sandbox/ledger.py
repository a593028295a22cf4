"""The append file: every request that could change something, and every event that did.

One JSON line a request or step, written with a single append before the answer leaves, so that
SIGKILL loses nothing that anybody was told (a power cut may: nothing is synced to disk).
"""

import fcntl
import os
from array import array
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from sandbox.events import Event, Filled, Placed

FILE_NAME = "ledger.jsonl"
MAX_ENTRIES = 10_000
# Read in pieces: a long campaign's ledger does not fit in memory twice.
CHUNK = 1 << 20


class Received(msgspec.Struct, tag="received", kw_only=True, omit_defaults=True):
    """A request that could change something, and how it was answered.

    `status` is what the books decided, None where a fault kept the request from them. `duplicate`
    means its client_order_id was spent already. `fault` names the fault that changed the answer.
    """

    at: int
    request_id: str
    account: str | None
    method: str
    path: str
    client_order_id: str | None = None
    body: Any = None
    status: int | None = None
    order_id: str | None = None
    duplicate: bool = False
    fault: str | None = None
    events: list[Event] = []


class Stepped(msgspec.Struct, tag="stepped", omit_defaults=True):
    """What the market (or a first use of an account) did without a request."""

    at: int
    events: list[Event]


class Switched(msgspec.Struct, tag="switched"):
    """A switch of the sandbox was turned."""

    at: int
    name: str
    body: Any


Line = Received | Stepped | Switched

_DECODER = msgspec.json.Decoder(Line)
_ENCODER = msgspec.json.Encoder()


class LedgerError(Exception):
    """The file cannot be used: held by another sandbox, or damaged before its end."""


class Entry(NamedTuple):
    """A request and its line number, which counts from 1 and never changes."""

    seq: int
    received: Received


class Ledger:
    """The append file and an index of its requests by account."""

    def __init__(self, directory: Path) -> None:
        """Open or create the file and take its lock.

        Raises:
            LedgerError: another process holds it.
        """
        directory.mkdir(parents=True, exist_ok=True)
        self.path = directory / FILE_NAME
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._file = os.open(self.path, flags, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._file)
            raise LedgerError(f"{self.path} is in use by another sandbox") from error
        self._size = 0
        self.lines = 0
        self._index = _Index()
        self.counts = Counts()

    def recover(self) -> Iterator[Line]:
        """Yield every line in order; to be exhausted once, before the first append.

        What follows the last line break was cut off by a kill, was answered to nobody and is
        removed.

        Raises:
            LedgerError: a whole line is unreadable.
        """
        for raw in self._stored_lines():
            try:
                line = _DECODER.decode(raw)
            except msgspec.MsgspecError as error:
                raise LedgerError(f"{self.path}, line {self.lines + 1}: {error}") from error
            self._note(line, len(raw) + 1)
            yield line
        os.ftruncate(self._file, self._size)

    def append(self, line: Line) -> None:
        """Write one line; when this returns, SIGKILL cannot lose it.

        Raises:
            OSError: the disk took none or part of it; the part is removed.
        """
        raw = _ENCODER.encode(line) + b"\n"
        if os.write(self._file, raw) != len(raw):
            os.ftruncate(self._file, self._size)
            raise OSError(f"{self.path} could not be written: is the disk full?")
        self._note(line, len(raw))

    def close(self) -> None:
        """Close the file and give its lock back."""
        os.close(self._file)

    def entries(
        self, *, account: str | None, client_order_id: str | None, after: int, limit: int
    ) -> list[Entry]:
        """The requests after line `after`, oldest first, at most `limit` (and never > 10,000)."""
        found: list[Entry] = []
        for seq, offset, length in self._index.rows(account, after):
            received = _DECODER.decode(os.pread(self._file, length, offset))
            if not isinstance(received, Received):
                raise TypeError(f"line {seq} is no request")
            if client_order_id in (None, received.client_order_id):
                found.append(Entry(seq, received))
            if len(found) >= min(limit, MAX_ENTRIES):
                break
        return found

    def _stored_lines(self) -> Iterator[bytes]:
        """The file's whole lines, without their line breaks."""
        rest = b""
        position = 0
        while chunk := os.pread(self._file, CHUNK, position):
            position += len(chunk)
            *lines, rest = (rest + chunk).split(b"\n")
            yield from lines

    def _note(self, line: Line, length: int) -> None:
        self.lines += 1
        if isinstance(line, Received):
            self._index.add(line.account, (self.lines, self._size, length))
            self.counts.count_request(line)
        if not isinstance(line, Switched):
            self.counts.count_events(line.events)
        self._size += length


class _Index:
    """Where the requests stand in the file: rows of line number, offset and length."""

    def __init__(self) -> None:
        self._all = array("Q")
        self._by_account: dict[str | None, array[int]] = {}

    def add(self, account: str | None, row: tuple[int, int, int]) -> None:
        self._all.extend(row)
        self._by_account.setdefault(account, array("Q")).extend(row)

    def rows(self, account: str | None, after: int) -> Iterator[tuple[int, int, int]]:
        column = self._all if account is None else self._by_account.get(account, array("Q"))
        for start in range(self._first(column, after), len(column), 3):
            yield column[start], column[start + 1], column[start + 2]

    @staticmethod
    def _first(column: "array[int]", after: int) -> int:
        low, high = 0, len(column) // 3
        while low < high:
            middle = (low + high) // 2
            if column[middle * 3] <= after:
                low = middle + 1
            else:
                high = middle
        return low * 3


class Counts:
    """Running totals: the oracle's answer to "was anything sent twice?"."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.submits_by_status: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.duplicates = 0
        self.orders = 0
        self.executions = 0
        self._submits_by_id: Counter[tuple[str | None, str]] = Counter()

    def count_request(self, received: Received) -> None:
        """Add one request."""
        is_submit = received.method == "POST"
        self.requests[received.method] += 1
        self.duplicates += received.duplicate
        if received.fault is not None:
            self.faults[received.fault] += 1
        if is_submit:
            self.submits_by_status[str(received.status or "none")] += 1
        if is_submit and received.client_order_id is not None:
            self._submits_by_id[received.account, received.client_order_id] += 1

    def count_events(self, events: list[Event]) -> None:
        """Add what happened."""
        for event in events:
            self.orders += isinstance(event, Placed)
            self.executions += isinstance(event, Filled)

    def render(self) -> dict[str, object]:
        """The body of GET /sandbox/ledger/summary, without what the books add."""
        sent_again = sum(1 for count in self._submits_by_id.values() if count > 1)
        return {
            "requests": dict(self.requests),
            "submits": self.requests["POST"],
            "submits_by_status": dict(self.submits_by_status),
            "orders": self.orders,
            "executions": self.executions,
            "duplicates": self.duplicates,
            "distinct_client_order_ids": len(self._submits_by_id),
            "client_order_ids_sent_more_than_once": sent_again,
            "faults": dict(self.faults),
        }
