"""`activities` are Alpaca's, page by page, asked for by its names and judged before it is asked."""

from typing import Any

import pytest
from alpaca.trading.enums import ActivityType

from accounts import api, parameters
from tests.api import brokerreads
from tests.api.brokerreads import wrong
from tests.api.calls import Api, problem
from tests.support.openapi import TRADING, check, enumeration
from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until

pytestmark = pytest.mark.django_db

REST = "activities"
ORDER = "019aa0c2-6f1e-4c3a-9b1e-2f5d8c1a7e40"


@pytest.fixture
def traded(sandbox: SandboxProcess, there: Api) -> Api:
    """An account that got its cash, then bought AAPL in two fills and MSFT in two."""
    sandbox.post("fills", {"mode": "partial", "account": there.account})
    for count, symbol in enumerate(("AAPL", "MSFT"), start=1):
        order = {"symbol": symbol, "qty": "4", "side": "buy", "type": "market",
                 "time_in_force": "day"}  # fmt: skip
        sandbox.trade(there.account, "POST", "/v2/orders", json=order)
        wait_for(sandbox, there, activities=1 + 2 * count)
    return there


def wait_for(sandbox: SandboxProcess, api: Api, *, activities: int) -> None:
    """Wait until the broker tells of so many."""
    until(lambda: len(told(sandbox, api)) == activities)


def told(sandbox: SandboxProcess, api: Api) -> list[dict[str, Any]]:
    """The activities as the broker itself tells them."""
    found: list[dict[str, Any]] = sandbox.trade(api.account, "GET", "/v2/account/activities").json()
    return found


def activities(api: Api, query: str = "") -> list[dict[str, Any]]:
    """A page."""
    found: list[dict[str, Any]] = brokerreads.marked(api, f"{REST}?{query}")["activities"]
    return found


def test_they_are_alpaca_s_under_a_name(sandbox: SandboxProcess, traded: Api) -> None:
    body = brokerreads.marked(traded, REST)

    assert list(body) == ["activities", "next_page_token"]
    check(TRADING, "/v2/account/activities", body["activities"])
    assert body["activities"] == told(sandbox, traded)
    assert [each["activity_type"] for each in body["activities"]] == [*["FILL"] * 4, "CSD"]
    assert body["next_page_token"] is None


@pytest.mark.parametrize("size", ["limit", "page_size"])
@pytest.mark.parametrize("direction", ["asc", "desc"])
def test_pages_follow_each_other_until_there_is_none(
    traded: Api, size: str, direction: str
) -> None:
    whole = activities(traded, f"direction={direction}")
    found: list[dict[str, Any]] = []
    after = ""

    while True:
        body = brokerreads.marked(traded, f"{REST}?{size}=2&direction={direction}{after}")
        found += body["activities"]
        if body["next_page_token"] is None:
            break
        assert body["next_page_token"] == found[-1]["id"]
        after = f"&page_token={body['next_page_token']}"

    assert found == whole


def test_filters_reach_the_broker_as_they_were_asked(traded: Api) -> None:
    fills = activities(traded, "activity_types=FILL&direction=asc")
    one = fills[0]["order_id"]

    assert {each["order_id"] for each in activities(traded, f"order_id={one}")} == {one}
    assert activities(traded, f"after={fills[1]['transaction_time']}&direction=asc") == fills[2:]
    assert activities(traded, "until=2020-01-01T00:00:00+01:00") == []
    assert len(activities(traded, f"date={fills[0]['transaction_time'][:10]}")) == 5
    assert [each["activity_type"] for each in activities(traded, "activity_types=TRANS,DIV")] == [
        "CSD"
    ]
    assert activities(traded, "category=trade_activity&direction=asc") == fills


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("activity_types=FFFFF", {"activity_types": "not-allowed"}),
        ("activity_types=fill", {"activity_types": "not-allowed"}),
        ("activity_types=", {"activity_types": "not-allowed"}),
        ("activity_types=FILL,", {"activity_types": "not-allowed"}),
        ("category=trades", {"category": "not-allowed"}),
        ("category=trade_activity&activity_types=FILL", {"category": "not-together"}),
        ("order_id=7", {"order_id": "not-an-id"}),
        ("date=20261120", {"date": "not-a-time"}),
        ("after=now", {"after": "not-a-time"}),
        ("until=2026-11-20T25:00:00Z", {"until": "not-a-time"}),
        ("direction=up", {"direction": "not-allowed"}),
        ("page_size=0", {"page_size": "out-of-range"}),
        ("page_size=101", {"page_size": "out-of-range"}),
        ("page_size=%D9%A1", {"page_size": "out-of-range"}),
        ("limit=1000", {"limit": "out-of-range"}),
        ("limit=5&page_size=5", {"limit": "not-together"}),
        ("page_token=%00", {"page_token": "unknown-token"}),
        ("page_token=" + "9" * 200, {"page_token": "unknown-token"}),
        ("direction=up&page_size=0", {"direction": "not-allowed", "page_size": "out-of-range"}),
    ],
)
def test_what_alpaca_would_not_take_is_told_field_by_field_and_nobody_is_asked(
    sandbox: SandboxProcess, there: Api, query: str, fields: dict[str, str]
) -> None:
    sandbox.fault("500", account=there.account, times=0)

    assert wrong(there, f"{REST}?{query}") == fields


def test_a_parameter_alpaca_does_not_have_is_400(there: Api) -> None:
    for query in ("account_id=other", "page_size=1&page_size=2", "status=open"):
        problem(there.get(brokerreads.under(there, f"{REST}?{query}")), 400, "bad-parameter")


def test_every_type_alpaca_has_published_may_be_asked_for() -> None:
    known = set(parameters.ACTIVITY_TYPES)

    assert enumeration(TRADING, "ActivityType") <= known
    assert {each.value for each in ActivityType} <= known
    assert len(known) == len(parameters.ACTIVITY_TYPES)


def test_what_only_the_broker_knows_to_refuse_arrives_in_its_words(there: Api) -> None:
    # alpaca-py knows this type, the published list does not.
    rest = f"{REST}?activity_types=CIL"
    brokerreads.assert_refused_by_broker(there, rest, "invalid activity type: CIL")

    rest = f"{REST}?page_token=20220202135509981::{ORDER}"
    brokerreads.assert_refused_by_broker(there, rest, "invalid page_token")


@pytest.mark.parametrize("page", [[], [1], [{}], [{"id": 5}], [None]])
def test_a_page_without_an_id_has_no_next_one(page: list[Any]) -> None:
    assert api.activity_token(page) is None


def test_the_same_question_within_a_second_is_one_call(sandbox: SandboxProcess, there: Api) -> None:
    brokerreads.assert_one_call_a_second(sandbox, there, REST, f"{REST}?limit=7")


def test_a_broker_in_trouble_is_told(sandbox: SandboxProcess, there: Api) -> None:
    brokerreads.assert_trouble_is_told(sandbox, there, REST)


def test_an_account_in_quarantine_is_not_asked_about(sandbox: SandboxProcess, there: Api) -> None:
    brokerreads.assert_quarantine_is_told(sandbox, there, REST)


def test_the_account_s_minute_is_kept(there: Api) -> None:
    brokerreads.assert_budget_is_kept(there, REST)
