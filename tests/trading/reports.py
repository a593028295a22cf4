"""Values of the pure order model: what is known of an order, and what a broker says of it."""

from decimal import Decimal
from typing import Any

from trading.lifecycle import FINAL, Change, Execution, Known, Report

NEWS = Execution("e-1", Decimal(4), Decimal("187.2"), "2026-11-20T14:30:02Z", None, "stream")


def at(second: float) -> str:
    """The broker's text of a second, with nanoseconds."""
    return f"2026-11-20T14:30:{second:012.9f}Z"


def known(status: str = "new", second: float | None = 1.0, **changed: Any) -> Known:
    """An order as we hold it, last told by the broker at `second`."""
    fields: dict[str, Any] = {
        "status": status,
        "final": status in FINAL,
        "broker_order_id": "b-1",
        "filled_qty": Decimal(0),
        "filled_avg_price": None,
        "broker_updated_at": None if second is None else at(second),
        "reason": None,
    }
    return Known(**fields | changed)


def said(status: str, second: float | None = 2.0, **changed: Any) -> Report:
    """A report; `event` and `execution` are its own, everything else the order object's."""
    event, execution = changed.pop("event", None), changed.pop("execution", None)
    updated_at = None if second is None else at(second)
    order = {"id": "b-1", "status": status, "updated_at": updated_at, "filled_qty": "0"}
    return Report(order | changed, event, execution)


def applied(before: Known, change: Change) -> Known:
    """What is known after a change was written."""
    patch = dict(change.patch)
    times = dict(before.times) | {k: v for k, v in patch.items() if k in before.times}
    names = {name for name in Known.__slots__ if name in patch}
    fields = {name: getattr(before, name) for name in Known.__slots__}
    fields |= {name: patch[name] for name in names} | {"times": times}
    fields["filled_qty"] = Decimal(fields["filled_qty"])
    return Known(**fields)
