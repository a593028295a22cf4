"""One statement, one round trip, bounded in time; and what a failure of it means."""

import os
import re
import socket
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import IntegrityError, OperationalError, connection, transaction

from accounts.models import Account
from opitios.core import database
from opitios.core.database import ANSWER_SECONDS, NETWORK, settings_from_url
from tests.support.crowd import Stopwatch
from tests.support.until import until
from tests.trading.outages import proxied_postgres, proxied_url

ROOT = Path(__file__).resolve().parents[2]


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
    assert NETWORK.items() <= made["OPTIONS"].items()


def test_a_url_may_bound_the_network_otherwise() -> None:
    made = settings_from_url("postgres://u:p@h/name?tcp_user_timeout=9000", pool_max=1)

    assert made["OPTIONS"]["tcp_user_timeout"] == "9000"
    assert made["OPTIONS"]["keepalives_idle"] == 5


def test_a_command_waits_for_a_connection_as_its_caller_does_and_who_serves_does_not() -> None:
    asks = (
        "from django.conf import settings; print(settings.DATABASES['default']['OPTIONS']['pool'])"
    )
    waits = {}
    for role in ("none", "desk"):
        told = subprocess.run(  # noqa: S603 - our own command
            [sys.executable, "manage.py", "shell", "--no-imports", "-c", asks],
            cwd=ROOT, env={**os.environ, "OPITIOS_ROLE": role}, capture_output=True, check=True,
        )  # fmt: skip
        waits[role] = re.findall(rb"'timeout': ([0-9.]+)", told.stdout)

    assert waits == {"none": [b"5.0"], "desk": [b"0.4"]}


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

        with Stopwatch() as took, pytest.raises(database.NotReached):
            database.rows("SELECT 1")

        assert took.is_within(1), took


@pytest.mark.django_db
def test_a_connection_that_breaks_under_the_statement_is_in_doubt() -> None:
    with proxied_postgres() as proxy:
        database.row("SELECT 1")
        proxy.swallow_the_answer_to(b"pg_backend_pid")

        with pytest.raises(OperationalError) as caught:
            database.rows("SELECT pg_backend_pid() AS pid")

        assert database.is_broken(caught.value)
        database.release()
        assert until(answer_again) == {"two": 2}


@pytest.mark.django_db
@pytest.mark.parametrize("through_the_orm", [False, True])
def test_a_server_that_confirms_a_statement_and_never_answers_is_given_up(
    through_the_orm: bool,
) -> None:
    with proxied_postgres() as proxy:
        database.row("SELECT 1")
        proxy.hold_after(b"accounts_account")

        with Stopwatch() as took, pytest.raises(OperationalError) as caught:
            Account.objects.count() if through_the_orm else database.rows(
                "SELECT 1 FROM accounts_account"
            )

        assert took.seconds > ANSWER_SECONDS
        assert took.is_within(ANSWER_SECONDS + 0.5), took
        assert database.is_broken(caught.value)
        database.release()
        proxy.come_back()
        # On another connection: the late answer of this one is nobody's.
        assert until(answer_again) == {"two": 2}


def answer_again() -> dict[str, Any] | None:
    """What a statement gives; None where it met a connection that broke meanwhile."""
    try:
        return database.row("SELECT 2 AS two")
    except OperationalError:
        return None


@pytest.mark.django_db
def test_a_server_that_confirms_no_bytes_is_given_up_by_the_kernel() -> None:
    # Simulated: nothing on one host drops packets. What is not read is not confirmed either.
    with proxied_url(os.environ["DATABASE_URL"]) as (proxy, url):
        bounded = {**NETWORK, "tcp_user_timeout": 300}
        # No COMMIT at its end: what broke may still be taken for at work, and would not be closed.
        with closing(psycopg.connect(url, **bounded)) as there:  # type: ignore[arg-type] # of libpq
            line = socket.socket(fileno=os.dup(there.fileno()))
            confirmed = line.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
            line.close()
            proxy.stop_reading()

            with Stopwatch() as took, pytest.raises(psycopg.OperationalError):
                there.execute("SELECT length(%s)", ["x" * 2**25])

    assert confirmed == 300
    # The client itself would have waited for ever.
    assert took.is_within(2), took


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
        thread.join(60)

    assert found == [1] * 60


@pytest.mark.django_db
def test_release_gives_the_connection_back() -> None:
    connection.ensure_connection()
    database.release()

    assert connection.connection is None
    database.release()


@pytest.mark.django_db
def test_texts_that_are_dumped_once_arrive_as_they_are() -> None:
    odd = ["plain", "", "a,b", "{x}", 'quo"te', "back\\slash", "NULL", "é ü", " space "]

    found = database.row("SELECT %s::text[] AS told", (database.Texts(odd),))
    none = database.row("SELECT 'a' = ANY(%s) AS told", (database.Texts(),))

    assert found == {"told": odd}
    assert none == {"told": False}
