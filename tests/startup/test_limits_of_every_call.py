"""Every call that can wait has a limit, and it is in force: read from what really runs (§2.2)."""

import os

import pytest
import redis

from accounts import jwks
from opitios.broker.alpaca.transport import TransportTimers
from opitios.core import bodies, bus, database
from opitios.core.config import Timers, get_config

pytestmark = pytest.mark.django_db

SHOWN = "SELECT name, setting::int AS is_now FROM pg_settings WHERE name = ANY(%s)"


def test_calls_to_the_broker() -> None:
    timers = TransportTimers()

    assert (timers.connect, timers.submit, timers.other) == (2.0, 8.0, 5.0)
    assert get_config().connections_per_account == 5


def test_statements_of_every_thread_s_connection() -> None:
    limits = {
        "statement_timeout": 2000,
        "lock_timeout": 500,
        "idle_in_transaction_session_timeout": 5000,
    }

    found = {row["name"]: row["is_now"] for row in database.rows(SHOWN, [list(limits)])}

    assert found == limits
    assert database.NETWORK["connect_timeout"] == 1
    assert database.ANSWER_SECONDS == 2.5


def test_calls_to_redis() -> None:
    with bus.client(os.environ["REDIS_URL"]) as client:
        about = client.connection_pool.connection_kwargs
        assert (about["socket_timeout"], about["socket_connect_timeout"]) == (0.2, 0.2)
        assert client.get_retry() is not None
        assert client.get_retry().get_retries() == 0
        assert client.ping()
    with pytest.raises(redis.ConnectionError), bus.client("redis://127.0.0.1:9/0") as nobody:
        nobody.ping()


def test_tasks_that_are_published() -> None:
    from opitios.celery import app  # noqa: PLC0415 - sets up a worker's logging as it comes

    told = app.conf.broker_transport_options
    assert (told["socket_timeout"], told["socket_connect_timeout"]) == (0.5, 0.5)
    assert (told["retry_on_timeout"], told["max_retries"]) == (False, 0)
    assert app.conf.task_publish_retry is False


def test_key_sets_of_issuers() -> None:
    assert (jwks.CONNECT_SECONDS, jwks.TOTAL_SECONDS) == (2.0, 3.0)
    assert jwks.STALE_SECONDS == 24 * 3600


def test_what_clients_send_and_how_long_they_may_take() -> None:
    assert bodies.MAX_BODY == 64 * 1024
    assert Timers().stream_auth == 5.0
