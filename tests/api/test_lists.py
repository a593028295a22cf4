"""Lists: a named key, a page token, exclusive bounds, a place in the journal (api.md §1)."""

from typing import Any

import pytest

from tests.api.calls import Api, problem, read
from tests.support.orders import CAUSE, asked, fill, place, report, row_of
from trading import executions, orders

pytestmark = pytest.mark.django_db


@pytest.fixture
def five(api: Api) -> list[str]:
    """The ids of five orders, oldest first: two final, three open; the third is a sell of MSFT."""
    placed = [
        place(api.account, symbol="MSFT" if n == 2 else "AAPL", side="sell" if n == 2 else "buy")
        for n in range(5)
    ]
    for each in placed[:2]:
        orders.cancel_order(row_of(each), asked())
    return [str(each.order_id) for each in placed]


def ids(api: Api, query: str) -> list[str]:
    """The ids a list answers, in its order."""
    response = api.get(query)
    assert response.status_code == 200, response.content
    return [order["id"] for order in read(response)["orders"]]


def test_a_list_has_its_name_its_token_and_its_place_in_the_journal(
    api: Api, five: list[str]
) -> None:
    body = read(api.get("?status=all"))

    assert set(body) == {"orders", "next_page_token", "as_of", "as_of_seq"}
    assert body["as_of_seq"] == 7
    assert body["as_of"].endswith("Z")
    assert body["next_page_token"] is None
    one = {k: v for k, v in read(api.get(f"/{five[0]}")).items() if k in body["orders"][0]}
    assert body["orders"][-1] == one


def test_open_is_the_default_and_newest_comes_first(api: Api, five: list[str]) -> None:
    assert ids(api, "") == ids(api, "?status=open") == five[:1:-1]
    assert ids(api, "?status=closed") == [five[1], five[0]]
    assert ids(api, "?status=all") == five[::-1]
    assert ids(api, "?status=all&direction=asc") == five


def test_filters_narrow(api: Api, five: list[str]) -> None:
    assert ids(api, "?status=all&symbols=MSFT") == [five[2]]
    assert ids(api, "?status=all&symbols=MSFT,AAPL,,") == five[::-1]
    assert ids(api, "?status=all&side=sell") == [five[2]]
    assert ids(api, "?symbols=NONE") == []


def test_after_and_until_are_exclusive(api: Api, five: list[str]) -> None:
    at = read(api.get(f"/{five[2]}"))["created_at"]

    assert ids(api, f"?status=all&after={at}") == [five[4], five[3]]
    assert ids(api, f"?status=all&until={at}") == [five[1], five[0]]
    offset = at.replace("Z", "+00:00")
    assert ids(api, f"?status=all&after={offset}") == [five[4], five[3]]


@pytest.mark.parametrize("direction", ["desc", "asc"])
def test_pages_hold_every_order_once(api: Api, five: list[str], direction: str) -> None:
    found: list[str] = []
    token: str | None = ""
    while token is not None:
        query = f"?status=all&limit=2&direction={direction}"
        body = read(api.get(f"{query}&page_token={token}" if token else query))
        assert len(body["orders"]) <= 2
        found += [order["id"] for order in body["orders"]]
        token = body["next_page_token"]

    assert found == (five if direction == "asc" else five[::-1])


def test_a_token_of_another_account_s_page_shows_nothing_of_it(api: Api, five: list[str]) -> None:
    other = Api.open()
    theirs = [place(other.account) for _ in range(2)]
    token = read(other.get("?limit=1"))["next_page_token"]

    found = ids(api, f"?status=all&direction=asc&page_token={token}")

    assert not {str(each.order_id) for each in theirs} & set(found)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("status=queued", "status"), ("status=", "status"), ("status=OPEN", "status"),
        ("direction=up", "direction"), ("side=hold", "side"), ("limit=0", "limit"),
        ("limit=501", "limit"), ("limit=-1", "limit"), ("limit=1e2", "limit"), ("limit=", "limit"),
        ("limit=%D9%A3", "limit"), ("limit=" + "9" * 5000, "limit"), ("limit=5&limit=6", "limit"),
        ("after=yesterday", "after"), ("after=2026-11-20", "after"), ("until=%00", "until"),
        ("after=2026-11-20T14:30:00", "after"), ("until=0001-01-01T00:00:00%2B14:00", "until"),
        ("after=9999-12-31T23:59:59-14:00", "after"), ("page_token=x", "page_token"),
        ("page_token=%00", "page_token"), ("page_token=w4k", "page_token"),
        ("page_token=", "page_token"), ("page_token=bm93fDE", "page_token"),
        # A date without a zone, made by hand.
        ("page_token=MjAyNi0xMS0yMHwwMTlhYTBjMi02ZjFlLTdjM2EtOWIxZS0yZjVkOGMxYTdlNDA",
         "page_token"),
        ("ordering=secret", "ordering"), ("account_id=other", "account_id"),
        ("Status=all", "Status"),
        ("symbols=%00", "symbols"), ("symbols=" + "A," * 600, "symbols"), ("%00=1", "\x00"),
    ],
)  # fmt: skip
def test_a_parameter_that_is_not_understood_is_a_400_that_names_it(
    api: Api, query: str, field: str
) -> None:
    body = problem(api.get(f"?{query}"), 400, "bad-parameter")

    assert body["errors"][0]["field"] == field


def test_fills_are_listed_newest_first_page_by_page(api: Api) -> None:
    row = row_of(place(api.account))
    for n in range(3):
        told: dict[str, Any] = {"second": 1.0 + n, "filled_qty": str(n + 1)}
        execution = fill(f"e-{n}", 1)
        executions.report(
            row["id"],
            report(row, "partially_filled", event="partial_fill", execution=execution, **told),
            CAUSE,
        )
    path = f"/api/v1/accounts/{api.account}/fills"

    first = read(api.get(f"{path}?limit=2"))
    second = read(api.get(f"{path}?limit=2&page_token={first['next_page_token']}"))

    found = [each["execution_id"] for each in first["fills"] + second["fills"]]
    assert found == ["e-2", "e-1", "e-0"]
    assert second["next_page_token"] is None
    assert first["as_of_seq"] == 4
    assert first["fills"][0].items() >= {
        "account_id": api.account, "order_id": str(row["id"]), "symbol": "AAPL", "side": "buy",
        "qty": "1", "price": "187.2", "source": "stream",
    }.items()  # fmt: skip


@pytest.mark.parametrize("token", ["0", "x", "-1", "1.5", "9" * 19, "%00", ""])
def test_an_odd_token_of_a_fills_page_is_a_400(api: Api, token: str) -> None:
    path = f"/api/v1/accounts/{api.account}/fills?page_token={token}"

    problem(api.get(path), 400, "bad-parameter")
