"""A cancel ends what was never sent, asks the broker for the rest, and is never forgotten."""

from typing import Any

import pytest

from opitios.core.errors import Problem, Reason
from tests.support.accounts import lease
from tests.support.orders import CAUSE, asked, entries, kinds, placed_row, report, row_of
from trading import executions, orders

pytestmark = pytest.mark.django_db

Row = dict[str, Any]


def moved(account_id: str, *steps: str) -> Row:
    """An order on its way: `submitting`, `unknown`, `queued`, or a word of the broker."""
    lease(account_id, "d")
    row = placed_row(account_id)
    for step in steps:
        if step == "submitting":
            executions.claim(row, owner="d", process="p")
        elif step == "unknown":
            patch = {"status": "unknown", "ambiguous": True}
            executions.change(row, "order.unknown", patch, CAUSE)
        elif step == "queued":
            executions.change(row, "order.queued", {"status": "queued"}, CAUSE)
        else:
            executions.report(row["id"], report(row, step), CAUSE)
        row = row_of(row)
    return row


def test_an_order_never_sent_ends_here_and_now(account: str) -> None:
    row = moved(account)

    canceled = orders.cancel_order(row, asked())

    now = row_of(row)
    assert canceled.never_sent
    assert canceled.row == now
    assert (now["status"], now["final"], now["reason"]) == (
        "canceled", True, "canceled-before-send",
    )  # fmt: skip
    assert now["canceled_at"].endswith("Z")
    assert kinds(account) == ["order.queued", "order.canceled"]
    assert entries(account)[-1]["actor"]["name"] == "bot-7"


def test_an_order_put_back_after_a_doubt_only_counts_as_not_at_the_broker(account: str) -> None:
    row = moved(account, "submitting", "unknown", "queued")

    canceled = orders.cancel_order(row, asked())

    now = row_of(row)
    assert not canceled.never_sent
    assert (now["status"], now["final"], now["reason"]) == ("lapsed", True, "not-at-broker")


def test_one_put_back_without_a_doubt_was_never_sent(account: str) -> None:
    row = moved(account, "submitting", "queued")

    assert orders.cancel_order(row, asked()).never_sent
    assert row_of(row)["status"] == "canceled"


@pytest.mark.parametrize("steps", [("submitting",), ("submitting", "unknown")])
def test_while_it_is_being_sent_or_looked_up_the_wish_is_kept(
    account: str, steps: tuple[str, ...]
) -> None:
    row = moved(account, *steps)

    canceled = orders.cancel_order(row, asked())

    assert not canceled.never_sent
    assert row_of(row)["status"] == steps[-1]
    assert row_of(row)["cancel_requested_at"] is not None
    assert kinds(account)[-1] == "order.cancel_requested"


@pytest.mark.parametrize("word", ["accepted", "new", "partially_filled", "held"])
def test_a_working_order_is_pending_cancel_until_the_broker_speaks(account: str, word: str) -> None:
    row = moved(account, "submitting", word)

    canceled = orders.cancel_order(row, asked())

    assert not canceled.never_sent
    assert row_of(row)["status"] == "pending_cancel"
    assert row_of(row)["cancel_requested_at"] is not None


def test_asking_twice_is_asking_once(account: str) -> None:
    row = moved(account, "submitting", "new")
    orders.cancel_order(row, asked())
    told = entries(account)

    again = orders.cancel_order(row, asked())

    assert again.row == row_of(row)
    assert entries(account) == told


@pytest.mark.parametrize("word", ["filled", "canceled", "expired", "rejected", "replaced"])
def test_a_final_order_is_refused_and_nothing_is_written(account: str, word: str) -> None:
    row = moved(account, "submitting", word)
    told = entries(account)

    with pytest.raises(Problem) as caught:
        orders.cancel_order(row, asked())

    assert (caught.value.reason, caught.value.status) == (Reason.ORDER_FINAL, 409)
    assert caught.value.order_id == str(row["id"])
    assert entries(account) == told


def test_an_order_that_never_holds_still_is_asked_for_again(
    account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = moved(account, "submitting", "new")
    told = entries(account)
    # Somebody else's change is always faster.
    monkeypatch.setattr(executions, "change", lambda *_args, **_more: None)

    with pytest.raises(Problem) as caught:
        orders.cancel_order(row, asked())

    assert (caught.value.reason, caught.value.status) == (Reason.UNAVAILABLE, 503)
    assert caught.value.order_id == str(row["id"])
    assert entries(account) == told
