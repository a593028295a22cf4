"""`GET limits` shows what every room registered, in pages by account."""

from collections.abc import Iterable, Sequence

import pytest

from accounts import limits
from accounts.claims import Principal
from accounts.limits import LimitRow
from accounts.pool import get_pool
from tests.api.calls import Api, problem, read
from tests.support.accounts import open_accounts, token

pytestmark = pytest.mark.django_db

PATH = "/api/v1/limits"


def orders_of_the_day(principal: Principal, account_ids: Sequence[str]) -> Iterable[LimitRow]:
    """A part as trading has one: a limit of each account."""
    for account_id in account_ids:
        yield LimitRow(name="test-day", level="account", account_id=account_id, value=500, used=2)


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A room that shows a limit, for this test alone."""
    monkeypatch.setattr(limits, "_parts", dict(limits._parts))
    limits.register("test", orders_of_the_day)


def own(page: dict[str, list[dict[str, object]]]) -> list[object]:
    """The accounts of the registered part's rows."""
    return [row["account_id"] for row in page["limits"] if row["name"] == "test-day"]


def test_what_a_room_registered_is_shown_for_the_token_s_own_accounts(
    api: Api, registered: None
) -> None:
    rows = read(api.get(PATH))["limits"]

    assert [row for row in rows if row["name"] == "test-day"] == [
        {"name": "test-day", "level": "account", "account_id": api.account, "value": 500,
         "used": 2, "left": None, "per_seconds": None, "resets_at": None},
    ]  # fmt: skip


def test_accounts_come_in_pages_and_none_twice(api: Api, registered: None) -> None:
    mine = sorted([api.account, *open_accounts(2)])

    get_pool().refresh()
    reader = Api(api.account, token(mine))

    first = read(reader.get(f"{PATH}?limit=2"))
    second = read(reader.get(f"{PATH}?limit=2&page_token={first['next_page_token']}"))

    assert own(first) + own(second) == mine
    assert second["next_page_token"] is None


def test_a_page_token_of_nobody_is_refused(api: Api) -> None:
    problem(api.get(f"{PATH}?page_token=*"), 400, "bad-parameter")
