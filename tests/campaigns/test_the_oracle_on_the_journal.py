"""The oracle names what the journal does not tell, or tells otherwise."""

from decimal import Decimal

import pytest

from tests.campaigns.story import Story
from tests.campaigns.tampering import Tamper, change, edit, row_of, said_of


def _entry_cut_off(story: Story) -> None:
    story.books.entries["filled"].pop()


def _entry_taken_out(story: Story) -> None:
    del story.books.entries["filled"][2]


def _claim_taken_out(story: Story) -> None:
    del story.books.entries["filled"][1]


def _order_of_no_row(story: Story) -> None:
    story.books.entries["stranger"] = story.books.entries["gone"]


def _attempt_lost(story: Story) -> None:
    story.books.attempts.clear()


def _back_to_queued(story: Story) -> None:
    """A final order is queued again, and the journal admits it."""
    entry = {"status": "queued", "final": False}
    before = {"status": "filled", "final": True}
    said = {"before": before, "after": entry}
    story.books.entries["filled"].append({"seq": 5, "kind": "order.queued", "said": said})
    row_of(story, "filled").update(status="queued", final=False, seq=5)


def _fills_lost(story: Story) -> None:
    story.books.fills.clear()


@pytest.mark.parametrize(
    ("tamper", "words"),
    [
        (_entry_cut_off, "filled: the row and its last entry differ (law 1)"),
        (_entry_taken_out, "status was new before it, told was submitting: a change had no entry"),
        (_claim_taken_out, "filled: 0 claims in the journal, 1 in the row, 1 attempts (law 4)"),
        (_order_of_no_row, "the journal tells of an order that is not in our books: stranger"),
        (_attempt_lost, "filled: 1 claims in the journal, 1 in the row, 0 attempts (law 4)"),
        (_back_to_queued, "queued after filled (I4)"),
        (edit(3, "after", filled_qty="-1"), "filled_qty goes back to -1 (I4)"),
        (edit(3, "after", status="expired"), "the journal says status expired, the row filled"),
        (change("filled", qty=Decimal(2)), "the journal says qty 1, the row 2 (law 1)"),
        (_fills_lost, "its fills and the executions in the journal differ (law 1)"),
        (
            edit(3, "after", execution=None),
            "its fills and the executions in the journal differ (law 1)",
        ),
    ],
)
def test_what_the_journal_does_not_tell_is_named(tamper: Tamper, words: str) -> None:
    assert any(words in what for what in said_of(tamper))
