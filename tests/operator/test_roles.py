"""From a role that may create roles: an owner, an application that owns nothing, and a database."""

import secrets
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from opitios.core.embedded import roles
from opitios.core.embedded.roles import Names, Passwords, ServerError

MADE_UP = "/@:?#"
PASSWORDS = Passwords("owner-pass/word", "app-pass@word")


@pytest.fixture
def names(server_url: str) -> Iterator[Names]:
    found = Names.of(f"roles_{secrets.token_hex(4)}")
    yield found
    roles.drop(server_url, found)


def owner_url(server_url: str, names: Names) -> str:
    database, user = names.database, names.owner
    return roles.login_url(server_url, user=user, password=PASSWORDS.owner, database=database)


def application_url(server_url: str, names: Names, password: str = PASSWORDS.application) -> str:
    database, user = names.database, names.application
    return roles.login_url(server_url, user=user, password=password, database=database)


def test_the_owner_makes_tables_and_the_application_may_not(server_url: str, names: Names) -> None:
    roles.ensure(server_url, names, PASSWORDS)

    with psycopg.connect(owner_url(server_url, names)) as owner:
        owner.execute("CREATE TABLE mine (id int)")
    with (
        psycopg.connect(application_url(server_url, names)) as application,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        application.execute("CREATE TABLE yours (id int)")


def test_making_them_again_keeps_the_data_and_sets_the_passwords(
    server_url: str, names: Names
) -> None:
    roles.ensure(server_url, names, Passwords("old", "older"))
    with psycopg.connect(server_url, autocommit=True) as server:
        before = server.execute(
            "SELECT oid FROM pg_database WHERE datname = %s", [names.database]
        ).fetchone()

        roles.ensure(server_url, names, PASSWORDS)

        after = server.execute(
            "SELECT oid FROM pg_database WHERE datname = %s", [names.database]
        ).fetchone()
    assert before == after
    psycopg.connect(application_url(server_url, names)).close()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(application_url(server_url, names, "older"))


def test_nobody_else_may_connect_to_the_database(server_url: str, names: Names) -> None:
    roles.ensure(server_url, names, PASSWORDS)

    with psycopg.connect(server_url) as server:
        found = server.execute(
            "SELECT has_database_privilege('public', %s, 'CONNECT')", [names.database]
        ).fetchone()

    assert found == (False,)


def test_dropping_what_is_not_there_is_fine(server_url: str, names: Names) -> None:
    roles.drop(server_url, names)

    with psycopg.connect(server_url) as server:
        left = server.execute(
            "SELECT FROM pg_roles WHERE rolname IN (%s, %s)", [names.owner, names.application]
        ).fetchall()
    assert left == []


def test_a_role_that_may_not_create_roles_is_told_what_it_needs(
    server_url: str, names: Names
) -> None:
    roles.ensure(server_url, names, PASSWORDS)
    weak = application_url(server_url, names)
    other = Names.of(f"roles_{secrets.token_hex(4)}")

    with pytest.raises(ServerError, match=f"ALTER ROLE {names.application} CREATEROLE CREATEDB"):
        roles.ensure(weak, other, PASSWORDS)

    with psycopg.connect(server_url) as server:
        made = server.execute("SELECT FROM pg_roles WHERE rolname = %s", [other.owner]).fetchall()
    assert made == []


def test_a_plain_role_with_createrole_and_createdb_is_enough(server_url: str, names: Names) -> None:
    maker = sql.Identifier(f"maker_{secrets.token_hex(4)}")
    with psycopg.connect(server_url, autocommit=True) as server:
        server.execute(
            sql.SQL("CREATE ROLE {} LOGIN CREATEROLE CREATEDB PASSWORD {}").format(
                maker, sql.Literal(MADE_UP)
            )
        )
        name = maker.as_string(server).strip('"')
        plain = roles.login_url(server_url, user=name, password=MADE_UP, database="postgres")

        roles.ensure(plain, names, PASSWORDS)
        psycopg.connect(owner_url(server_url, names)).close()

        roles.drop(plain, names)
        server.execute(sql.SQL("DROP ROLE {}").format(maker))


@pytest.mark.parametrize("url", ["mysql://u:pass-word@h/d", "postgresql://u:pass-word@[::1/d"])
def test_what_is_no_postgres_url_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(ServerError) as refusal:
        roles.ensure(url, Names.of("x"), PASSWORDS)

    assert "pass-word" not in str(refusal.value)


def test_a_password_with_any_sign_travels_in_a_url() -> None:
    server = "postgresql://a:b@h:5433/c?x=1"

    url = roles.login_url(server, user="é", password=MADE_UP, database="d")

    assert url == "postgresql://%C3%A9:%2F%40%3A%3F%23@h:5433/d?x=1"
