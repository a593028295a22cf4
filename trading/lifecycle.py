"""The life of an order: its states, and what a report changes. Pure: nothing is read or written.

Names and meanings: design.md §4. The broker's own words are kept verbatim; one we do not know is
stored as it is and counts as open.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

# Ours.
DENIED, QUEUED, SUBMITTING, UNKNOWN, LAPSED = (
    "denied",
    "queued",
    "submitting",
    "unknown",
    "lapsed",
)
CANCELED = "canceled"

OURS = frozenset({DENIED, QUEUED, SUBMITTING, UNKNOWN, LAPSED})
# No report moves an order out of these; a late fill adds quantity and alarms.
FINAL = frozenset({DENIED, LAPSED, CANCELED, "filled", "expired", "replaced", "rejected"})
PENDING_WORDS = frozenset({"pending_new", "pending_cancel", "pending_replace"})
KNOWN_WORDS = FINAL | OURS | PENDING_WORDS | frozenset({
    "accepted", "new", "partially_filled", "done_for_day", "suspended", "stopped", "calculated",
    "held", "accepted_for_bidding",
})  # fmt: skip
_ODD = re.compile(r"[^a-z_]")

# Alarms: an order needs a look by a person.
LATE_ARRIVAL, LATE_FILL, UNKNOWN_STATUS = "late-arrival", "late-fill", "unknown-status"

# Journal kinds of ours, without `order.`: steps taken here, not words of the broker.
OUR_EVENTS = OURS | {"cancel_requested"}

# How far along a word is, where two reports carry no comparable time. alpaca-wire.md §1.
_RANK = {
    QUEUED: 0, SUBMITTING: 1, UNKNOWN: 1,
    "pending_new": 2, "accepted": 3, "accepted_for_bidding": 3, "held": 3, "new": 4,
    "stopped": 5, "suspended": 5, "calculated": 5, "done_for_day": 5,
    "partially_filled": 6, "pending_replace": 7, "pending_cancel": 7,
}  # fmt: skip
_FINAL_RANK = 9
# A word we do not know is as far along as `new`.
_UNKNOWN_RANK = 4

# Alpaca's event word of a status, where the two differ (alpaca-wire.md §3a).
_EVENT_OF_STATUS = {"filled": "fill", "partially_filled": "partial_fill"}

# The broker took its own pending_* back: the state before it holds again.
_REQUEST_REJECTED = frozenset({"order_cancel_rejected", "order_replace_rejected"})

# The broker takes back or changes a fill (alpaca-wire.md §3a).
_CORRECTING = frozenset({"trade_bust", "trade_correct"})

# The broker's texts and numbers that an order of ours carries along.
BROKER_TIMES = ("submitted_at", "filled_at", "expired_at", "canceled_at", "failed_at")


@dataclass(frozen=True, slots=True)
class Execution:
    """One execution as the broker told it. `at` keeps the broker's nanoseconds."""

    execution_id: str
    qty: Decimal
    price: Decimal
    at: str
    position_qty: Decimal | None
    source: str

    def as_json(self) -> dict[str, Any]:
        """The `executions[]` element, and what the fill's row is made from."""
        return {
            "execution_id": self.execution_id,
            "at": self.at,
            "qty": plain(self.qty),
            "price": plain(self.price),
            "position_qty": None if self.position_qty is None else plain(self.position_qty),
            "source": self.source,
        }


@dataclass(frozen=True, slots=True)
class Report:
    """What the broker said of one order: its order object, and where it came from.

    `event` is the stream's word, None where the report is an answer to a call of ours.
    """

    order: Mapping[str, Any]
    event: str | None = None
    execution: Execution | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What we hold of an order when a report comes in."""

    status: str
    final: bool
    broker_order_id: str | None
    filled_qty: Decimal
    filled_avg_price: Decimal | None
    broker_updated_at: str | None
    reason: str | None
    times: Mapping[str, str | None] = field(default_factory=dict)
    replaced_by: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """What a report changes: journal kind, columns, fill, and why a person must look."""

    kind: str
    patch: Mapping[str, Any]
    execution: Execution | None = None
    alarm: str | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing changes, so that nothing is written."""
        return not self.patch and self.execution is None


