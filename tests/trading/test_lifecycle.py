"""What one report changes (G8): a table, for every state an order can be in."""

from decimal import Decimal

import pytest

from tests.trading.reports import NEWS, at, known, said
from trading.lifecycle import (
    FINAL,
    KNOWN_WORDS,
    LATE_ARRIVAL,
    LATE_FILL,
    OURS,
    UNKNOWN_STATUS,
    decide,
    event_of,
    is_final,
    is_verdict,
    kind_of,
)

OPEN_WORDS = sorted(KNOWN_WORDS - FINAL - OURS)
BROKER_FINALS = sorted(FINAL - OURS)


@pytest.mark.parametrize(
    ("before", "word", "second", "after"),
    [
        ("submitting", "pending_new", 2, "pending_new"),
        ("submitting", "filled", 2, "filled"),
        ("unknown", "accepted", 2, "accepted"),
        ("queued", "new", 2, "new"),
        ("accepted", "new", 2, "new"),
        ("new", "partially_filled", 2, "partially_filled"),
        ("pending_cancel", "canceled", 2, "canceled"),
        ("pending_replace", "replaced", 2, "replaced"),
        ("done_for_day", "new", 2, "new"),
        ("partially_filled", "expired", 2, "expired"),
        ("new", "rejected", 2, "rejected"),
        # An older word about the same order changes nothing …
        ("new", "pending_new", 0.5, "new"),
        ("partially_filled", "new", 0.5, "partially_filled"),
        # … and neither does one of the same instant that is not as far along.
        ("new", "accepted", 1, "new"),
        ("new", "partially_filled", 1, "partially_filled"),
        # What ends an order ends it, however old its time looks.
        ("new", "canceled", 0.5, "canceled"),
    ],
)
def test_a_report_moves_an_order_forwards_only(
    before: str, word: str, second: float, after: str
) -> None:
    change = decide(known(before), said(word, second))

    assert change.patch.get("status", before) == after
    assert change.patch.get("final", False) == (after in FINAL)
    assert change.alarm is None


@pytest.mark.parametrize("final", BROKER_FINALS)
@pytest.mark.parametrize("word", [*OPEN_WORDS, *BROKER_FINALS, "brand_new_word"])
def test_a_final_state_is_never_left(final: str, word: str) -> None:
    change = decide(known(final), said(word, 9))

    assert "status" not in change.patch
    assert "final" not in change.patch


def test_a_denied_order_is_never_moved() -> None:
    assert "status" not in decide(known("denied", None), said("new", 9)).patch


@pytest.mark.parametrize("word", [*OPEN_WORDS, *BROKER_FINALS])
def test_what_lapsed_here_and_lives_there_is_adopted_and_alarmed(word: str) -> None:
    lapsed = known("lapsed", None, broker_order_id=None, reason="not-at-broker")

    change = decide(lapsed, said(word))

    assert change.alarm == LATE_ARRIVAL
    assert change.patch["status"] == word
    assert change.patch["broker_order_id"] == "b-1"
    assert change.patch["reason"] == "late-arrival"
    assert change.patch.get("final", True) == (word in FINAL)


def test_a_fill_after_a_cancel_adds_quantity_and_alarms_and_the_state_stays() -> None:
    report = said("canceled", 1, event="fill", execution=NEWS, filled_qty="4")

    change = decide(known("canceled"), report)

    assert change.alarm == LATE_FILL
    assert dict(change.patch) == {"filled_qty": "4"}
    assert change.execution is NEWS


def test_a_word_we_do_not_know_is_stored_counts_as_open_and_alarms() -> None:
    change = decide(known("new"), said("frozen_by_regulator"))

    assert change.patch["status"] == "frozen_by_regulator"
    assert "final" not in change.patch
    assert change.alarm == UNKNOWN_STATUS


def test_a_report_that_is_no_news_changes_nothing() -> None:
    assert decide(known("new", 2), said("new", 2)).is_empty
    assert decide(known("filled", 2, filled_qty=Decimal(4)), said("new", 1)).is_empty


@pytest.mark.parametrize("word", ["order_cancel_rejected", "order_replace_rejected"])
def test_a_pending_request_the_broker_refused_is_taken_back(word: str) -> None:
    pending = word.removeprefix("order_").removesuffix("_rejected")

    change = decide(known(f"pending_{pending}"), said("new", 1, event=word))

    assert change.patch["status"] == "new"
    assert change.patch["cancel_requested_at"] is None


def test_an_old_refusal_does_not_take_a_newer_request_back() -> None:
    change = decide(known("pending_cancel", 5), said("new", 4, event="order_cancel_rejected"))

    assert "status" not in change.patch


def test_filled_quantity_only_grows() -> None:
    held = known("partially_filled", filled_qty=Decimal(6), filled_avg_price=Decimal(187))

    less = decide(held, said("partially_filled", 0.5, filled_qty="4", filled_avg_price="186"))
    more = decide(held, said("partially_filled", 2, filled_qty="8", filled_avg_price="187.50"))

    assert "filled_qty" not in less.patch
    assert "filled_avg_price" not in less.patch
    assert (more.patch["filled_qty"], more.patch["filled_avg_price"]) == ("8", "187.5")


def test_the_broker_s_own_texts_are_kept() -> None:
    change = decide(known("submitting", None), said("filled", 2, filled_at=at(2.123456789)))

    assert change.patch["filled_at"] == "2026-11-20T14:30:02.123456789Z"
    assert change.patch["broker_updated_at"] == at(2)


def test_times_with_an_offset_are_not_compared_as_text() -> None:
    local = "2026-11-20T09:30:02-05:00"

    assert "status" not in decide(known("partially_filled"), said("new", updated_at=local)).patch
    assert decide(known("new"), said("partially_filled", updated_at=local)).patch["status"]


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("partial_fill", "order.partial_fill"),
        ("Weird Word!\n", "order.weird_word__"),
        ("éx", "order._x"),
        ("", "order.unnamed"),
        ("x" * 99, f"order.{'x' * 48}"),
    ],
)
def test_no_word_of_the_broker_can_break_a_journal_kind(word: str, kind: str) -> None:
    assert kind_of(word) == kind


def test_the_named_sets_agree_with_the_design() -> None:
    open_states = {"queued", "submitting", "unknown", "done_for_day", "calculated", "suspended"}
    assert {
        "denied", "lapsed", "canceled", "filled", "expired", "replaced", "rejected",
    } == FINAL  # fmt: skip
    assert not any(is_final(word) for word in open_states | {"stopped", "new word"})
    assert (event_of("filled"), event_of("new")) == ("fill", "new")
    verdicts = {word for word in KNOWN_WORDS if is_verdict(word)}
    assert {"queued", "submitting", "pending_new", "pending_cancel", "pending_replace"} == (
        KNOWN_WORDS - verdicts
    )
