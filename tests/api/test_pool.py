"""`GET pool` merges what processes and desks wrote: two statements, whatever their number."""

import json
from datetime import timedelta
from typing import Any

import pytest

from accounts import presence, standings
from accounts.models import AccountState, Credential, ProcessRow
from accounts.pool import get_pool
from opitios.core import clock
from tests.api.calls import Api, problem, read
from tests.support.accounts import lease, open_accounts, token

pytestmark = pytest.mark.django_db

PATH = "/api/v1/pool"


def watcher(accounts: list[str] | None) -> Api:
    """A token that may watch these accounts."""
    return Api("watched", token(accounts, permissions=["monitor"]))


def shown(account_id: str) -> dict[str, Any]:
    """What is shown of an account."""
    [account] = read(watcher([account_id]).get(PATH))["accounts"]
    found: dict[str, Any] = account
    return found


def test_it_is_for_who_may_monitor(api: Api) -> None:
    problem(api.get(PATH), 403, "missing-permission")
    problem(api.call("GET", PATH, Authorization=""), 401, "unauthorized")
    assert watcher([]).get(PATH).status_code == 200


def test_a_token_sees_the_accounts_it_holds_and_counts_no_others() -> None:
    mine = sorted(open_accounts(3))
    AccountState.objects.filter(account_id=mine[0]).update(state="ready")
    AccountState.objects.filter(account_id=mine[1]).update(state="quarantined")

    body = read(watcher([*mine, "never-imported"]).get(PATH))

    assert [account["account_id"] for account in body["accounts"]] == mine
    summary = body["summary"]
    assert (summary["accounts"], summary["ready"], summary["quarantined"]) == (3, 1, 1)
    assert (summary["warming"], summary["suspect"], summary["disabled"]) == (1, 0, 0)


def test_the_list_is_paged_and_the_summary_is_of_all(db: None) -> None:
    mine = sorted(open_accounts(5))
    api, found, after = watcher(mine), [], ""

    while after is not None:
        body = read(api.get(f"{PATH}?limit=2" + (f"&page_token={after}" if after else "")))
        assert body["summary"]["accounts"] == 5
        found += [account["account_id"] for account in body["accounts"]]
        after = body["next_page_token"]

    assert found == mine
    beyond = read(api.get(f"{PATH}?page_token=zzzz"))
    assert (beyond["accounts"], beyond["summary"]["accounts"]) == ([], 5)


def test_a_page_is_fifty_unless_asked_for(db: None) -> None:
    body = read(watcher(open_accounts(51)).get(PATH))

    assert len(body["accounts"]) == 50
    assert body["next_page_token"] == body["accounts"][-1]["account_id"]
    assert body["summary"]["accounts"] == 51


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1000", "page_token=%00", "page_token=;", "x=1"]
)
def test_a_query_that_means_nothing_is_400(db: None, query: str) -> None:
    problem(watcher([]).get(f"{PATH}?{query}"), 400, "bad-parameter")


def test_it_is_two_statements_of_one_size_for_one_account_and_for_hundreds(
    process: Any, statements: list[str]
) -> None:
    many = open_accounts(150)
    desks = {process("desk", {"accounts": {each: {"in_flight": number} for each in many}})
             for number in range(5)}  # fmt: skip
    one, all_of_them = watcher(many[:1]), watcher(many)
    one.get(PATH)

    sizes = []
    for caller in (one, all_of_them):
        statements.clear()
        body = read(caller.get(f"{PATH}?limit=1"))
        assert len(statements) == 2
        # Processes of other tests go meanwhile.
        body["processes"] = [each for each in body["processes"] if each["name"] in desks]
        sizes.append(len(json.dumps(body | {"upstreams": []})))

    assert abs(sizes[0] - sizes[1]) < 100


def test_a_process_that_died_is_not_shown_and_soon_forgotten(process: Any) -> None:
    alive = process("web", {"warm": 3}, seconds_ago=1)
    gone = process("web", {"warm": 3}, seconds_ago=presence.GONE_AFTER.total_seconds() + 1)
    forgotten = process("web", {}, seconds_ago=presence.FORGOTTEN_AFTER.total_seconds() + 1)

    names = {each["name"] for each in read(watcher([]).get(PATH))["processes"]}
    get_pool().write_row()

    assert alive in names
    assert not {gone, forgotten} & names
    left = set(ProcessRow.objects.values_list("name", flat=True))
    assert {alive, gone} <= left
    assert forgotten not in left


def test_a_process_shows_what_is_meant_to_be_seen_and_nothing_else(process: Any) -> None:
    name = process("desk", {"warm": 2, "leases": 1, "upstreams": [], "master_keys": {"k1": "x"},
                            "accounts": {}, "orders": {}, "streams": 4})  # fmt: skip

    told = {each["name"]: each for each in read(watcher([]).get(PATH))["processes"]}[name]

    assert set(told) == {
        "name",
        "role",
        "pid",
        "started_at",
        "seen_at",
        "warm",
        "leases",
        "streams",
    }


