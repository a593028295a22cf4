"""The accounts' list: a thousand rows, found, narrowed and sorted by what their desks told."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

pytestmark = pytest.mark.django_db

Counted = Callable[[int], Any]
LIST = "/admin/accounts/account/"


def listed(client: Client, **query: str) -> str:
    """The list's HTML."""
    answer = client.get(LIST, query)
    assert answer.status_code == 200, query
    return answer.content.decode()


def named(page: str, *accounts: str) -> list[str]:
    """Those of the accounts that the page lists, in its order."""
    at = {one: page.find(f"{LIST}{one}/change/") for one in accounts}
    return sorted((one for one in accounts if at[one] >= 0), key=lambda one: at[one])


def test_a_thousand_accounts_cost_as_many_queries_as_one(
    superuser: Client, django_assert_num_queries: Counted
) -> None:
    from tests.admin.fleets import told  # noqa: PLC0415
    from tests.support.accounts import open_accounts  # noqa: PLC0415

    first, *_ = open_accounts(1)
    for account in open_accounts(60):
        told(account)
    superuser.get(LIST)
    # Session, user, badge, the desks to choose from; the list counted twice and read once.
    expected = 7

    with django_assert_num_queries(expected):
        one = listed(superuser, q=first)
    with django_assert_num_queries(expected):
        page = listed(superuser, o="1")

    assert one.count("data-row") == 1
    assert page.count("data-row") == 50


def test_a_row_says_what_the_desk_saw(superuser: Client, account: str) -> None:
    from tests.admin.fleets import told  # noqa: PLC0415

    told(account, f"desk-{account}", state="suspect", stream_state="lost", breaker="half-open")

    row = listed(superuser, q=account)

    for text in (
        "SANDBOX", "suspect", "22.1 ms", ">50 of 200<", "half-open", "lost", f"desk-{account}",
        "1,234,567.50", "2,469,135.00", "v1, ",
    ):  # fmt: skip
        assert text in row, text


def test_without_an_owner_nobody_listens(superuser: Client, account: str) -> None:
    from tests.admin.fleets import told  # noqa: PLC0415
    from tests.support.accounts import lease  # noqa: PLC0415

    told(account, "desk-gone")
    lease(account, "desk-gone/7", seconds=-1)

    row = listed(superuser, q=account)

    assert 'op-idle">closed<' in row
    assert 'op-good">listening<' not in row
    assert "desk-gone" not in row


def test_accounts_are_narrowed_by_what_a_row_shows(superuser: Client, account: str) -> None:
    from tests.admin.fleets import told  # noqa: PLC0415

    told(account, f"desk-{account}", state="suspect", stream_state="lost", breaker="open")

    for query, found in (
        ({"state": "suspect"}, True),
        ({"state": "ready"}, False),
        ({"state": "no such state"}, False),
        ({"stream": "lost"}, True),
        ({"stream": "closed"}, False),
        ({"breaker": "open"}, True),
        ({"breaker": "closed"}, False),
        ({"desk": f"desk-{account}"}, True),
        ({"desk": "desk"}, False),
        ({"desk": "nobody"}, False),
        ({"environment__exact": "sandbox"}, True),
        ({"environment__exact": "live"}, False),
        ({"account_type__exact": "data"}, False),
    ):
        page = listed(superuser, q=account, **query)
        assert bool(named(page, account)) is found, query


def test_the_desks_that_own_something_are_offered(superuser: Client, account: str) -> None:
    from tests.support.accounts import lease  # noqa: PLC0415

    lease(account, f"owner-of-{account}/7")

    assert f'value="owner-of-{account}"' in listed(superuser)


def test_an_account_is_found_by_how_it_begins_and_how_its_key_ends(
    superuser: Client, account: str
) -> None:
    from accounts.models import Credential  # noqa: PLC0415
    from tests.admin.fleets import told  # noqa: PLC0415

    told(account, f"desk-{account}")
    hint = Credential.objects.get(account_id=account).hint

    for term in (account, account[:9], account.upper(), f"desk-{account}", hint, hint[-4:]):
        assert named(listed(superuser, q=f" {term} "), account), term
    assert not named(listed(superuser, q=account[3:]), account)


def test_what_is_no_number_is_shown_as_it_is_and_sorted_last(superuser: Client) -> None:
    from tests.admin.fleets import told  # noqa: PLC0415
    from tests.support.accounts import open_accounts  # noqa: PLC0415

    few, many, odd, huge, none = accounts = open_accounts(5)
    mark = f"sort-{few}"
    for account, equity in ((few, "9.5"), (many, "100"), (odd, "<b>NaN"), (huge, "1e999999")):
        told(account, mark, broker_account={"equity": equity})
    told(none, mark, broker_account=None)

    up, down = (listed(superuser, q=mark, o=order) for order in ("7", "-7"))

    assert named(up, *accounts)[:2] == [few, many]
    assert named(down, *accounts)[:2] == [many, few]
    assert "&lt;b&gt;NaN" in up
    assert "1e999999" in up


def test_every_column_sorts_in_both_directions(superuser: Client, account: str) -> None:
    from tests.admin.fleets import told  # noqa: PLC0415

    told(account)

    for column in range(10):
        for direction in ("", "-"):
            assert named(listed(superuser, q=account, o=f"{direction}{column}"), account)


def test_a_suspended_account_is_shown_and_found_as_one(superuser: Client, account: str) -> None:
    from accounts import custody, journal  # noqa: PLC0415
    from tests.admin.fleets import told  # noqa: PLC0415

    told(account)
    custody.suspend(account, actor=journal.Actor("staff", "test"), reason="asked by its owner")

    page = listed(superuser, q=account, state="suspended")

    assert named(page, account)
    assert 'op-hold">suspended<' in page
    assert not named(listed(superuser, q=account, state="ready"), account)


def test_an_old_key_is_told_to_be_replaced(superuser: Client, account: str) -> None:
    from datetime import timedelta  # noqa: PLC0415

    from accounts.models import Credential  # noqa: PLC0415
    from opitios.core import clock  # noqa: PLC0415

    assert "replace it" not in listed(superuser, q=account)
    key = Credential.objects.filter(account_id=account)
    key.update(created_at=clock.now() - timedelta(days=91, hours=1))

    assert "v1, 91 d: replace it" in listed(superuser, q=account)


@pytest.mark.parametrize("query", ["state=%00", "desk=a%00", "q=%00", "environment__exact=%00"])
def test_a_byte_that_no_text_holds_is_refused(superuser: Client, query: str) -> None:
    assert superuser.get(f"{LIST}?{query}").status_code == 400
    assert superuser.get(f"{LIST}a%00/change/").status_code == 404
