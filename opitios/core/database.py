"""One way to call Postgres outside the ORM: one prepared statement, one round trip."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import psycopg
from django.db import InterfaceError, OperationalError, connection, connections
from psycopg.abc import RV, PQGen
from psycopg.adapt import Dumper
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow, dict_row
from psycopg_pool import ConnectionPool

# reliability.md §2.2: connect 1 s, statement 2 s, lock 500 ms, idle transaction 5 s.
SESSION = (
    "-c statement_timeout=2000 -c lock_timeout=500 -c idle_in_transaction_session_timeout=5000"
)

# The network between, over TCP. Bytes that nobody confirms for a second lose the connection, as one
# that cannot be made in a second is lost; one that is silent is probed, and gone after eight.
NETWORK = {
    "connect_timeout": 1,
    "tcp_user_timeout": 1000,
    "keepalives_idle": 5,
    "keepalives_interval": 1,
    "keepalives_count": 3,
}

# A frozen server, or a proxy that swallows, confirms bytes and never answers: no kernel notices.
# Half a second more than a statement may take, so that the server's own clean answer comes first.
ANSWER_SECONDS = 2.5


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that waits at most ANSWER_SECONDS for an answer."""

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        """Wait for the server. Every statement comes through here, the ORM's too.

        Raises psycopg.OperationalError where no answer came; the connection is closed then: a late
        one would be read as the next statement's.
        """
        try:
            return super().wait(gen, interval, ANSWER_SECONDS if timeout is None else timeout)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                self.close()
            raise


class Texts(list[str]):
    """Texts that many statements are given, a thousand accounts for instance: dumped once.

    Not to be changed after it was made.
    """

    def __init__(self, texts: Iterable[str] = ()) -> None:
        super().__init__(texts)
        self.dumped = "{" + ",".join(map(_quoted, self)) + "}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


class _TextsDumper(Dumper):
    oid = psycopg.adapters.types["text"].array_oid

    def dump(self, obj: Texts) -> bytes:
        return obj.dumped.encode()


psycopg.adapters.register_dumper(Texts, _TextsDumper)


# How long a caller waits for a free connection. Seconds: who serves says within one that there is
# none; a command is asked by a person, perhaps on a machine that has much else to do.
SERVING_SECONDS, COMMAND_SECONDS = 0.4, 5.0


def settings_from_url(
    url: str, *, pool_max: int | None, wait_seconds: float = SERVING_SECONDS
) -> dict[str, Any]:
    """Read a postgres:// URL into a Django DATABASES entry.

    `pool_max` None gives single connections (migrations); else a pool of at most so many, for one
    of which a caller waits `wait_seconds` at most.
    Query parameters (sslmode, host of a unix socket, one of NETWORK …) travel to libpq unchanged.
    """
    parts = urlsplit(url)
    options: dict[str, Any] = {**NETWORK, **dict(parse_qsl(parts.query))}
    host = options.pop("host", None) or unquote(parts.hostname or "")
    options["application_name"] = "opitios"
    if pool_max is not None:
        options["options"] = SESSION
        # A lost connection is tried anew for a second, then whenever one is wanted: the pool's own
        # back-off doubles for five minutes, and with it every outage.
        options["pool"] = {
            "connection_class": BoundedConnection,
            "min_size": 1,
            "max_size": pool_max,
            "timeout": wait_seconds,
            "reconnect_timeout": 1.0,
        }
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": host,
        "PORT": str(parts.port or options.pop("port", "")),
        "CONN_MAX_AGE": 0,
        "OPTIONS": options,
    }


def unpooled() -> "psycopg.Connection[TupleRow]":
    """Open a connection as this process's others are, outside the pool: for start-up checks.

    Each statement is a transaction. Raises psycopg.OperationalError.
    """
    told = connections.settings["default"]
    options = {name: value for name, value in told["OPTIONS"].items() if name != "pool"}
    where = {
        "dbname": told["NAME"],
        "user": told["USER"],
        "password": told["PASSWORD"],
        "host": told["HOST"],
        "port": told["PORT"],
    }
    given = {name: value for name, value in where.items() if value}
    return BoundedConnection.connect(**given, **options, autocommit=True)


class NotReached(OperationalError):
    """No connection to Postgres was to be had: the statement was certainly not run."""


# Postgres says that it is going away; the statement before it did not commit.
_GOING_AWAY = {"57P01", "57P02", "57P03"}


def is_broken(error: Exception) -> bool:
    """Whether the connection broke under the statement, so that nobody knows its outcome.

    False where the server itself answered with an error: then nothing was changed.
    """
    state = getattr(error.__cause__, "sqlstate", None)
    return state is None or state in _GOING_AWAY


def _held() -> "psycopg.Connection[Any]":
    try:
        connection.ensure_connection()
    except (OperationalError, InterfaceError) as error:
        raise NotReached("Postgres cannot be reached") from error
    held: psycopg.Connection[Any] = connection.connection
    return held


def _borrow(pool: "ConnectionPool[Any]") -> "psycopg.Connection[Any]":
    try:
        with connection.wrap_database_errors:
            if pool.closed:
                # The first caller of a process finds it so.
                pool.open()
            lent: psycopg.Connection[Any] = pool.getconn()
            return lent
    except (OperationalError, InterfaceError) as error:
        raise NotReached("Postgres cannot be reached") from error


def rows(sql: str, params: Sequence[Any] | Mapping[str, Any] = ()) -> list[dict[str, Any]]:
    """Run one prepared statement and return its rows as dicts.

    On this thread's connection where it holds one (a transaction is open, or the ORM was used);
    else on one borrowed from the pool for the statement alone, which spares Django's set-up of it.
    Raises NotReached where no connection is to be had, django.db.OperationalError where it broke or
    a time limit ran out (see is_broken).
    """
    pool: ConnectionPool[Any] | None = connection.pool  # type: ignore[attr-defined] # of Postgres
    if connection.connection is not None or pool is None:
        return _run(_held(), sql, params)
    lent = _borrow(pool)
    try:
        return _run(lent, sql, params)
    finally:
        pool.putconn(lent)


def _run(
    raw: "psycopg.Connection[Any]", sql: str, params: Sequence[Any] | Mapping[str, Any]
) -> list[dict[str, Any]]:
    # Django's own cursors bind on the client and never prepare; this one is psycopg's plain one.
    with connection.wrap_database_errors, psycopg.Cursor(raw, row_factory=dict_row) as cursor:
        cursor.execute(sql.encode(), params, prepare=True)
        result = cursor.pgresult
        return cursor.fetchall() if result is not None and result.nfields else []


def row(sql: str, params: Sequence[Any] | Mapping[str, Any] = ()) -> dict[str, Any] | None:
    """Run one prepared statement and return its first row, or None."""
    found = rows(sql, params)
    return found[0] if found else None


def release() -> None:
    """Give this thread's connection back to the pool: nothing waits while holding one (law 5)."""
    connection.close()
