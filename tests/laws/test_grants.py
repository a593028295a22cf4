"""What the application's login may do in the database, exactly (law 2)."""

import psycopg
import pytest
from psycopg.rows import TupleRow

pytestmark = pytest.mark.django_db

Connection = psycopg.Connection[TupleRow]

READ_ONLY = {"accounts_journalentry", "accounts_journalhead", "django_migrations"}
NEVER_DELETED = {"accounts_account", "accounts_credential", "accounts_rosterversion",
                 "accounts_accountrevision", "accounts_rotation", "accounts_halt",
                 "accounts_limits",
                 "trading_order", "trading_attempt", "trading_fill"}  # fmt: skip


def rights(connection: Connection) -> dict[str, set[str]]:
    """What the connected login may do with each table."""
    found = connection.execute(
        "SELECT c.relname, p.name FROM pg_class c, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE',"
        " 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) AS p(name)"
        " WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace"
        " AND has_table_privilege(c.oid, p.name)"
    )
    tables: dict[str, set[str]] = {}
    for table, right in found:
        tables.setdefault(table, set()).add(right)
    return tables


def test_the_journal_is_read_and_never_written(application_connection: Connection) -> None:
    found = rights(application_connection)

    assert {table: found[table] for table in READ_ONLY} == {t: {"SELECT"} for t in READ_ONLY}


def test_orders_and_accounts_are_never_deleted(application_connection: Connection) -> None:
    found = rights(application_connection)

    for table in NEVER_DELETED:
        assert found[table] == {"SELECT", "INSERT", "UPDATE"}, table


def test_nothing_at_all_is_emptied_or_given_triggers(application_connection: Connection) -> None:
    for table, found in rights(application_connection).items():
        assert not found & {"TRUNCATE", "TRIGGER", "REFERENCES"}, table


def test_the_login_is_nobody_special(application_connection: Connection) -> None:
    role = application_connection.execute(
        "SELECT rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls FROM pg_roles"
        " WHERE rolname = current_user"
    ).fetchone()
    owned = application_connection.execute(
        "SELECT count(*) FROM pg_class WHERE relowner = current_user::regrole"
    ).fetchone()
    member = application_connection.execute(
        "SELECT count(*) FROM pg_auth_members WHERE member = current_user::regrole"
    ).fetchone()
    may_create = application_connection.execute(
        "SELECT has_schema_privilege('public', 'CREATE')"
    ).fetchone()

    assert role == (False,) * 5
    assert (owned, member, may_create) == ((0,), (0,), (False,))


def test_the_journal_s_functions_run_as_their_owner_with_a_path_of_their_own(
    application_connection: Connection,
) -> None:
    found = application_connection.execute(
        "SELECT proname, prosecdef, proconfig::text,"
        " has_function_privilege('public', oid, 'EXECUTE'), has_function_privilege(oid, 'EXECUTE')"
        " FROM pg_proc WHERE proname LIKE 'journal%'"
        " AND prokind = 'f' AND prorettype <> 'trigger'::regtype"
    ).fetchall()

    assert {row[0] for row in found} >= {"journal_open", "journal_lock", "journal_append"}
    for name, is_definer, settings, is_public, is_ours in found:
        assert is_definer, name
        assert "search_path=pg_catalog, public" in settings, name
        assert (is_public, is_ours) == (False, True), name


def test_a_temporary_table_cannot_stand_in_for_the_journal(
    application_connection: Connection,
) -> None:
    application_connection.execute("SELECT journal_open('grants-shadow')")
    application_connection.execute(
        "CREATE TEMP TABLE accounts_journalentry (LIKE public.accounts_journalentry)"
    )

    application_connection.execute("SELECT journal_append('grants-shadow', 'x.y', '{}')")

    shadow = application_connection.execute("SELECT count(*) FROM accounts_journalentry")
    real = application_connection.execute(
        "SELECT count(*) FROM public.accounts_journalentry WHERE account_id = 'grants-shadow'"
    )
    assert (shadow.fetchone(), real.fetchone()) == ((0,), (1,))


def test_g1_what_is_acknowledged_is_on_the_disk(application_connection: Connection) -> None:
    assert application_connection.execute("SHOW synchronous_commit").fetchone() == ("on",)
