"""A broker's reports, delivered late, twice and in any order, end in one state (C15, G7, G8)."""

from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.trading.reports import applied, known, said
from trading.lifecycle import FINAL, LAPSED, Known, Report, decide

QTY = 10
# The same examples in every run, however slowly a crowded machine draws them.
CALM = settings(derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])

# What a broker may say next; `order_cancel_rejected` returns to the word before pending_cancel.
_NEXT = {
    "pending_new": ["new", "rejected", "filled", "partially_filled"],
    "new": ["partially_filled", "filled", "pending_cancel", "expired", "rejected"],
    "partially_filled": ["partially_filled", "filled", "pending_cancel", "expired"],
    "pending_cancel": ["canceled", "filled", "back"],
}
_EVENTS = {"filled": "fill", "partially_filled": "partial_fill"}


@st.composite
def histories(draw: st.DrawFn) -> list[Report]:
    """One broker's reports on one order, oldest first, each a tick of its clock later."""
    told: list[Report] = []
    status, before, filled = "pending_new", "new", 0
    for tick in range(draw(st.integers(1, 9))):
        event = _EVENTS.get(status, status)
        if status == "back":
            status, event = before, "order_cancel_rejected"
        elif status == "filled":
            filled = QTY
        elif status == "partially_filled":
            filled = min(filled + draw(st.integers(1, 3)), QTY - 1)
        told.append(said(status, float(tick), event=event, filled_qty=str(filled)))
        if status in FINAL:
            break
        before = before if status in {"pending_cancel", "pending_new"} else status
        status = draw(st.sampled_from(_NEXT[status]))
    return told


def ends(reports: list[Report], start: Known | None = None) -> tuple[str, bool, Decimal]:
    """State, finality and quantity after these reports, in this order."""
    held = start or known("submitting", None, broker_order_id=None)
    for report in reports:
        held = applied(held, decide(held, report))
    return held.status, held.final, held.filled_qty


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[list[Report], list[Report]]:
    """A history, and the same history as a bad network delivers it."""
    told = draw(histories())
    twice = draw(st.lists(st.sampled_from(told), max_size=4))
    return told, draw(st.permutations(told + twice))


@settings(CALM, max_examples=400)
@given(deliveries())
def test_any_order_and_any_repetition_end_alike(given_: tuple[list[Report], list[Report]]) -> None:
    told, delivered = given_

    last: Any = told[-1].order
    assert ends(delivered) == ends(told)
    assert ends(told) == (
        last["status"], last["status"] in FINAL, Decimal(last["filled_qty"]),
    )  # fmt: skip


@settings(CALM, max_examples=200)
@given(deliveries())
def test_no_step_goes_backwards(given_: tuple[list[Report], list[Report]]) -> None:
    held = known("submitting", None, broker_order_id=None)

    for report in given_[1]:
        after = applied(held, decide(held, report))
        assert not (held.final and after.status != held.status)
        assert after.filled_qty >= held.filled_qty
        assert not after.final or after.status in FINAL
        assert (after.broker_updated_at or "") >= (held.broker_updated_at or "") or after.final
        held = after


@settings(CALM, max_examples=100)
@given(deliveries())
def test_an_order_given_up_is_adopted_in_any_order_too(
    given_: tuple[list[Report], list[Report]],
) -> None:
    lapsed = known(LAPSED, None, broker_order_id=None, reason="not-at-broker")

    assert ends(given_[1], lapsed) == ends(given_[0])


@settings(CALM, max_examples=100)
@given(deliveries())
def test_the_same_reports_again_change_nothing(
    given_: tuple[list[Report], list[Report]],
) -> None:
    held = known("submitting", None, broker_order_id=None)
    for report in given_[1]:
        held = applied(held, decide(held, report))

    assert all(decide(held, report).is_empty for report in given_[1])
