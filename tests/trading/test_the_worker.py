"""A real Celery worker looks orders up, outlives a lost Redis, and ends in order (C21)."""

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from accounts.models import ProcessRow
from opitios.canary import EXIT_CODE
from tests.support.orders import entries, row_of
from tests.support.proxy import Proxy
from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until
from tests.trading.retry_path import STOP_SECONDS, WORKER, Program, retry_path
from tests.trading.searches import at_broker, make_due, unknown
from tests.trading.sending import Step

pytestmark = [pytest.mark.django_db, pytest.mark.journeys]

NOT_SENT = "tasks are not sent"
# However long Redis is away on a crowded machine: this worker does not end because of it.
PATIENT = {"OPITIOS_TIMERS__CANARY": "60"}


@pytest.fixture
def redis() -> Iterator[tuple[Proxy, str]]:
    """A proxy in front of this session's Redis, and the URL that leads through it."""
    there = urlsplit(os.environ["REDIS_URL"])
    with Proxy((str(there.hostname), int(there.port or 6379))) as proxy:
        address = f"{there.netloc.rpartition('@')[0]}@127.0.0.1:{proxy.port}".removeprefix("@")
        yield proxy, there._replace(netloc=address).geturl()


def test_a_worker_resolves_what_is_unknown_and_again_after_redis_was_away(
    sandbox: SandboxProcess, step: Step, tmp_path: Path, redis: tuple[Proxy, str]
) -> None:
    proxy, url = redis
    with retry_path(tmp_path, REDIS_URL=url, **PATIENT) as (worker, beat):
        first = unknown(sandbox, step, arrived=True)
        until(lambda: row_of(first)["final"], seconds=60)

        proxy.vanish()
        until(lambda: NOT_SENT in beat.said(), seconds=60)
        proxy.come_back()
        second = unknown(sandbox, step, arrived=True)
        until(lambda: row_of(second)["final"], seconds=60)
        until(lambda: "tasks are sent again" in beat.said(), seconds=60)

        troubles = beat.said().count(NOT_SENT)
        proxy.hold()
        until(lambda: beat.said().count(NOT_SENT) > troubles, seconds=60)
        third = unknown(sandbox, step, arrived=True)
        make_due(third)
        proxy.come_back()
        until(lambda: row_of(third)["final"], seconds=60)

        shown = {row.name: row for row in ProcessRow.objects.filter(role__in=["worker", "beat"])}
        assert shown[worker.name].snapshot["warm"] >= 1
        assert shown[beat.name].pid == beat.process.pid
        assert (worker.stop(), beat.stop()) == (0, 0)
    assert len(at_broker(sandbox, first)) == 3
    by = {entry["actor"]["name"] for entry in entries(first["account_id"]) if entry["broker"]}
    assert any(name.startswith("worker@") for name in by)
    assert "Traceback" not in beat.said()


def test_a_worker_that_hears_nothing_ends_to_be_started_again(db: None, tmp_path: Path) -> None:
    # It is deaf however long it listens.
    timers = {"OPITIOS_TIMERS__CANARY": "0.5"}
    deaf = Program("worker", (*WORKER, "--queues", "another"), tmp_path / "deaf.log", **timers)

    try:
        assert deaf.process.wait(STOP_SECONDS) == EXIT_CODE
    finally:
        deaf.stop()

    assert "this worker takes no tasks any more" in deaf.said()
