"""DELETE one order: 200 if it was never sent, 202 if the broker is asked, 409 if it is final."""

import pytest

from tests.api.calls import Api, problem, read
from tests.support.accounts import lease
from tests.support.orders import CAUSE, kinds, place, report, row_of
from trading import executions, shapes

pytestmark = pytest.mark.django_db


def test_an_order_never_sent_is_200_and_final(api: Api) -> None:
    order = place(api.account)

    response = api.delete(str(order.order_id))

    body = read(response)
    assert response.status_code == 200
    assert list(body) == list(shapes.ORDER_KEYS)
    assert (body["status"], body["final"], body["reason"]) == (
        "canceled", True, "canceled-before-send",
    )  # fmt: skip
    problem(api.delete(str(order.order_id)), 409, "order-final")
    assert kinds(api.account) == ["order.queued", "order.canceled"]


def test_a_working_order_is_202_by_either_id_and_twice(api: Api) -> None:
    lease(api.account, "d")
    row = row_of(place(api.account))
    executions.claim(row, owner="d", process="p")
    executions.report(row["id"], report(row, "new"), CAUSE)

    first = api.delete(row_of(row)["broker_order_id"])
    second = api.delete(str(row["id"]))

    assert (first.status_code, second.status_code) == (202, 202)
    assert read(first)["status"] == read(second)["status"] == "pending_cancel"
    assert kinds(api.account).count("order.cancel_requested") == 1


def test_one_being_sent_is_202_and_stays_what_it_is(api: Api) -> None:
    lease(api.account, "d")
    row = row_of(place(api.account))
    executions.claim(row, owner="d", process="p")

    response = api.delete(str(row["id"]))

    assert (response.status_code, read(response)["status"]) == (202, "submitting")


@pytest.mark.parametrize("order_id", ["x", "019aa0c2-6f1e-7c3a-9b1e-2f5d8c1a7e40", "%00"])
def test_an_order_nobody_has_is_404(api: Api, order_id: str) -> None:
    problem(api.delete(order_id), 404, "not-found")
    assert kinds(api.account) == []


def test_an_unknown_parameter_is_refused_and_nothing_is_cancelled(api: Api) -> None:
    order = place(api.account)

    problem(api.delete(f"{order.order_id}?really=1"), 400, "bad-parameter")

    assert row_of(order)["status"] == "queued"
