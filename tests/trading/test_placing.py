"""Acceptance: stored once, replayed byte for byte, never twice under one key (G1, G5, C32)."""

from decimal import Decimal
from typing import Any

import pytest

from opitios.core import jsontext
from opitios.core.errors import Problem, Reason
from tests.support.accounts import open_account
from tests.support.orders import asked, command, entries, kinds, place, plain_json, row_of
from trading import orders, queries, shapes

pytestmark = pytest.mark.django_db


def refused(account_id: str, key: str | None = None, **changed: Any) -> Problem:
    """The problem of an order that must not be stored, and the proof that it was not."""
    before = kinds(account_id)
    with pytest.raises(Problem) as caught:
        place(account_id, key, **changed)
    assert kinds(account_id) == before
    return caught.value


def count(account_id: str) -> int:
    """How many orders an account has."""
    return len(queries.orders_where("account_id = %s", (account_id,)))


def test_an_accepted_order_is_a_row_and_an_entry_and_the_answer(account: str) -> None:
    accepted = place(account, "k-1", client_order_id="c-1", tags={"strategy": "mr-7"})

    row, [entry] = row_of(accepted), entries(account)
    assert not accepted.replayed
    assert accepted.body == shapes.order_json(row)
    assert tuple(accepted.body) == shapes.ORDER_KEYS
    assert (row["status"], row["attempts"], row["final"], row["seq"]) == ("queued", 0, False, 1)
    assert (entry["kind"], entry["seq"], entry["order_id"]) == (
        "order.queued", 1, str(accepted.order_id),
    )  # fmt: skip
    assert shapes.fold([entry]) == plain_json(accepted.body)
    assert entry["request"]["idempotency_key"] == "k-1"
    assert entry["actor"]["name"] == "bot-7"


def test_our_own_id_is_made_from_the_order_s_id(account: str) -> None:
    accepted = place(account)

    assert accepted.body["client_order_id"] == f"op1-{accepted.order_id.hex}"


def test_a_replayed_key_answers_the_same_bytes(account: str) -> None:
    first = place(account, "k", tags={"zulu": "z", "alpha": "ä", "m": "x"}, qty=Decimal("1.50"))

    again = place(account, "k", tags={"m": "x", "alpha": "ä", "zulu": "z"}, qty=Decimal("1.5"))

    assert again.replayed
    assert again.order_id == first.order_id
    assert jsontext.dumps(again.body) == jsontext.dumps(first.body)
    assert kinds(account) == ["order.queued"]


def test_a_replay_is_the_first_answer_even_after_the_order_moved_on(account: str) -> None:
    first = place(account, "k")
    orders.cancel_order(row_of(first), asked())

    again = place(account, "k")

    assert jsontext.dumps(again.body) == jsontext.dumps(first.body)
    assert count(account) == 1


def test_another_command_under_the_key_is_refused(account: str) -> None:
    first = place(account, "k")

    problem = refused(account, "k", qty=Decimal(11))

    assert (problem.reason, problem.status) == (Reason.IDEMPOTENCY_MISMATCH, 422)
    assert problem.order_id == str(first.order_id)


def test_an_id_used_under_another_key_is_refused(account: str) -> None:
    place(account, "k-1", client_order_id="c")

    for key in ("k-2", None):
        problem = refused(account, key, client_order_id="c")
        assert (problem.reason, problem.status) == (Reason.CLIENT_ORDER_ID_USED, 409)
        assert problem.order_id is None


def test_an_id_used_by_another_subject_is_refused(account: str) -> None:
    place(account, client_order_id="c")

    with pytest.raises(Problem) as caught:
        orders.place_order(
            command(client_order_id="c"),
            account_id=account,
            environment="sandbox",
            asked=asked(subject="bot-8"),
        )

    assert caught.value.reason is Reason.CLIENT_ORDER_ID_USED
    assert count(account) == 1


def test_without_a_key_the_id_is_the_key(account: str) -> None:
    first = place(account, client_order_id="c")

    again = place(account, client_order_id="c")

    assert again.replayed
    assert jsontext.dumps(again.body) == jsontext.dumps(first.body)
    assert "hint" not in first.body
    assert refused(account, client_order_id="c", qty=Decimal(2)).reason is (
        Reason.IDEMPOTENCY_MISMATCH
    )


def test_with_both_the_key_decides_and_the_id_travels(account: str) -> None:
    first = place(account, "k", client_order_id="c")

    again = place(account, "k", client_order_id="c")
    problem = refused(account, "k", client_order_id="d")

    assert (again.order_id, again.body["client_order_id"]) == (first.order_id, "c")
    assert problem.reason is Reason.IDEMPOTENCY_MISMATCH


def test_without_key_and_id_a_repeat_is_a_second_order_and_the_hint_says_so(account: str) -> None:
    first, second = place(account), place(account)

    assert first.order_id != second.order_id
    assert "second order" in first.body["hint"]
    assert kinds(account) == ["order.queued", "order.queued"]


def test_the_same_key_is_another_order_in_another_account_or_for_another_subject(
    account: str,
) -> None:
    other = open_account()

    first = place(account, "k")
    elsewhere = place(other, "k")
    somebody = orders.place_order(
        command(), account_id=account, environment="sandbox", asked=asked("k", subject="bot-8")
    )

    assert len({first.order_id, elsewhere.order_id, somebody.order_id}) == 3
    assert not elsewhere.replayed
    assert not somebody.replayed
