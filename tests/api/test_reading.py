"""One order by its three ids, its events, its account's journal: api.md §3 and §8, key for key."""

import pytest

from accounts import journal
from tests.api.calls import Api, new_key, problem, read
from tests.support.accounts import lease
from tests.support.orders import CAUSE, asked, fill, place, report, row_of
from trading import executions, orders, shapes
from trading.orders import Accepted
from trading.writes import Ended

pytestmark = pytest.mark.django_db

# api.md §8.
ENTRY_KEYS = [
    "account_id", "seq", "kind", "occurred_at", "recorded_at", "clock_offset_ms", "actor",
    "request", "order_id", "client_order_id", "broker_order_id", "execution_id", "symbol", "tags",
    "reason", "note", "before", "after", "broker", "build", "config_sha256", "canon", "prev_hash",
    "hash",
]  # fmt: skip


@pytest.fixture
def filled(api: Api) -> Accepted:
    """An order that was sent, acknowledged and filled."""
    lease(api.account, "d")
    accepted = place(api.account, new_key(), client_order_id="c-1", tags={"strategy": "mr-7"})
    claimed = executions.claim(row_of(accepted), owner="d", process="desk-1")
    assert claimed is not None
    row = claimed.row
    executions.report(row["id"], report(row, "new"), CAUSE)
    executions.attempt_ended(row["id"], Ended(1, "accepted", 21.9, 200, "8f1c"))
    told = report(row, "filled", second=2.0, filled_qty="10", filled_avg_price="187.21",
                  event="fill", execution=fill("b5e2", 10, "187.21"))  # fmt: skip
    executions.report(row["id"], told, CAUSE)
    return accepted


def test_an_order_is_read_by_its_three_ids(api: Api, filled: Accepted) -> None:
    ours = read(api.get(f"/{filled.order_id}"))

    assert read(api.get(f"/{ours['broker_order_id']}")) == ours
    assert read(api.get(":by_client_order_id?client_order_id=c-1")) == ours


def test_the_detail_has_timeline_attempts_and_executions(api: Api, filled: Accepted) -> None:
    body = read(api.get(f"/{filled.order_id}"))

    assert list(body) == [*shapes.ORDER_KEYS, "problem", "timeline", "attempts", "executions"]
    assert (body["status"], body["filled_qty"], body["filled_avg_price"], body["problem"]) == (
        "filled", "10", "187.21", None,
    )  # fmt: skip
    stages = [stage["stage"] for stage in body["timeline"]]
    assert stages == ["received", "checked", "stored", "sent", "acknowledged", "first_fill",
                      "final"]  # fmt: skip
    assert body["timeline"][0] == {"stage": "received", "at": body["created_at"], "ms": 0.0}
    assert body["timeline"][3]["attempt"] == 1
    times = [stage["ms"] for stage in body["timeline"]]
    assert times == sorted(times)
    [attempt] = body["attempts"]
    assert attempt.items() >= {
        "n": 1, "kind": "submit", "process": "desk-1", "ms": 21.9, "outcome": "accepted",
        "http_status": 200, "broker_request_id": "8f1c",
    }.items()  # fmt: skip
    [execution] = body["executions"]
    assert execution.items() >= {"execution_id": "b5e2", "qty": "10", "price": "187.21"}.items()


@pytest.mark.parametrize("query", ["", "?client_order_id=", "?client_order_id=a&client_order_id=b"])
def test_the_search_by_client_order_id_needs_one(api: Api, query: str) -> None:
    problem(api.get(f":by_client_order_id{query}"), 400, "bad-parameter")


@pytest.mark.parametrize("wanted", ["nobody", "%00", "a" * 5000, "ä", "' OR 1=1"])
def test_an_id_nobody_has_is_not_found(api: Api, wanted: str) -> None:
    problem(api.get(f":by_client_order_id?client_order_id={wanted}"), 404, "not-found")


def test_events_are_the_order_s_entries_and_no_others(api: Api, filled: Accepted) -> None:
    place(api.account)

    body = read(api.get(f"/{filled.order_id}/events"))

    assert set(body) == {"entries", "next_page_token", "as_of", "as_of_seq"}
    assert [entry["kind"] for entry in body["entries"]] == [
        "order.queued", "order.submitting", "order.new", "order.fill",
    ]  # fmt: skip
    assert {entry["order_id"] for entry in body["entries"]} == {str(filled.order_id)}
    assert shapes.fold(body["entries"]).items() <= read(api.get(f"/{filled.order_id}")).items()


def test_the_journal_is_gapless_and_leads_to_its_head(api: Api, filled: Accepted) -> None:
    path = f"/api/v1/accounts/{api.account}/journal"

    body = read(api.get(path))
    rest = read(api.get(f"{path}?after=2"))
    fills = read(api.get(f"{path}?kind=order.fill"))

    assert set(body) == {"entries", "head", "next_page_token"}
    assert [list(entry) for entry in body["entries"]] == [ENTRY_KEYS] * 4
    assert [entry["seq"] for entry in body["entries"]] == [1, 2, 3, 4]
    assert body["head"] == {"seq": 4, "hash": body["entries"][-1]["hash"]}
    before = [journal.genesis(api.account).hex(), *(e["hash"] for e in body["entries"])]
    assert [entry["prev_hash"] for entry in body["entries"]] == before[:-1]
    assert rest["entries"] == body["entries"][2:]
    assert fills["entries"] == body["entries"][3:]
    assert journal.verify(api.account).ok


def test_the_journal_comes_in_pages(api: Api, filled: Accepted) -> None:
    path = f"/api/v1/accounts/{api.account}/journal"

    first = read(api.get(f"{path}?limit=3"))
    second = read(api.get(f"{path}?limit=3&page_token={first['next_page_token']}"))

    assert [len(first["entries"]), len(second["entries"])] == [3, 1]
    assert second["next_page_token"] is None


@pytest.mark.parametrize(
    "query", ["after=-1", "after=x", "after=" + "9" * 19, "kind=%00", "kind=Order.Fill", "limit=0",
              "before=3", "page_token=x", "kind=" + "a" * 99],
)  # fmt: skip
def test_an_odd_question_to_the_journal_is_a_400(api: Api, query: str) -> None:
    problem(api.get(f"/api/v1/accounts/{api.account}/journal?{query}"), 400, "bad-parameter")


def test_a_final_order_says_why_it_ended(api: Api) -> None:
    accepted = place(api.account)
    orders.cancel_order(row_of(accepted), asked())

    body = read(api.get(f"/{accepted.order_id}"))

    assert (body["status"], body["reason"]) == ("canceled", "canceled-before-send")
    assert body["problem"]["reason"] == "canceled-before-send"
    assert body["problem"]["order_id"] == body["id"]
