"""One statement, one round trip, bounded in time; and what a failure of it means."""

import threading

import pytest
from django.db import IntegrityError, OperationalError, connection, transaction

from opitios.core import clock, database
from opitios.core.database import settings_from_url
from tests.trading.outages import proxied_postgres


def test_a_url_becomes_django_s_settings() -> None:
    made = settings_from_url("postgres://u%40x:p%2Fw@db.example:6543/name?sslmode=require",
                             pool_max=7)  # fmt: skip

    assert (made["USER"], made["PASSWORD"], made["HOST"], made["PORT"], made["NAME"]) == (
        "u@x", "p/w", "db.example", "6543", "name",
    )  # fmt: skip
    assert made["CONN_MAX_AGE"] == 0
    assert made["OPTIONS"]["sslmode"] == "require"
    assert made["OPTIONS"]["pool"]["max_size"] == 7
    assert made["OPTIONS"]["pool"]["timeout"] < 1


def test_a_unix_socket_s_folder_may_be_the_host() -> None:
    made = settings_from_url("postgres://u:p@/name?host=/run/pg", pool_max=None)

    assert made["HOST"] == "/run/pg"
    assert "pool" not in made["OPTIONS"]
    assert "options" not in made["OPTIONS"]


@pytest.mark.django_db
def test_rows_come_as_dicts_and_a_statement_without_rows_gives_none() -> None:
    found = database.rows("SELECT n, n * 2 AS twice FROM generate_series(1, 3) n")

    assert found == [{"n": n, "twice": n * 2} for n in (1, 2, 3)]
    assert database.row("SELECT 1 AS one WHERE %(no)s", {"no": False}) is None
    assert database.rows("SET application_name = 'opitios'") == []


@pytest.mark.django_db
def test_every_statement_of_a_process_is_bounded_in_time() -> None:
    limits = database.row(
        "SELECT current_setting('statement_timeout') AS statement,"
        " current_setting('lock_timeout') AS lock,"
        " current_setting('idle_in_transaction_session_timeout') AS idle"
    )

    assert limits == {"statement": "2s", "lock": "500ms", "idle": "5s"}


@pytest.mark.django_db
def test_a_statement_that_ran_out_of_time_is_not_in_doubt() -> None:
    with pytest.raises(OperationalError) as caught:
        slowly()

    assert not database.is_broken(caught.value)


def slowly() -> None:
    """Sleep longer than a statement of this transaction may take."""
    with transaction.atomic():
        database.rows("SET LOCAL statement_timeout = 20")
        database.rows("SELECT pg_sleep(1)")


@pytest.mark.django_db
def test_a_refusal_of_the_server_is_django_s_error() -> None:
    with pytest.raises(IntegrityError):
        database.rows("SELECT journal_append('no-such-journal', 'x.y', '{}')")
    assert database.row("SELECT 1 AS one") == {"one": 1}


@pytest.mark.django_db
def test_inside_a_transaction_the_statement_is_part_of_it() -> None:
    with transaction.atomic():
        database.rows("SELECT journal_open('core-rolled-back')")
        transaction.set_rollback(True)

    assert not database.rows(
        "SELECT 1 FROM accounts_journalhead WHERE account_id = 'core-rolled-back'"
    )


@pytest.mark.django_db
def test_no_connection_at_all_is_told_as_not_reached_in_time() -> None:
    with proxied_postgres() as proxy:
        proxy.vanish()
        began = clock.monotonic()

        with pytest.raises(database.NotReached):
            database.rows("SELECT 1")

        assert clock.monotonic() - began < 1


@pytest.mark.django_db
def test_a_connection_that_breaks_under_the_statement_is_in_doubt() -> None:
    with proxied_postgres() as proxy:
        database.row("SELECT 1")
        proxy.swallow_the_answer_to(b"pg_backend_pid")

        with pytest.raises(OperationalError) as caught:
            database.rows("SELECT pg_backend_pid() AS pid")

        assert database.is_broken(caught.value)
        database.release()
        assert database.row("SELECT 2 AS two") == {"two": 2}


@pytest.mark.django_db
def test_more_threads_than_connections_take_turns() -> None:
    found: list[int] = []

    def read() -> None:
        row = database.row("SELECT 1 AS one, pg_sleep(0.005)")
        database.release()
        assert row is not None
        found.append(row["one"])

    threads = [threading.Thread(target=read) for _ in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert found == [1] * 60


@pytest.mark.django_db
def test_release_gives_the_connection_back() -> None:
    connection.ensure_connection()
    database.release()

    assert connection.connection is None
    database.release()
