"""Postgres waits for locks, or has no room left: a 503 within a second, and nothing stored (C23).

A disk that is full is simulated: the server says what it says then.
"""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg.rows import TupleRow

from opitios.core.errors import Problem, Reason
from tests.support.accounts import open_account
from tests.support.crowd import Stopwatch
from tests.support.orders import kinds, place
from trading import queries

pytestmark = pytest.mark.django_db

Owner = psycopg.Connection[TupleRow]

_FULL = """
CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100';
END $$;
CREATE TRIGGER no_room BEFORE INSERT ON trading_order FOR EACH STATEMENT EXECUTE FUNCTION no_room();
"""


@pytest.fixture
def full_disk(owner_connection: Owner) -> Iterator[None]:
    """Every order's insert ends as on a full disk."""
    owner_connection.execute(_FULL)
    yield
    owner_connection.execute("DROP TRIGGER no_room ON trading_order")
    owner_connection.execute("DROP FUNCTION no_room")


def refused(account_id: str) -> Problem:
    """Place an order that is refused within a second."""
    with Stopwatch() as took, pytest.raises(Problem) as caught:
        place(account_id, "k")
    assert took.is_within(1), took
    return caught.value


def test_c23_an_account_whose_journal_is_locked_is_a_503_and_the_others_trade(
    account: str, owner_connection: Owner
) -> None:
    other = open_account()
    with owner_connection.transaction():
        owner_connection.execute(
            "SELECT 1 FROM accounts_journalhead WHERE account_id = %s FOR UPDATE", [account]
        )

        problem = refused(account)
        accepted = place(other, "k")

    assert (problem.status, problem.reason) == (503, Reason.UNAVAILABLE)
    assert not accepted.replayed
    assert kinds(account) == []
    assert not place(account, "k").replayed


def test_c23_a_full_disk_is_a_503_and_leaves_neither_row_nor_entry(
    account: str, full_disk: None
) -> None:
    problem = refused(account)

    assert (problem.status, problem.reason) == (503, Reason.UNAVAILABLE)
    assert queries.orders_where("account_id = %s", (account,)) == []
    assert kinds(account) == []
