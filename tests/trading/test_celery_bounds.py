"""Celery's own bounds: a deaf worker ends, a queue nobody works off does not grow."""

import ssl
from typing import Any

import pytest

from opitios import celery
from opitios.beat import MOST_WAITING, Beat
from opitios.canary import Ear, canary_queue, sing
from opitios.core import bus, clock
from opitios.core.config import get_config

EVERY = 10.0


def test_a_worker_that_hears_itself_is_never_deaf() -> None:
    ear = Ear(EVERY)

    for now in range(0, 100, 10):
        ear.sent(now)
        ear.heard()
        assert not ear.is_deaf(now + EVERY)


def test_three_tasks_unheard_in_a_row_make_a_worker_deaf() -> None:
    ear = Ear(EVERY)

    for now in (0, 10, 20):
        ear.sent(now)

    assert not ear.is_deaf(30)
    assert ear.is_deaf(31)


def test_while_redis_is_away_nobody_is_called_deaf() -> None:
    ear = Ear(EVERY)
    ear.sent(0)

    ear.not_sent()

    assert not ear.is_deaf(1000)


def test_a_deaf_worker_ends_and_sends_nothing_more() -> None:
    ear, done = Ear(EVERY), []
    ear.sent(clock.monotonic() - 60)

    sing(ear, lambda: done.append("sent"), lambda: done.append("ended"))

    assert done == ["ended"]


def test_a_task_that_could_not_be_sent_is_not_waited_for() -> None:
    ear = Ear(EVERY)

    def fail() -> None:
        raise ConnectionError

    sing(ear, fail, pytest.fail)

    assert not ear.is_deaf(clock.monotonic() + 60)


def test_beat_adds_nothing_to_a_queue_nobody_works_off(db: None) -> None:
    beat = Beat(celery.app)
    entry = beat.schedule["sweep"]
    channel = beat.producer.connection.default_channel
    # What workers of other tests left there when they were stopped.
    channel._purge(celery.QUEUE)
    try:
        for _ in range(MOST_WAITING + 5):
            beat.apply_entry(entry, beat.producer)

        assert channel._size(celery.QUEUE) == MOST_WAITING
    finally:
        channel._purge(celery.QUEUE)
        beat.close()


def test_gateways_on_one_redis_have_queues_of_their_own() -> None:
    options = celery.app.conf.broker_transport_options

    assert options["global_keyprefix"] == f"opitios:{bus.namespace()}:celery:"
    assert options["socket_timeout"] == options["socket_connect_timeout"] == 0.5
    assert canary_queue(get_config()) not in celery.app.conf.task_queues


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("redis://:p@h:1/0", "redis://:p@h:1/0"),
        ("unix:///run/redis.sock", "redis+socket:///run/redis.sock"),
    ],
)
def test_a_redis_url_is_written_as_celery_reads_it(given: str, written: str) -> None:
    assert celery.broker_url(given) == written


def test_tls_to_redis_checks_the_certificate(monkeypatch: pytest.MonkeyPatch) -> None:
    config: Any = get_config().model_copy(
        update={"redis_url": type(get_config().redis_url)("rediss://h:1/0")}
    )

    assert celery._settings(config)["broker_use_ssl"] == {"ssl_cert_reqs": ssl.CERT_REQUIRED}
    assert celery.app.conf.broker_use_ssl is None
