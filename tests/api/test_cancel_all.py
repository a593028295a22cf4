"""DELETE all orders: 207, and for each what DELETE of it alone would answer."""

from typing import Any

import pytest

from accounts.pool import get_pool
from tests.api.calls import PROBLEM_KEYS, Api, problem, read
from tests.support.accounts import lease, open_account, token
from tests.support.orders import CAUSE, entries, kinds, place, placed_row, report, row_of
from trading import executions, orders, queries, shapes, watch

pytestmark = pytest.mark.django_db

Row = dict[str, Any]


def all_of(api: Api, status: int = 207, query: str = "") -> Any:
    """Cancel everything; the answer's body."""
    response = api.call("DELETE", api.orders + query)
    assert response.status_code == status
    return read(response)


def moved(account_id: str, *words: str) -> Row:
    """An order that was claimed, and what came of it: `unknown`, `queued` or the broker's words."""
    lease(account_id, "d")
    row = placed_row(account_id)
    executions.claim(row, owner="d", process="p")
    for word in words:
        row = row_of(row)
        if word == "unknown":
            patch = {"status": "unknown", "ambiguous": True}
            executions.change(row, "order.unknown", patch, CAUSE)
        elif word == "queued":
            executions.change(row, "order.queued", {"status": "queued"}, CAUSE)
        else:
            executions.report(row["id"], report(row, word), CAUSE)
    return row_of(row)


def test_every_order_that_is_not_final_is_cancelled_in_its_own_way(api: Api) -> None:
    expected = {
        moved(api.account, "filled")["id"]: None,
        moved(api.account, "new")["id"]: (202, "pending_cancel"),
        moved(api.account, "unknown", "queued")["id"]: (202, "lapsed"),
        moved(api.account, "unknown")["id"]: (202, "unknown"),
        moved(api.account)["id"]: (202, "submitting"),
        placed_row(api.account)["id"]: (200, "canceled"),
    }

    body = all_of(api)

    found = {each["order_id"]: (each["status"], each["order"]["status"])
             for each in body["results"]}  # fmt: skip
    assert found == {str(key): value for key, value in expected.items() if value is not None}
    assert body["summary"] == {"items": 5, "canceled": 1, "requested": 4, "refused": 0}
    for index, each in enumerate(body["results"]):
        row = queries.find_order(api.account, each["order_id"])
        assert row is not None
        assert each["order"] == shapes.order_json(row)
        assert (each["index"], each["account_id"]) == (index, api.account)
        assert each["client_order_id"] == row["client_order_id"]
        assert row["cancel_requested_at"] is not None or row["final"]


def test_what_was_never_sent_goes_first(api: Api) -> None:
    working, waiting = moved(api.account, "new"), placed_row(api.account)

    body = all_of(api)

    assert [each["order_id"] for each in body["results"]] == [
        str(waiting["id"]), str(working["id"]),
    ]  # fmt: skip


def test_nothing_open_is_an_empty_list(api: Api) -> None:
    moved(api.account, "filled")
    told = kinds(api.account)

    body = all_of(api)

    assert body == {
        "summary": {"items": 0, "canceled": 0, "requested": 0, "refused": 0},
        "results": [],
    }
    assert kinds(api.account) == told


def test_asking_twice_is_asking_once(api: Api) -> None:
    moved(api.account, "new")
    all_of(api)
    told = entries(api.account)

    again = all_of(api)

    assert [(each["status"], each["order"]["status"]) for each in again["results"]] == [
        (202, "pending_cancel")
    ]
    assert entries(api.account) == told


def test_one_that_got_final_meanwhile_is_refused_alone(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    late, other = moved(api.account, "new"), moved(api.account, "new")
    first = orders.cancel_order

    def overtaken(row: Row, asked: orders.Asked) -> orders.Canceled:
        if row["id"] == late["id"]:
            executions.report(late["id"], report(late, "filled", second=2.0), CAUSE)
        return first(row, asked)

    monkeypatch.setattr(orders, "cancel_order", overtaken)

    body = all_of(api)

    refused, requested = body["results"]
    assert body["summary"] == {"items": 2, "canceled": 0, "requested": 1, "refused": 1}
    assert (refused["status"], refused["order_id"]) == (409, str(late["id"]))
    assert list(refused["problem"]) == PROBLEM_KEYS
    assert refused["problem"]["reason"] == "order-final"
    assert (requested["status"], requested["order_id"]) == (202, str(other["id"]))


def test_in_quarantine_only_what_was_never_sent_can_be_cancelled(api: Api) -> None:
    working, waiting = moved(api.account, "new"), placed_row(api.account)
    watch.set_state(api.account, "quarantined", "dead", None)
    get_pool().refresh_standings()

    body = all_of(api)

    found = {each["order_id"]: each["status"] for each in body["results"]}
    assert found == {str(waiting["id"]): 200, str(working["id"]): 503}
    assert body["results"][1]["problem"]["reason"] == "account-quarantined"
    assert row_of(working)["cancel_requested_at"] is None


def test_another_account_keeps_its_orders(api: Api) -> None:
    other = open_account()
    theirs = placed_row(other)
    place(api.account)

    all_of(api)

    assert row_of(theirs) == theirs
    assert kinds(other) == ["order.queued"]


@pytest.mark.parametrize(
    ("permissions", "mine", "status", "reason"),
    [
        (["account_read"], True, 403, "missing-permission"),
        (["trade"], False, 404, "not-found"),
    ],
)
def test_who_may_not_trade_the_account_cancels_nothing(
    api: Api, permissions: list[str], mine: bool, status: int, reason: str
) -> None:
    waiting = placed_row(api.account)
    held = [api.account] if mine else ["somebody-else"]

    response = api.call(
        "DELETE", api.orders, Authorization=f"Bearer {token(held, permissions=permissions)}"
    )

    problem(response, status, reason)
    assert row_of(waiting) == waiting


def test_reading_the_orders_still_needs_only_the_right_to_read(api: Api) -> None:
    reader = token([api.account], permissions=["account_read"])

    assert api.get(Authorization=f"Bearer {reader}").status_code == 200


def test_a_filter_is_refused_and_nothing_is_cancelled(api: Api) -> None:
    waiting = placed_row(api.account)

    problem(api.call("DELETE", f"{api.orders}?symbols=AAPL"), 400, "bad-parameter")

    assert row_of(waiting) == waiting
