"""`GET accounts` lists the token's own, as their desks last saw them: no call upstream."""

import pytest

from accounts.models import Account, AccountState
from accounts.pool import get_pool
from opitios.core import clock
from tests.api.calls import Api, problem, read
from tests.support.accounts import open_accounts, token

pytestmark = pytest.mark.django_db

PATH = "/api/v1/accounts"
KEYS = ["account_id", "account_type", "environment", "state", "state_reason", "halt", "equity",
        "buying_power", "as_of"]  # fmt: skip


@pytest.fixture
def fleet(db: None) -> Api:
    """A token without permissions for five accounts, all at an address where nobody is."""
    accounts = sorted(open_accounts(5))
    get_pool().refresh()
    return Api(accounts[0], token(accounts, permissions=[]))


def ids(api: Api, query: str = "") -> list[str]:
    """The accounts that are listed."""
    return [each["account_id"] for each in read(api.get(PATH + query))["accounts"]]


def mine(api: Api) -> list[str]:
    """All accounts of the token."""
    return ids(api, "?limit=500")


def seen(account_id: str, **changed: object) -> None:
    """What the account's desk wrote of it."""
    AccountState.objects.filter(account_id=account_id).update(**changed)


def test_an_account_is_shown_as_its_desk_last_saw_it(api: Api) -> None:
    at = clock.now()
    picture = {"equity": "10000.5", "buying_power": "20001", "cash": "7"}
    seen(api.account, state="ready", broker_account=picture, checked_at=at)

    body = read(api.get(PATH))

    assert list(body) == ["accounts", "next_page_token"]
    [account] = body["accounts"]
    assert list(account) == KEYS
    assert account == {
        "account_id": api.account, "account_type": "trading", "environment": "sandbox",
        "state": "ready", "state_reason": None, "halt": None, "equity": "10000.5",
        "buying_power": "20001", "as_of": clock.rfc3339(at),
    }  # fmt: skip


def test_one_nobody_looked_at_yet_has_no_money_and_no_time(api: Api) -> None:
    [account] = read(api.get(PATH))["accounts"]

    assert account["state"] == "warming"
    assert (account["equity"], account["buying_power"], account["as_of"]) == (None, None, None)


def test_only_the_token_s_own_are_listed(fleet: Api) -> None:
    other = Api.open()
    both = Api(other.account, token([other.account, "never-imported"]))

    assert len(mine(fleet)) == 5
    assert other.account not in mine(fleet)
    assert ids(both) == [other.account]
    assert ids(Api("x", token([]))) == []


def test_a_fleet_token_sees_every_account(fleet: Api) -> None:
    everything = Api(fleet.account, token(None))
    found: list[str] = []
    token_of_page: str | None = ""
    while token_of_page is not None:
        body = read(everything.get(f"{PATH}?limit=500{token_of_page}"))
        found += [each["account_id"] for each in body["accounts"]]
        after = body["next_page_token"]
        token_of_page = f"&page_token={after}" if after else None

    assert set(mine(fleet)) <= set(found)
    assert len(found) == len(set(found)) == Account.objects.count()


def test_it_is_filtered_by_state_and_environment(fleet: Api) -> None:
    first, second, *rest = mine(fleet)
    seen(first, state="quarantined", state_reason="three refusals")
    seen(second, state="ready")

    assert ids(fleet, "?state=quarantined") == [first]
    assert ids(fleet, "?state=ready") == [second]
    assert ids(fleet, "?state=warming&environment=sandbox") == rest
    assert ids(fleet, "?environment=live") == []
    assert read(fleet.get(f"{PATH}?state=quarantined"))["accounts"][0]["state_reason"] == (
        "three refusals"
    )


def test_one_that_left_the_roster_is_disabled_whatever_its_desk_saw(fleet: Api) -> None:
    gone = mine(fleet)[2]
    seen(gone, state="ready")
    Account.objects.filter(pk=gone).update(enabled=False)

    assert ids(fleet, "?state=disabled") == [gone]
    assert gone not in ids(fleet, "?state=ready")


def test_pages_follow_each_other_also_when_filtered(fleet: Api) -> None:
    whole = mine(fleet)
    for account_id in whole[::2]:
        seen(account_id, state="suspect")

    for query, wanted in (("", whole), ("&state=suspect", whole[::2])):
        found: list[str] = []
        after = ""
        while True:
            body = read(fleet.get(f"{PATH}?limit=2{query}{after}"))
            assert 0 < len(body["accounts"]) <= 2
            found += [each["account_id"] for each in body["accounts"]]
            if body["next_page_token"] is None:
                break
            after = f"&page_token={body['next_page_token']}"
        assert found == wanted


@pytest.mark.parametrize(
    ("query", "field", "allowed"),
    [
        ("state=asleep", "state", AccountState.State.values),
        ("state=", "state", AccountState.State.values),
        ("state=READY", "state", AccountState.State.values),
        ("environment=moon", "environment", Account.Environment.values),
        ("environment=paper,live", "environment", Account.Environment.values),
    ],
)
def test_a_filter_of_no_meaning_is_422_with_what_is_allowed(
    fleet: Api, query: str, field: str, allowed: list[str]
) -> None:
    body = problem(fleet.get(f"{PATH}?{query}"), 422, "invalid-parameter")

    [error] = body["errors"]
    assert (error["field"], error["reason"], error["allowed"]) == (field, "not-allowed", allowed)


def test_both_wrong_filters_are_told_at_once(fleet: Api) -> None:
    body = problem(fleet.get(f"{PATH}?state=a&environment=b"), 422, "invalid-parameter")

    assert {error["field"] for error in body["errors"]} == {"state", "environment"}


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=501", "limit=x", "limit=-1", "page_token=%00", "page_token=a%20b",
     "page_token=", "who=me", "state=ready&state=ready"],
)  # fmt: skip
def test_what_the_query_cannot_say_is_400(fleet: Api, query: str) -> None:
    problem(fleet.get(f"{PATH}?{query}"), 400, "bad-parameter")


def test_it_needs_a_token_and_nothing_else(fleet: Api) -> None:
    problem(fleet.call("GET", PATH, Authorization=""), 401, "unauthorized")
    assert fleet.get(PATH).status_code == 200


def test_a_thousand_accounts_are_one_statement_as_one_is(api: Api, statements: list[str]) -> None:
    many = Api(api.account, token(None))
    open_accounts(120)
    api.get(PATH)

    counts = []
    for caller, query in ((api, ""), (many, "?limit=500"), (many, "?limit=1&state=warming")):
        statements.clear()
        assert caller.get(PATH + query).status_code == 200
        counts.append(len(statements))

    assert counts == [1, 1, 1]
