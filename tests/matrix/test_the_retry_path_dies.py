"""Celery is alive and stuck, or killed: what is unknown resolves all the same (C21)."""

import signal
from pathlib import Path

import pytest

from tests.support.orders import entries, place, soon
from tests.support.sandbox_process import SandboxProcess
from tests.trading.desks import RunningDesk
from tests.trading.retry_path import retry_path
from tests.trading.searches import at_broker

pytestmark = [pytest.mark.django_db, pytest.mark.journeys]


def test_c21_with_a_worker_that_is_stuck_or_killed_and_no_beat_unknown_orders_resolve(
    sandbox: SandboxProcess, trading_account: str, desk: RunningDesk, tmp_path: Path
) -> None:
    with retry_path(tmp_path) as (worker, beat):
        worker.process.send_signal(signal.SIGSTOP)
        beat.process.kill()
        # One that arrived, and one that did not: adopted, and sent again under its id.
        sandbox.fault("504_after_accept", account=trading_account, route="POST /v2/orders")
        arrived = desk.wait_for(place(trading_account, not_after=soon(250)), "filled", seconds=20)
        sandbox.fault("html_502", account=trading_account, route="POST /v2/orders")
        lost = desk.wait_for(place(trading_account, not_after=soon(250)), "filled", seconds=20)
        # And with nothing of Celery left.
        worker.process.kill()
        sandbox.fault("reset", account=trading_account, route="POST /v2/orders", when="after")
        last = desk.wait_for(place(trading_account, not_after=soon(250)), "filled", seconds=20)

    assert [row["attempts"] for row in (arrived, lost, last)] == [1, 2, 1]
    assert len(at_broker(sandbox, last)) == 3
    names = {entry["actor"]["name"].partition("@")[0] for entry in entries(trading_account)}
    assert names == {"bot-7", "desk"}
