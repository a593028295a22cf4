"""Law 2: nobody changes, deletes or empties the journal, not even its owner (G10)."""

from collections.abc import Callable

import psycopg
import pytest
from psycopg import errors
from psycopg.rows import TupleRow

from accounts import journal
from tests.support.accounts import open_account
from tests.support.orders import entries, place

pytestmark = pytest.mark.django_db

Connection = psycopg.Connection[TupleRow]

ATTACKS = {
    "edit an entry": "UPDATE accounts_journalentry SET body = 'x' WHERE account_id = '{0}'",
    "move an entry": "UPDATE accounts_journalentry SET seq = 99 WHERE account_id = '{0}'",
    "change nothing": "UPDATE accounts_journalentry SET seq = seq WHERE account_id = '{0}'",
    "delete an entry": "DELETE FROM accounts_journalentry WHERE account_id = '{0}'",
    "empty the entries": "TRUNCATE accounts_journalentry",
    "empty everything": "TRUNCATE accounts_journalentry, accounts_journalhead CASCADE",
    "jump the head": "UPDATE accounts_journalhead SET seq = seq + 2 WHERE account_id = '{0}'",
    "turn the head back": "UPDATE accounts_journalhead SET seq = 0 WHERE account_id = '{0}'",
    "rename the head": "UPDATE accounts_journalhead SET account_id = 'x' WHERE account_id = '{0}'",
    "delete the head": "DELETE FROM accounts_journalhead WHERE account_id = '{0}'",
    "empty the heads": "TRUNCATE accounts_journalhead",
    "merge": "MERGE INTO accounts_journalentry e USING (SELECT 1) s ON e.account_id = '{0}'"
    " WHEN MATCHED THEN DELETE",
    "upsert": "INSERT INTO accounts_journalhead (account_id, seq, hash) VALUES ('{0}', 9, '')"
    " ON CONFLICT (account_id) DO UPDATE SET seq = 9",
}  # fmt: skip
# The owner may insert what the guards cannot judge; the application may not even that.
INSERTS = {
    "forge an entry": "INSERT INTO accounts_journalentry (account_id, seq, recorded_at, kind,"
    " canon, body, prev_hash, hash) VALUES ('{0}', 2, now(), 'order.fill', 1, '{{}}', '', '')",
    "forge a head": "INSERT INTO accounts_journalhead (account_id, seq, hash)"
    " VALUES ('{0}-x', 9, '')",
    "reset the guards": "ALTER TABLE accounts_journalentry DISABLE TRIGGER ALL",
    "drop a guard": "DROP TRIGGER journal_entry_is_final ON accounts_journalentry",
    "be a replica": "SET session_replication_role = replica",
    "replace the function": "CREATE OR REPLACE FUNCTION journal_refuse() RETURNS trigger"
    " LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$",
    "drop the table": "DROP TABLE accounts_journalentry",
}  # fmt: skip


@pytest.fixture
def told(account_with_an_entry: str) -> Callable[[], list[dict[str, object]]]:
    return lambda: entries(account_with_an_entry)


@pytest.fixture
def account_with_an_entry(db: None) -> str:
    account = open_account()
    place(account)
    return account


def refused(connection: Connection, sql: str, account: str) -> None:
    """A statement fails for want of a right, and the chain holds as before."""
    before = entries(account)

    with pytest.raises(errors.InsufficientPrivilege):
        connection.execute(sql.format(account).encode())

    assert entries(account) == before
    assert journal.verify(account).ok


@pytest.mark.parametrize("sql", (ATTACKS | INSERTS).values(), ids=ATTACKS | INSERTS)
def test_the_application_may_not(
    application_connection: Connection, account_with_an_entry: str, sql: str
) -> None:
    refused(application_connection, sql, account_with_an_entry)


@pytest.mark.parametrize("sql", ATTACKS.values(), ids=ATTACKS)
def test_the_owner_may_not(
    owner_connection: Connection, account_with_an_entry: str, sql: str
) -> None:
    refused(owner_connection, sql, account_with_an_entry)


@pytest.mark.parametrize("sql", ATTACKS.values(), ids=ATTACKS)
def test_nobody_may_as_a_replica_either(
    server_connection: Connection, account_with_an_entry: str, sql: str
) -> None:
    server_connection.execute("SET session_replication_role = replica")

    refused(server_connection, sql, account_with_an_entry)


def test_an_entry_of_a_kind_that_is_no_word_is_refused(
    application_connection: Connection, account_with_an_entry: str
) -> None:
    for kind in ("", "Order.fill", "order fill", "order.fill\n", "x" * 65, "ördër"):
        with pytest.raises(errors.CheckViolation):
            application_connection.execute(
                "SELECT journal_append(%s, %s, '{}')", [account_with_an_entry, kind]
            )
    assert len(entries(account_with_an_entry)) == 1


def test_a_number_rolled_back_leaves_no_gap(
    application_connection: Connection, account_with_an_entry: str
) -> None:
    with application_connection.transaction(force_rollback=True):
        application_connection.execute(
            "SELECT journal_append(%s, 'x.y', '{}')", [account_with_an_entry]
        )
    place(account_with_an_entry)

    assert [entry["seq"] for entry in entries(account_with_an_entry)] == [1, 2]
    assert journal.verify(account_with_an_entry).ok
