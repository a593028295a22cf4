"""`/metrics`: what every process counted, from the rows they write, for who may monitor."""

from typing import Any
from uuid import uuid4

import pytest
from prometheus_client.parser import text_string_to_metric_families

from accounts import presence
from accounts.pool import get_pool
from opitios.core import clock
from opitios.core.metrics import Counter, snapshot
from tests.api.calls import Api, problem, read
from tests.support.accounts import open_accounts, token

pytestmark = pytest.mark.django_db

TASTED = Counter("tasted", "What this file counts.", ("flavour", "account_id"))


def watcher(accounts: list[str] | None) -> Api:
    return Api("watched", token(accounts, permissions=["monitor"]))


def scraped(api: Api) -> dict[tuple[str, ...], float]:
    """Every sample by its name and the values of its labels, in the order of their names."""
    answer = api.call("GET", "/metrics")
    assert answer.status_code == 200, answer.content
    assert answer["Content-Type"].startswith("text/plain; version=")
    families = text_string_to_metric_families(answer.content.decode())
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_it_is_for_who_may_monitor(api: Api) -> None:
    problem(api.call("GET", "/metrics"), 403, "missing-permission")
    problem(api.call("GET", "/metrics", Authorization=""), 401, "unauthorized")
    problem(watcher([]).call("GET", "/metrics?name[]=x"), 400, "bad-parameter")


def test_what_a_process_counts_is_shown_once_its_row_is_written(db: None) -> None:
    [mine] = open_accounts(1)
    TASTED.add(("sweet", mine))
    TASTED.add(("sweet", mine), by=2)
    get_pool().write_row()

    found = scraped(watcher([mine]))

    assert found["opitios_tasted_total", mine, "sweet", get_pool().name, "none"] == 3


def test_requests_are_counted_by_route_never_by_what_a_client_invents(db: None) -> None:
    api = watcher([])
    for path in ("/api/v1/pool", f"/{uuid4().hex}", f"/api/v1/accounts/{uuid4().hex}/orders"):
        api.call("GET", path)
    api.call("BREW", "/api/v1/pool")

    counts = {(*labels[:-1],): labels[-1] for labels in snapshot()["http_requests"]["counts"]}

    assert counts["GET", "api/v1/pool", 200] >= 1
    assert counts["GET", "", 404] >= 1
    assert counts["GET", "api/v1/accounts/<str:account_id>/orders", 404] >= 1
    assert counts["other", "api/v1/pool", 405] >= 1
    assert {labels[0] for labels in counts} <= {"GET", "POST", "PATCH", "PUT", "DELETE", "HEAD",
                                                "OPTIONS", "other"}  # fmt: skip


def test_a_token_sees_its_accounts_alone(process: Any) -> None:
    mine, theirs = sorted(open_accounts(2))
    counted = {"about": "x", "labels": ["account_id", "outcome"]}
    each = {"rests_until": None, "answered_at": None, "last_failure": None,
            "budget": {"limit": 100.0, "remaining": 93}}  # fmt: skip
    resting = {**each, "rests_until": clock.now().timestamp() + 60}
    name = process("web", {
        "metrics": {"market_data_calls": {**counted, "counts": [[mine, "answered", 7],
                                                                [theirs, "answered", 8]]}},
        "data": {mine: each, theirs: resting},
    })  # fmt: skip

    one, every = scraped(watcher([mine])), scraped(watcher(None))

    mine_of_it = ("opitios_market_data_calls_total", mine, "answered", name, "web")
    theirs_of_it = ("opitios_market_data_calls_total", theirs, "answered", name, "web")
    assert (one[mine_of_it], every[mine_of_it], every[theirs_of_it]) == (7, 7, 8)
    assert not any(theirs in labels for labels in one)
    assert every["opitios_market_data_resting", mine, name, "web"] == 0
    assert every["opitios_market_data_resting", theirs, name, "web"] == 1
    assert every["opitios_market_data_calls_left", theirs, name, "web"] == 93


def test_a_process_that_died_is_not_shown_and_a_desk_s_queue_is(process: Any) -> None:
    desk = process("desk", {"queue": {"depth": 3, "max": 10, "oldest_ms": 1500.0}})
    idle = process("desk", {"queue": {"depth": 0, "max": 10, "oldest_ms": None}})
    gone = process("web", {}, seconds_ago=presence.GONE_AFTER.total_seconds() + 1)

    found = scraped(watcher([]))

    assert found["opitios_queue_depth", desk] == 3
    assert found["opitios_queue_oldest_seconds", desk] == 1.5
    assert found["opitios_queue_oldest_seconds", idle] == 0
    assert ("opitios_process_start_time_seconds", desk, "desk") in found
    assert not any(gone in labels for labels in found)


def test_the_pool_does_not_show_the_counters(process: Any) -> None:
    name = process("desk", {"warm": 2, "metrics": {"x": {}}, "data": {}})

    shown = {each["name"]: each for each in read(watcher([]).get("/api/v1/pool"))["processes"]}

    assert not {"metrics", "data"} & set(shown[name])


def test_a_counter_s_name_is_its_own() -> None:
    with pytest.raises(ValueError, match="counted already"):
        Counter("tasted", "Twice.", ())
