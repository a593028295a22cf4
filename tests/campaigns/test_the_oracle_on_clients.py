"""The oracle names what a client was told and is not so."""

import pytest

from tests.campaigns.story import Story
from tests.campaigns.tampering import Tamper, change, row_of, said_of, sent_of
from tests.campaigns.traffic import TAG


def _stored_twice(story: Story) -> None:
    """One command under one key, two rows with ids of their own: a retry that was taken anew."""
    twin = {**row_of(story, "gone"), "id": "twin", "client_order_id": "op1-twin"}
    story.books.orders.append(twin)
    story.books.entries["twin"] = story.books.entries["gone"]


def _replayed_otherwise(story: Story) -> None:
    answer = sent_of(story, "filled").answers[0]
    sent_of(story, "filled").answers.append(answer.replace(b'"market"', b'"limit"'))


def _never_answered(story: Story) -> None:
    sent_of(story, "filled").answers.clear()


def _refused_and_stored(story: Story) -> None:
    sent_of(story, "filled").refused = "unavailable"


def _lost(story: Story) -> None:
    story.books.orders.remove(row_of(story, "gone"))
    del story.books.entries["gone"]


def _cancel_forgotten(story: Story) -> None:
    sent_of(story, "filled").cancel_status = 202
    row_of(story, "filled").update(status="new", final=False)


def _told_never_sent(story: Story) -> None:
    sent_of(story, "filled").cancel_status = 200


def _mirrored(story: Story) -> None:
    row_of(story, "filled")["source"] = "external"


def _unasked(story: Story) -> None:
    row_of(story, "gone")["tags"] = {TAG: "somebody else's"}


@pytest.mark.parametrize(
    ("tamper", "words"),
    [
        (_stored_twice, "gone is stored 2 times (G2)"),
        (_replayed_otherwise, "filled was answered in different bytes (I11)"),
        (_never_answered, "filled never had an answer"),
        (_refused_and_stored, "filled was refused (unavailable), and it is stored"),
        (_lost, "gone was answered 202 and is lost (G1)"),
        (_cancel_forgotten, "filled: its cancel was taken, and it is new"),
        (_told_never_sent, "filled was told that it was never sent, and it is filled"),
        (_mirrored, "filled came from the broker: nobody here had sent it (I2)"),
        (_unasked, "gone is stored and no client asked for it"),
        (change("gone", symbol="MSFT"), "gone asked symbol AAPL, stored is MSFT"),
    ],
)
def test_what_a_client_was_told_and_is_not_so_is_named(tamper: Tamper, words: str) -> None:
    assert words in said_of(tamper)