def plain(value: Decimal) -> str:
    """Write a decimal without exponent and without trailing zeros: 10, 187.25, 0.000000001."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def text_of(value: Any) -> Any:
    """Write a decimal plainly; anything else stays as it is."""
    return plain(value) if isinstance(value, Decimal) else value


def same(ours: Any, told: Any) -> bool:
    """Whether a value of ours is what the broker says: 10 and "10.0" are the same."""
    if ours is None or told is None or not isinstance(ours, Decimal):
        return bool(ours == told)
    try:
        return ours == Decimal(told)
    except ArithmeticError:
        return False


def stand_in(
    order_id: str,
    *,
    filled_qty: Decimal,
    filled_avg_price: Decimal | None,
    fills: Sequence[tuple[Decimal, Decimal]],
    at: str,
) -> Execution | None:
    """Make the execution that stands for what the broker filled and the stream did not tell.

    Its price makes the average right. The same shortfall gives the same execution_id, so that two
    desks add it once. None where nothing is short.
    """
    rest = filled_qty - sum((qty for qty, _ in fills), Decimal(0))
    if rest <= 0:
        return None
    paid = sum((qty * price for qty, price in fills), Decimal(0))
    price = ((filled_avg_price or Decimal(0)) * filled_qty - paid) / rest
    name = hashlib.sha256(f"{order_id} {plain(filled_qty)} {plain(rest)}".encode()).hexdigest()
    return Execution(
        execution_id=f"syn-{name[:40]}",
        qty=rest,
        price=max(price, Decimal(0)).quantize(Decimal("1e-9")),
        at=at,
        position_qty=None,
        source="synthesised",
    )


def is_final(status: str) -> bool:
    """Whether an order in this state changes no more."""
    return status in FINAL


def is_verdict(status: str) -> bool:
    """Whether `Prefer: wait` ends here: denied, lapsed, unknown, or a broker word but pending_*."""
    return status not in {QUEUED, SUBMITTING} and status not in PENDING_WORDS


def event_of(status: str) -> str:
    """The event word of a status the broker answered (`filled` is the event `fill`)."""
    return _EVENT_OF_STATUS.get(status, status)


def kind_of(word: str) -> str:
    """Make the journal kind of a broker's word; odd characters cannot enter a kind."""
    return "order." + (_ODD.sub("_", word.lower())[:48] or "unnamed")


def decide(known: Known, report: Report) -> Change:
    """Say what a report changes.

    A state never goes backwards and a final one never changes; a fill that is news is always kept.
    The exception is an order that lapsed here and lives at the broker: it is adopted and alarmed.
    """
    status = str(report.order["status"])
    patch: dict[str, Any] = _identity(known, report.order)
    alarm = None if status in KNOWN_WORDS else UNKNOWN_STATUS
    if _advances(known, status, report):
        patch |= _new_state(known, status, report.order)
        if report.event in _REQUEST_REJECTED:
            patch["cancel_requested_at"] = None
        if known.status == LAPSED:
            patch["reason"] = alarm = LATE_ARRIVAL
    elif not known.final and _is_later(known, report.order.get("updated_at")):
        # The same word again, later: a word from in between must not overtake it.
        patch["broker_updated_at"] = report.order["updated_at"]
    patch |= _new_fills(known, report)
    if known.final and known.status != LAPSED and "filled_qty" in patch:
        alarm = LATE_FILL
    kind = kind_of(report.event or event_of(status))
    return Change(kind=kind, patch=patch, execution=report.execution, alarm=alarm)


def _identity(known: Known, order: Mapping[str, Any]) -> dict[str, Any]:
    broker_id = str(order["id"])
    return {} if known.broker_order_id == broker_id else {"broker_order_id": broker_id}


def _advances(known: Known, status: str, report: Report) -> bool:
    if status == known.status:
        return False
    if known.final:
        # Only what lapsed here may turn out to live there (design.md §4, `lapsed`).
        return known.status == LAPSED
    if is_final(status) or known.status in OURS:
        return True
    later = _is_later(known, report.order.get("updated_at"))
    if later is not None:
        return later
    taken_back = report.event in _REQUEST_REJECTED and known.status in PENDING_WORDS
    return taken_back or _rank(status) > _rank(known.status)


def _is_later(known: Known, told: str | None) -> bool | None:
    """Whether the broker said it after what we hold; None where its times cannot tell."""
    held = known.broker_updated_at
    # Times with an offset do not compare as text (alpaca-wire.md §1): then the rank decides.
    if told and held and told != held and told.endswith("Z") and held.endswith("Z"):
        return _instant(told) > _instant(held)
    return None


def _rank(status: str) -> int:
    return _FINAL_RANK if status in FINAL else _RANK.get(status, _UNKNOWN_RANK)


def _instant(text: str) -> tuple[str, str]:
    # RFC 3339 in UTC with 0–9 digits of a second: padded, they compare as text.
    whole, _, fraction = text.removesuffix("Z").partition(".")
    return whole, fraction.ljust(9, "0")


def _new_state(known: Known, status: str, order: Mapping[str, Any]) -> dict[str, Any]:
    patch: dict[str, Any] = {"status": status}
    if is_final(status) != known.final:
        patch["final"] = is_final(status)
    if known.reason is not None:
        patch["reason"] = None
    if order.get("updated_at") != known.broker_updated_at:
        patch["broker_updated_at"] = order.get("updated_at")
    for name in BROKER_TIMES:
        if order.get(name) is not None and order[name] != known.times.get(name):
            patch[name] = order[name]
    return patch


def _corrects(report: Report) -> bool:
    return report.event in _CORRECTING


def _new_fills(known: Known, report: Report) -> dict[str, Any]:
    order = report.order
    filled = Decimal(order.get("filled_qty") or 0)
    # Only a bust or a correction takes filled quantity back; else less is an older picture.
    if filled == known.filled_qty or (filled < known.filled_qty and not _corrects(report)):
        return {}
    patch: dict[str, Any] = {"filled_qty": plain(filled)}
    if order.get("filled_avg_price") is not None:
        patch["filled_avg_price"] = plain(Decimal(order["filled_avg_price"]))
    return patch
