"""Two logins and a database, made from a role that may create them.

The owner migrates and owns `journal_append`; the application, every process's login, owns nothing
(design.md law 2). Works on Postgres 15 and newer, for a superuser and for a plain role with
CREATEROLE and CREATEDB alike.
"""

from dataclasses import dataclass
from typing import LiteralString
from urllib.parse import quote, urlsplit

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

Server = psycopg.Connection[TupleRow]

# CREATE ROLE … in a transaction with GRANT, and SCHEMA rules of 15: design.md §9 asks for no more.
OLDEST_VERSION = 150000


class ServerError(Exception):
    """The given server cannot be used; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Names:
    """What is made on the server for one clone, or for one test session."""

    owner: str
    application: str
    database: str

    @classmethod
    def of(cls, key: str) -> "Names":
        """Names for a clone: they never meet another clone's on a shared server."""
        return cls(f"opitios_{key}_owner", f"opitios_{key}_app", f"opitios_{key}")


@dataclass(frozen=True, slots=True)
class Passwords:
    """The two logins' passwords, kept in `.run`."""

    owner: str
    application: str


def login_url(server_url: str, *, user: str, password: str, database: str) -> str:
    """The same server for another login and database."""
    parts = urlsplit(server_url)
    address = parts.netloc.rpartition("@")[2]
    login = f"{quote(user, safe='')}:{quote(password, safe='')}"
    return parts._replace(netloc=f"{login}@{address}", path=f"/{quote(database)}").geturl()


def ensure(server_url: str, names: Names, passwords: Passwords) -> None:
    """Make the logins and the database, or take what is there and set the passwords again.

    1. Both roles, able to log in and to nothing else.
    2. Membership in the owner, which a plain role needs to give it a database.
    3. The database, closed to the public and open to the application.
    Raises ServerError where the server is too old or the role may not do this.
    """
    with _connect(server_url) as connection:
        check_rights(connection)
        _ensure_role(connection, names.owner, passwords.owner)
        _ensure_role(connection, names.application, passwords.application)
        _execute(connection, "GRANT {} TO CURRENT_USER", names.owner)
        ensure_database(connection, names.database, owner=names.owner)
        _execute(connection, "REVOKE ALL ON DATABASE {} FROM PUBLIC", names.database)
        allow = "GRANT CONNECT ON DATABASE {} TO {}"
        _execute(connection, allow, names.database, names.application)


def drop(server_url: str, names: Names) -> None:
    """Delete the database and both logins; what is not there is fine."""
    with _connect(server_url) as connection:
        _execute(connection, "DROP DATABASE IF EXISTS {} WITH (FORCE)", names.database)
        _execute(connection, "DROP ROLE IF EXISTS {}", names.application)
        _execute(connection, "DROP ROLE IF EXISTS {}", names.owner)


def ensure_database(
    connection: Server,
    database: str,
    *,
    owner: str,
    template: str | None = None,
) -> None:
    """Make a database owned by `owner`, a copy of `template` where one is named."""
    known = connection.execute("SELECT FROM pg_database WHERE datname = %s", [database])
    if known.fetchone() is None:
        _execute(
            connection,
            "CREATE DATABASE {} OWNER {} TEMPLATE {}",
            database,
            owner,
            template or "template0",
        )


def check_rights(connection: Server) -> None:
    """Refuse a server that is too old and a role that may not create roles and databases.

    Raises ServerError.
    """
    if connection.info.server_version < OLDEST_VERSION:
        raise ServerError("the Postgres of DATABASE_URL is too old: version 15 or newer is needed.")
    may = connection.execute(
        "SELECT rolsuper OR (rolcreaterole AND rolcreatedb) FROM pg_roles"
        " WHERE rolname = current_user"
    ).fetchone()
    if may != (True,):
        raise ServerError(
            "the role of DATABASE_URL may not create roles and databases:"
            f" ALTER ROLE {connection.info.user} CREATEROLE CREATEDB."
        )


def _connect(server_url: str) -> Server:
    try:
        return psycopg.connect(server_url, autocommit=True, connect_timeout=5)
    except psycopg.ProgrammingError:
        # Its text repeats the URL, and with it the password.
        raise ServerError("DATABASE_URL is not a URL such as postgresql://user@host/db.") from None
    except psycopg.OperationalError as error:
        raise ServerError(f"the Postgres of DATABASE_URL does not answer: {error}") from error


def _ensure_role(connection: Server, name: str, password: str) -> None:
    known = connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [name]).fetchone()
    change = (
        "CREATE ROLE {} LOGIN PASSWORD {}" if known is None else "ALTER ROLE {} LOGIN PASSWORD {}"
    )
    # Hashed here: a password in a statement could end in the server's log.
    hashed = connection.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256")
    connection.execute(sql.SQL(change).format(sql.Identifier(name), sql.Literal(hashed.decode())))


def _execute(connection: Server, statement: LiteralString, *names: str) -> None:
    """Run a statement whose {} are identifiers."""
    connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
