"""`GET token` says what a token allows, to anybody who holds one, and never shows it."""

from datetime import datetime, timedelta
from threading import Event, Timer
from typing import Any

import pytest

from accounts import pool
from accounts.pool import get_pool
from accounts.tokens import verifier
from opitios.core import clock
from tests.accounts.custodial import reach_from_everywhere
from tests.api.calls import Api, problem, read
from tests.support.accounts import token

pytestmark = pytest.mark.django_db

PATH = "/api/v1/token"


def signed(**claims: Any) -> str:
    """A token with exactly these claims beside its times."""
    now = int(clock.now().timestamp())
    return verifier().sign({"sub": "bot-9", "iat": now, "exp": now + 600} | claims, fleet=False)


def test_a_token_s_claims_are_told_and_the_token_is_not(api: Api) -> None:
    response = api.get(PATH)

    body = read(response)
    assert (body["subject"], body["accounts"], body["account_scope"]) == (
        "bot-7", [api.account], None,
    )  # fmt: skip
    assert body["permissions"] == ["account_read", "trade"]
    assert body["environments"] == ["sandbox"]
    assert {row["account_id"] for row in body["limits"]} == {None}
    left = datetime.fromisoformat(body["expires_at"]) - clock.now()
    assert timedelta(minutes=59) < left <= timedelta(hours=1)
    for part in api.token.split("."):
        assert part not in response.content.decode()


def test_everything_else_a_token_may_say_is_told(api: Api) -> None:
    mine = signed(
        account_ids=[api.account, "never-imported"], permissions=["monitor", "trading"],
        act="jdoe", account_type="trading", rate_limits={"orders_per_day": 500},
    )  # fmt: skip

    body = read(Api(api.account, mine).get(PATH))

    assert (body["subject"], body["act"], body["account_type"]) == ("bot-9", "jdoe", "trading")
    assert body["accounts"] == sorted([api.account, "never-imported"])
    assert body["permissions"] == ["monitor", "trade"]
    assert ("orders-per-day", 500) in {(row["name"], row["value"]) for row in body["limits"]}
    assert body["environments"] == ["sandbox"]


def test_a_token_without_permissions_or_accounts_may_ask() -> None:
    body = read(Api("x", signed()).get(PATH))

    assert (body["accounts"], body["permissions"], body["environments"]) == ([], [], [])


def test_a_fleet_s_scope_is_a_word_and_no_list_of_a_thousand(api: Api) -> None:
    # Other tests bar accounts from here; then a fleet is those that are left.
    reach_from_everywhere()

    body = read(Api(api.account, token(None)).get(PATH))

    assert (body["accounts"], body["account_scope"]) == (None, "all")
    assert "sandbox" in body["environments"]


def test_it_costs_no_query(api: Api, statements: list[str]) -> None:
    statements.clear()

    assert api.get(PATH).status_code == 200

    assert statements == []


def test_without_a_good_token_there_is_nothing_to_tell(api: Api) -> None:
    for bad in ("", "nonsense", signed(permissions=["root"])):
        header = {"Authorization": f"Bearer {bad}" if bad else ""}
        problem(api.call("GET", PATH, **header), 401, "unauthorized")


def test_a_parameter_it_does_not_have_is_400(api: Api) -> None:
    body = problem(api.get(f"{PATH}?token=x"), 400, "bad-parameter")

    assert body["errors"][0]["field"] == "token"


def test_other_methods_are_405(api: Api) -> None:
    response = api.call("POST", PATH, {"sub": "me"})

    problem(response, 405, "method-not-allowed")
    assert response["Allow"] == "GET, HEAD"


def test_a_request_that_meets_a_fresh_process_waits_a_moment_for_its_accounts(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = Event()
    monkeypatch.setattr(get_pool(), "_loaded", loaded)
    # A moment of the test's own: a crowded machine may be late with the timer.
    monkeypatch.setattr(pool, "LOADING_SECONDS", 60.0)
    Timer(0.05, loaded.set).start()

    assert api.get(PATH).status_code == 200


def test_while_the_accounts_are_loading_it_says_to_come_back(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(get_pool(), "_loaded", Event())
    monkeypatch.setattr(pool, "LOADING_SECONDS", 0.01)

    for mine in (api.token, token(None)):
        response = Api(api.account, mine).get(PATH)
        problem(response, 503, "storage-unavailable")
        assert int(response["Retry-After"]) >= 1
