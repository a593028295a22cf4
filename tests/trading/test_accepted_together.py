"""Orders of many threads accepted in one transaction: none hinders another (docs/adr/0027)."""

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import orjson
import psycopg
import pytest
from django.db import DatabaseError, OperationalError
from psycopg.rows import TupleRow

from accounts import journal
from opitios.core import database, ids
from tests.api.calls import new_key
from tests.support.accounts import open_account
from tests.support.orders import asked, command, kinds, place, row_of
from trading import orders, writes
from trading.limits import Held
from trading.orders import Accepted, _Placing

pytestmark = pytest.mark.django_db


@pytest.fixture
def accounts() -> list[str]:
    return [open_account() for _ in range(4)]


@pytest.fixture
def together(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Let orders be placed, and store none: what each would be stored by."""
    told: list[tuple[Any, ...]] = []

    def keep(params: tuple[Any, ...]) -> dict[str, Any]:
        told.append(params)
        raise _Kept

    monkeypatch.setattr(orders, "_accept_again", keep)
    return told


class _Kept(Exception):
    """An order is kept from being stored."""


def keep(account_id: str, key: str | None, **changed: Any) -> None:
    with pytest.raises(_Kept):
        place(account_id, key, **changed)


def heads(account_ids: list[str]) -> list[int]:
    return [journal.head(account_id)["seq"] for account_id in account_ids]


def test_each_is_answered_in_its_place_as_if_it_came_alone(
    accounts: list[str], together: list[tuple[Any, ...]]
) -> None:
    first, second, third, fourth = accounts
    # The other way round than their heads are locked.
    keep(fourth, "k4")
    keep(third, "k3", client_order_id="mine")
    keep(second, "again")
    keep(second, "again")
    keep(second, "again", qty=Decimal(11))
    keep(third, "other", client_order_id="mine")
    keep(first, None)

    landed = orders._accept_each(together)

    assert [each["found_by"] for each in landed] == [
        None, None, None, "key", "key", "client_order_id", None,
    ]  # fmt: skip
    assert [each["seq"] for each in landed] == [1] * 7
    ours = [params[4] for params in together]
    same = [0, 1, 2, 2, 2, 1, 6]
    assert [each["order_id"] for each in landed] == [ours[number] for number in same]
    assert heads(accounts) == [1, 1, 1, 1]
    for number in {*same}:
        row = row_of({"id": ours[number]})
        assert (row["status"], row["account_id"]) == ("queued", together[number][0])
        assert row["updated_at"] == landed[number]["recorded_at"]
    # The one that was found tells the entry it was accepted by.
    assert [each["body"] for each in landed[3:5]] == [together[2][6]] * 2
    assert all(journal.verify(account_id).ok for account_id in accounts)


def test_limits_that_are_others_by_now_are_told_to_the_one_whose_they_are(
    accounts: list[str], together: list[tuple[Any, ...]]
) -> None:
    keep(accounts[0], "k")
    keep(accounts[1], "k")
    stale = list(together[1])
    stale[9] = 7

    landed = orders._accept_each([together[0], tuple(stale)])

    assert landed[0]["denial"] is None
    assert orjson.loads(landed[1]["denial"]) == {"reason": "limits"}
    assert heads(accounts[:2]) == [1, 0]


def test_one_that_cannot_be_stored_stores_none_and_each_may_come_alone(
    accounts: list[str], together: list[tuple[Any, ...]]
) -> None:
    keep(accounts[0], "k")
    keep("acct-without-a-journal", "k")

    with pytest.raises(DatabaseError) as caught:
        orders._accept_each(together)

    assert writes.did_nothing(caught.value)
    assert heads(accounts[:1]) == [0]


def test_a_neighbour_waits_for_nobody_s_busy_journal_for_long(
    accounts: list[str],
    together: list[tuple[Any, ...]],
    owner_connection: psycopg.Connection[TupleRow],
) -> None:
    busy, free = accounts[:2]
    keep(free, "k")
    keep(busy, "k")
    with owner_connection.transaction():
        owner_connection.execute(
            "SELECT 1 FROM accounts_journalhead WHERE account_id = %s FOR UPDATE", [busy]
        )

        with pytest.raises(DatabaseError) as caught:
            orders._accept_each(together)
        # Long before the half second after which a lone one is told so.
        assert orders._accept_each(together[:1])[0]["seq"] == 1

    assert writes.did_nothing(caught.value)
    assert getattr(caught.value.__cause__, "sqlstate", None) == "55P03"
    assert heads([busy, free]) == [0, 1]


def test_what_is_counted_is_accepted_alone(monkeypatch: pytest.MonkeyPatch, account: str) -> None:
    """Counts of a subject are locked after the head, and never by who wants another head."""
    monkeypatch.setattr(orders, "_combined", lambda _: pytest.fail("it was not alone"))
    one_a_day = asked("k", orders_per_day=1)
    about = {"account_id": account, "environment": "sandbox"}

    assert not orders.place_order(command(), **about, asked=one_a_day).replayed

    placing = _Placing(command(), ids.new_id(), account, "sandbox", asked("k2", orders_per_day=1))
    assert orders._accept(placing, None, Held())["denial"] is not None


def test_a_crowd_is_answered_each_its_own(accounts: list[str]) -> None:
    def placed(number: int) -> Accepted:
        try:
            return place(accounts[number % 4], f"k{number}", qty=Decimal(number + 1))
        finally:
            database.release()

    with ThreadPoolExecutor(16) as threads:
        made = list(threads.map(placed, range(80)))

    for number, each in enumerate(made):
        row = row_of(each)
        assert (row["account_id"], row["qty"]) == (accounts[number % 4], number + 1)
        assert row["seq"] == each.body["seq"]
        assert not each.replayed
    assert heads(accounts) == [20] * 4
    assert all(journal.verify(account_id).ok for account_id in accounts)
    assert kinds(accounts[0]) == ["order.queued"] * 20


def test_a_lost_answer_is_asked_for_again_by_each(
    accounts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """C03: the commit was done, and everybody in it finds its own order."""
    real, broken = orders._accept_each, [True]

    def swallowed(several: Any) -> list[dict[str, Any]]:
        landed = real(several)
        if broken and broken.pop():
            raise OperationalError("the connection is lost")
        return landed

    monkeypatch.setattr(orders._combined, "_call", swallowed)

    accepted = place(accounts[0], new_key())

    assert not accepted.replayed
    assert (heads(accounts[:1]), broken) == ([1], [])