def test_connections_are_those_that_are_open_over_all_processes(process: Any) -> None:
    [account_id] = open_accounts(1)
    calls = {account_id: {"in_flight": 2, "budget": None}}
    desk = process("desk", {"connections": 3, "streams": 2, "accounts": calls})
    web = process("web", {"connections": 4, "accounts": {account_id: {"in_flight": 1}}})
    lease(account_id, f"{desk}/0a1b")
    AccountState.objects.filter(account_id=account_id).update(stream_state="listening")

    body = read(watcher([account_id]).get(PATH))

    # Processes of other tests are shown, too, and go when their time is over.
    others = sum(
        each.get("connections", 0) + each.get("streams", 0) + each.get("feed", {}).get("sockets", 0)
        for each in body["processes"]
        if each["name"] not in {desk, web}
    )
    assert body["summary"]["connections"]["open"] == others + 9
    assert body["summary"]["connections"]["max"] == 2000
    [account] = body["accounts"]
    assert account["connections"] == {"open": 4, "max": 5}
    assert account["in_flight"] == 3
    assert account["stream"]["owner"] == desk


def test_an_account_s_open_orders_are_its_desk_s_count(process: Any) -> None:
    [account_id] = open_accounts(1)
    desk = process("desk", {"orders": {account_id: {"open": 3, "unknown": 1}}})

    nobodys = shown(account_id)
    lease(account_id, f"{desk}/0a1b")
    owned = shown(account_id)
    lease(account_id, "desk-that-never-was/1")

    assert nobodys["orders"] is None
    assert owned["orders"] == {"open": 3, "unknown": 1}
    assert shown(account_id)["orders"] is None


def test_an_account_nobody_owns_listens_to_nothing(db: None) -> None:
    [account_id] = open_accounts(1)
    AccountState.objects.filter(account_id=account_id).update(
        stream_state="listening", breaker="open"
    )

    account = shown(account_id)

    assert account["stream"]["state"] == "closed"
    assert (account["stream"]["owner"], account["breaker"]) == (None, None)
    assert account["connections"]["open"] == 0


def test_the_last_message_of_a_stream_is_the_latest_anybody_heard(db: None) -> None:
    first, second = open_accounts(2)
    now = clock.now()

    standings.note_messages({first: now.timestamp(), second: now.timestamp()})
    standings.note_messages({first: now.timestamp() - 60, "nobody": 1.0})
    standings.note_messages({})

    for account_id in (first, second):
        told = shown(account_id)["stream"]["last_message_at"]
        assert told[:22] == clock.rfc3339(now)[:22]


def test_a_key_is_told_by_its_hint_version_and_age(api: Api) -> None:
    Credential.objects.filter(account_id=api.account).update(
        created_at=clock.now() - timedelta(days=41, hours=1)
    )

    key = shown(api.account)["key"]

    assert set(key) == {"hint", "version", "age_days"}
    assert (key["version"], key["age_days"]) == (1, 41)


def test_state_reason_check_and_budget_are_the_desk_s(db: None) -> None:
    [account_id] = open_accounts(1)
    at = clock.now()
    AccountState.objects.filter(account_id=account_id).update(
        state="suspect", state_reason="401", checked_at=at, check_ms=21.5, reconciled_at=at,
        budget={"limit": 200, "remaining": 187, "resets_at": 1_790_000_000.0},
    )  # fmt: skip

    account = shown(account_id)

    assert (account["state"], account["state_reason"]) == ("suspect", "401")
    assert (account["checked_at"], account["check_ms"]) == (clock.rfc3339(at), 21.5)
    assert account["stream"]["reconciled_at"] == clock.rfc3339(at)
    assert account["budget"]["trading"] == {
        "limit": 200, "remaining": 187, "reserve": 20, "resets_at": "2026-09-21T14:13:20.000000Z",
    }  # fmt: skip
    assert account["halt"] is None


def test_this_process_s_own_row_tells_its_connections(api: Api) -> None:
    get_pool().write_row()

    row = ProcessRow.objects.get(name=get_pool().name)
    assert row.snapshot["connections"] >= 0
    assert row.snapshot["warm"] >= 1
    assert row.seen_at > clock.now() - timedelta(minutes=1)


def test_a_data_account_shows_how_whoever_asks_it_finds_it(process: Any) -> None:
    resting, serving, trading = sorted(open_accounts(3))
    now = clock.now().timestamp()
    failure = {"at": now - 2, "outcome": "access-denied", "http_status": 401}
    good = {"rests_until": None, "answered_at": now - 1, "last_failure": None,
            "budget": {"limit": 100.0, "remaining": 60}}  # fmt: skip
    bad = {**good, "rests_until": now + 28, "last_failure": failure}
    process("web", {"data": {resting: bad, serving: good}})
    process("web", {"data": {resting: good, serving: good}})

    told = shown(resting)
    assert (told["market_data"]["state"], shown(serving)["market_data"]["state"]) == (
        "resting",
        "serving",
    )
    assert told["market_data"]["resting_until"] > clock.rfc3339(clock.now())
    assert told["market_data"]["last_failure"]["outcome"] == "access-denied"
    assert told["market_data"]["last_failure"]["http_status"] == 401
    assert told["market_data"]["last_answer_at"] < told["market_data"]["resting_until"]
    # Two processes with a hundred calls a minute each; what they used is earned back evenly.
    assert told["budget"]["data"]["limit"] == 200
    assert told["budget"]["data"]["remaining"] == 120
    assert shown(trading)["market_data"] is None
    assert shown(trading)["budget"]["data"] is None
