"""The oracle names what the broker holds and our books do not, and the other way round."""

import dataclasses
from datetime import timedelta
from decimal import Decimal

import pytest

from tests.campaigns import honest
from tests.campaigns.story import Story
from tests.campaigns.tampering import Tamper, change, row_of, said_of


def _sent_twice(story: Story) -> None:
    story.ledger.submits.append(honest.submit("filled"))


def _executed_twice(story: Story) -> None:
    """Under another id, known to our books or not: only account and quantity tell."""
    twin = honest.broker_order("filled")
    twin.id, twin.client_order_id, twin.executions = "b-twin", "op1-twin", {}
    story.ledger.orders.append(twin)


def _placed_twice(story: Story) -> None:
    story.ledger.orders.append(honest.broker_order("filled"))


def _in_another_account(story: Story) -> None:
    story.ledger.orders[0].account_id = "account_002"


def _sent_although_canceled(story: Story) -> None:
    story.ledger.submits.append(honest.submit("gone", status=500))


def _sent_late(story: Story) -> None:
    late = (honest.DEADLINE + timedelta(seconds=6)).timestamp()
    story.ledger.submits[0] = dataclasses.replace(story.ledger.submits[0], at=late)


def _sent_otherwise(story: Story) -> None:
    other = {**honest.asked("filled"), "qty": "100"}
    story.ledger.submits[0] = dataclasses.replace(story.ledger.submits[0], asked=other)


def _lives_there(story: Story) -> None:
    story.ledger.orders.append(honest.broker_order("late"))


def _gone_there(story: Story) -> None:
    story.ledger.orders.clear()


def _rejected_by_nobody(story: Story) -> None:
    _gone_there(story)
    row_of(story, "filled")["status"] = "rejected"


def _other_status(story: Story) -> None:
    story.ledger.orders[0].status = "canceled"


def _filled_less_there(story: Story) -> None:
    story.ledger.orders[0].executions.clear()


def _fill_lost(story: Story) -> None:
    story.books.fills.clear()


def _fill_twice(story: Story) -> None:
    story.books.fills["filled"] *= 2


def _fill_at_another_price(story: Story) -> None:
    story.books.fills["filled"][0]["price"] = Decimal("187.26")


def _stand_in_at_another_price(story: Story) -> None:
    story.books.fills["filled"][0].update(source="synthesised", price=Decimal("187.26"))


@pytest.mark.parametrize(
    ("tamper", "words"),
    [
        (_sent_twice, "filled was sent 2 times with 1 claims (law 4)"),
        (_executed_twice, "the broker executes one command 2 times"),
        (_executed_twice, "('account_001', 'op1-twin') reached the broker and is not in our books"),
        (_placed_twice, "filled is at the broker 2 times (G2)"),
        (_placed_twice, "the broker tells execution e-1 of 2 orders"),
        (_in_another_account, "('account_002', 'filled') reached the broker and is not in our"),
        (_in_another_account, "the broker has an order nobody asked for"),
        (_sent_although_canceled, "gone is called never sent (canceled-before-send), and it was"),
        (_sent_late, "filled was sent after its deadline (G3)"),
        (_sent_otherwise, "filled was sent with qty 100, not 1"),
        (_lives_there, "late is lapsed (deadline-before-send) here and lives at the broker"),
        (_gone_there, "filled is filled here and unknown at the broker"),
        (_rejected_by_nobody, "filled is rejected here and unknown at the broker"),
        (_other_status, "filled is filled here and canceled at the broker"),
        (change("filled", broker_order_id="b-2"), "filled is b-2 here and b-filled at the broker"),
        (_filled_less_there, "filled has filled 1 here and 0 there (I3)"),
        (_fill_lost, "filled: fills of 0, filled_qty 1 (G7)"),
        (_fill_twice, "filled: fills of 2, filled_qty 1 (G7)"),
        (_fill_at_another_price, "filled: fill e-1 is not the broker's (G7)"),
        (_stand_in_at_another_price, "filled: its fills cost 187.26 here and something else"),
        (change("filled", status="unknown"), "filled is still unknown after healing (I1)"),
        (
            change("filled", status="new", final=False),
            "filled is still new after healing, and has to end (I1)",
        ),
    ],
)
def test_what_the_broker_holds_and_our_books_do_not_is_named(tamper: Tamper, words: str) -> None:
    assert any(words in what for what in said_of(tamper))
