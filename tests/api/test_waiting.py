"""`Prefer: wait=N`: the same call answers with the broker's verdict, or 202 when time is up."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from opitios.core.bus import get_bus
from tests.api.calls import GOOD, Api, problem, read
from tests.support.accounts import lease
from tests.support.crowd import Stopwatch
from tests.support.orders import CAUSE, asked, report, row_of
from tests.support.until import until
from trading import api as trading_api
from trading import executions, orders, queries
from trading.waiting import Waits

pytestmark = pytest.mark.django_db

REFUSAL = {"code": 40310000, "message": "insufficient buying power", "http_status": 403,
           "request_id": "8f1c", "buying_power": "1"}  # fmt: skip


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> Iterator[Waits]:
    """Waits of the test's own, so that no thread outlives it."""
    made = Waits(get_bus(), slots=2, poll_seconds=0.01)
    until(made.listener.connected.is_set)
    monkeypatch.setattr(trading_api, "get_waits", lambda: made)
    yield made
    made.listener.close()


def meanwhile(account_id: str, status: str, **told: Any) -> threading.Thread:
    """Let the broker say this of the account's order as soon as there is one."""

    def run() -> None:
        try:
            [row] = until(lambda: queries.orders_where("account_id = %s", (account_id,)))
            lease(account_id, "d")
            claimed = executions.claim(row, owner="d", process="p")
            assert claimed is not None
            if status == "rejected":
                patch = {"status": status, "final": True, "refusal": REFUSAL, **told}
                executions.change(claimed.row, "order.rejected", patch, CAUSE)
            elif status == "unknown":
                patch = {"status": status, "ambiguous": True}
                executions.change(claimed.row, "order.unknown", patch, CAUSE)
            else:
                executions.report(row["id"], report(row, status), CAUSE)
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@pytest.mark.parametrize("word", ["new", "filled", "accepted", "brand_new_word"])
def test_the_broker_s_word_ends_the_wait_with_200(api: Api, word: str) -> None:
    broker = meanwhile(api.account, word)

    response = api.place(Prefer="wait=10")

    broker.join()
    assert (response.status_code, read(response)["status"]) == (200, word)
    assert response["Preference-Applied"] == "wait=10"
    assert response["Location"].endswith(read(response)["id"])


def test_the_broker_s_refusal_is_its_own_problem(api: Api) -> None:
    broker = meanwhile(api.account, "rejected")

    response = api.place(key="k", Prefer="wait=10")

    broker.join()
    body = read(response)
    assert (response.status_code, body["status"], body["code"]) == (403, 403, 40310000)
    assert (body["origin"], body["reason"]) == ("broker", "insufficient-buying-power")
    assert body["broker"]["buying_power"] == "1"
    assert body["order_id"] is not None
    assert response["Preference-Applied"] == "wait=10"
    # The key is spent: without Prefer its answer is the first 202 still.
    assert api.place(key="k").status_code == 202


def test_an_unknown_outcome_ends_the_wait_with_202(api: Api) -> None:
    broker = meanwhile(api.account, "unknown")

    with Stopwatch() as took:
        response = api.place(Prefer="wait=10")

    broker.join()
    assert response.status_code == 202
    assert took.is_within(4), took


@pytest.mark.parametrize("word", ["pending_new", "pending_cancel"])
def test_a_pending_word_is_no_verdict(api: Api, word: str) -> None:
    broker = meanwhile(api.account, word)

    response = api.place(Prefer="wait=1")

    broker.join()
    assert (response.status_code, read(response)["status"]) == (202, "queued")


@pytest.mark.parametrize(
    ("prefer", "applied"),
    [
        ("wait=0", "wait=0"), ("respond-async, wait=0", "wait=0"), ("Wait=0", "wait=0"),
        ("wait=0;x=1", "wait=0"), ("wait = 0", "wait=0"),
    ],
)  # fmt: skip
def test_a_wait_that_is_over_is_202_and_says_it_was_applied(
    api: Api, prefer: str, applied: str
) -> None:
    response = api.place(Prefer=prefer)

    assert (response.status_code, response["Preference-Applied"]) == (202, applied)


@pytest.mark.parametrize(
    "prefer",
    ["wait", "wait=", "wait=-1", "wait=1.5", "wait=x", "await=5", "wait=٣", "return=minimal"],
)
def test_what_is_no_wait_is_ignored(api: Api, prefer: str) -> None:
    response = api.place(Prefer=prefer)

    assert response.status_code == 202
    assert "Preference-Applied" not in response


def test_a_longer_wait_is_cut_to_ten_seconds(api: Api) -> None:
    broker = meanwhile(api.account, "new")

    assert api.place(Prefer="wait=3600")["Preference-Applied"] == "wait=10"
    broker.join()


def test_a_replay_waits_and_gives_the_present_verdict(api: Api) -> None:
    first = api.place(key="k")
    broker = meanwhile(api.account, "filled")

    again = api.place(key="k", Prefer="wait=10")

    broker.join()
    assert (again.status_code, read(again)["status"]) == (200, "filled")
    assert again["Idempotent-Replayed"] == "true"
    assert api.place(key="k").content == first.content


def test_an_order_cancelled_meanwhile_is_a_verdict_too(api: Api) -> None:
    placed = read(api.place(key="k"))
    [row] = queries.orders_where("account_id = %s", (api.account,))
    orders.cancel_order(row, asked())

    response = api.place(key="k", Prefer="wait=10")

    assert (response.status_code, read(response)["status"]) == (200, "canceled")
    assert row_of(row)["id"] == row["id"]
    assert placed["id"] == str(row["id"])


def test_at_most_so_many_wait_and_the_rest_are_answered_at_once(api: Api, waits: Waits) -> None:
    for _ in range(2):
        assert waits._slots.acquire(blocking=False)

    with Stopwatch() as took:
        response = api.place(Prefer="wait=10")

    assert response.status_code == 202
    assert took.is_within(2), took
    assert response["Preference-Applied"] == "wait=10"


def test_a_refused_body_does_not_wait(api: Api) -> None:
    with Stopwatch() as took:
        response = api.place(GOOD | {"qty": "NaN"}, Prefer="wait=10")

    problem(response, 422, "invalid-order")
    assert took.is_within(2), took
